// Package properties reads .properties files as java.util.Properties reads
// them, quirks included, because what counts is the password that the product
// beside us sees. [Parse] is all there is.
package properties

import (
	"bytes"
	"slices"
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
// surrogate pair written as two \u escapes is one character.
//
// A malformed \u escape fails the whole file with [fault.Syntax], and so does
// what Java reads but nobody meant, because it would be another password: half
// of a surrogate pair, UTF-16, and in a file that is not UTF-8 a pair that is, or
// that holds the overlong forms and surrogates of almost-UTF-8. The error names
// the line where the pair begins and never quotes it.
func Parse(b []byte) ([]Pair, error) {
	if at := bytes.IndexByte(b, 0); at >= 0 || bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")) {
		return nil, fault.New(fault.Syntax, "line %d: the file holds NUL bytes or the mark of UTF-16: save it as UTF-8", 1+lineEnds(b[:max(at, 0)]))
	}
	latin1 := !utf8.Valid(b)
	var pairs []Pair
	r := lineReader{in: b, line: 1}
	for {
		logical, line, ok := r.next()
		if !ok {
			return pairs, nil
		}
		if latin1 && slices.ContainsFunc(logical, func(c byte) bool { return c >= utf8.RuneSelf }) {
			if utf8.Valid(logical) || holdsAlmostUTF8(logical) {
				return nil, fault.New(fault.Syntax, "line %d: characters beyond ASCII in a file that is partly UTF-8 and partly not:"+
					` save it as UTF-8, or write them as \u escapes`, line)
			}
			logical = fromLatin1(logical)
		}
		key, value := split(logical)
		p := Pair{Line: line}
		var problem string
		if p.Key, problem = unescape(key); problem == "" {
			p.Value, problem = unescape(value)
		}
		if problem != "" {
			return nil, fault.New(fault.Syntax, "line %d: %s", line, problem)
		}
		pairs = append(pairs, p)
	}
}

// lineEnds counts the line ends in b.
func lineEnds(b []byte) int {
	return bytes.Count(b, []byte("\n")) + bytes.Count(b, []byte("\r")) - bytes.Count(b, []byte("\r\n"))
}

// holdsAlmostUTF8 reports whether b holds a sequence that is built like UTF-8,
// but stands for a surrogate, for more than there is, or for what has a shorter
// form, as in Java's modified UTF-8 and in CESU-8.
func holdsAlmostUTF8(b []byte) bool {
	for i := range b {
		if _, size := utf8.DecodeRune(b[i:]); size > 1 {
			continue
		}
		var length int
		switch c := b[i]; {
		case c&0xe0 == 0xc0:
			length = 2
		case c&0xf0 == 0xe0:
			length = 3
		case c&0xf8 == 0xf0:
			length = 4
		default:
			continue
		}
		if i+length <= len(b) && !slices.ContainsFunc(b[i+1:i+length], func(c byte) bool { return c&0xc0 != 0x80 }) {
			return true
		}
	}
	return false
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

const (
	malformed = `malformed \u escape: four hexadecimal digits must follow (write a literal backslash as \\)`
	halfPair  = `a \u escape that is half of a surrogate pair: it stands for no character`
)

// unescape resolves the backslashes of a key or a value; a backslash before
// any other character than the known ones just disappears. problem is "" or what
// is wrong with a \u escape.
func unescape(s []byte) (text, problem string) {
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
				return "", malformed
			}
			i += 4
			// Java strings are UTF-16, so two escapes can make one character.
			if utf16.IsSurrogate(unit) {
				low, _ := nextUnit(s[i+1:])
				if unit = utf16.DecodeRune(unit, low); unit == utf8.RuneError {
					return "", halfPair
				}
				i += 6
			}
			out = utf8.AppendRune(out, unit)
		default:
			out = append(out, s[i])
		}
	}
	return string(out), ""
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
