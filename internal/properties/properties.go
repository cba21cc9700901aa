// Package properties reads .properties files as java.util.Properties reads
// them, quirks included, because what counts is the password that the product
// beside us sees. [Parse] is all there is.
package properties

import (
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
)

// Pair is one key with its value, both unescaped.
type Pair struct {
	Key, Value string

	// Line is the physical line, counted from 1, where the logical line begins.
	Line int
}

// Parse returns every pair in file order. Duplicates are kept; Java lets the
// last one win.
//
// The bytes are UTF-8, or ISO-8859-1 when they are not valid UTF-8. A byte
// order mark is no white space to Java: it stays part of the first key. A
// surrogate pair written as two \u escapes is one character, a lone surrogate
// becomes U+FFFD.
//
// A malformed \u escape fails the whole file with [fault.Syntax]. The error
// names the line where the pair begins and never quotes it.
func Parse(b []byte) ([]Pair, error) {
	if !utf8.Valid(b) {
		b = fromLatin1(b)
	}
	var pairs []Pair
	r := lineReader{in: b, line: 1}
	for {
		logical, line, ok := r.next()
		if !ok {
			return pairs, nil
		}
		key, value := split(logical)
		p := Pair{Line: line}
		var keyOK, valueOK bool
		p.Key, keyOK = unescape(key)
		p.Value, valueOK = unescape(value)
		if !keyOK || !valueOK {
			return nil, fault.New(fault.Syntax, `line %d: malformed \u escape: four hexadecimal digits must follow`+
				` (write a literal backslash as \\)`, line)
		}
		pairs = append(pairs, p)
	}
}

func fromLatin1(b []byte) []byte {
	out := make([]byte, 0, len(b)+len(b)/8)
	for _, c := range b {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}

// split cuts a logical line into key and value, both still escaped. The first
// unescaped '=', ':' or white space ends the key; white space around one
// separator is dropped, white space after the value is not.
func split(line []byte) (key, value []byte) {
	end, escaped := 0, false
	for end < len(line) && (escaped || !isBlank(line[end]) && !isSeparator(line[end])) {
		escaped = line[end] == '\\' && !escaped
		end++
	}
	start, separated := end, false
	for start < len(line) {
		if !isBlank(line[start]) {
			if separated || !isSeparator(line[start]) {
				break
			}
			separated = true
		}
		start++
	}
	return line[:end], line[start:]
}

// isBlank reports Java's white space within a line.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\f' }

func isSeparator(c byte) bool { return c == '=' || c == ':' }

// unescape resolves the backslashes of a key or a value; a backslash before
// any other character than the known ones just disappears. It reports false
// for a malformed \u escape.
func unescape(s []byte) (string, bool) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		i++ // never past the end: split and lineReader leave no backslash alone
		switch s[i] {
		case 't':
			out = append(out, '\t')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 'f':
			out = append(out, '\f')
		case 'u':
			unit, ok := hex4(s[i+1:])
			if !ok {
				return "", false
			}
			i += 4
			// Java strings are UTF-16, so two escapes can make one character.
			if low, ok := nextUnit(s[i+1:]); ok && utf16.IsSurrogate(unit) {
				if r := utf16.DecodeRune(unit, low); r != utf8.RuneError {
					unit, i = r, i+6
				}
			}
			out = utf8.AppendRune(out, unit) // a lone surrogate becomes U+FFFD
		default:
			out = append(out, s[i])
		}
	}
	return string(out), true
}

// nextUnit returns the code unit of the \u escape that s begins with, if any.
func nextUnit(s []byte) (rune, bool) {
	if len(s) < 2 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	return hex4(s[2:])
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var unit rune
	for _, c := range s[:4] {
		switch {
		case '0' <= c && c <= '9':
			unit = unit<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			unit = unit<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			unit = unit<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}
