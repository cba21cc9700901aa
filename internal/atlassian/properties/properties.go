// Package properties reads .properties files exactly as java.util.Properties does,
// so that passwords equal those that the product reads. Use [Parse] to read a file
// and [Locate] to edit one.
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

	// Line is the first physical line of the logical line, counted from 1.
	Line int
}

// Parse returns all pairs in file order. Duplicates are kept; in Java the last one
// wins.
//
// The bytes are UTF-8, or ISO-8859-1 if they are not valid UTF-8. A byte order mark
// is part of the first key, as in Java. A surrogate pair written as two \u escapes
// is one character.
//
// The error is [fault.Syntax] for a malformed \u escape, as in Java, and for text
// that Java probably reads as another password than the intended one: an unpaired
// surrogate, UTF-16 and, in a file that is not UTF-8, a pair that is UTF-8 or has
// overlong forms or surrogates in UTF-8. The error names the line of the pair and
// does not quote it.
func Parse(b []byte) ([]Pair, error) {
	if at := bytes.IndexByte(b, 0); at >= 0 || bytes.HasPrefix(b, []byte("\xff\xfe")) ||
		bytes.HasPrefix(b, []byte("\xfe\xff")) {
		return nil, fault.New(fault.Syntax,
			"line %d: the file contains NUL bytes or the byte order mark of UTF-16: save it as UTF-8",
			1+lineEnds(b[:max(at, 0)]))
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
			if utf8.Valid(logical) || hasInvalidUTF8Form(logical) {
				return nil, fault.New(fault.Syntax,
					"line %d: characters beyond ASCII in a file that is only partly UTF-8:"+
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

// hasInvalidUTF8Form reports whether b has a sequence in the form of UTF-8 that is
// overlong, a surrogate or beyond Unicode, as in Java's modified UTF-8 and CESU-8.
func hasInvalidUTF8Form(b []byte) bool {
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
		if i+length <= len(b) &&
			!slices.ContainsFunc(b[i+1:i+length], func(c byte) bool { return c&0xc0 != 0x80 }) {
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

// split splits a logical line into key and value, both still escaped. The key ends
// at the first unescaped '=', ':' or white space. White space around one separator
// is dropped; white space after the value stays.
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

// isBlank reports whether c is white space inside a line to Java.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\f' }

func isSeparator(c byte) bool { return c == '=' || c == ':' }

const (
	malformed = `malformed \u escape: four hexadecimal digits must follow (write a literal backslash as \\)`
	halfPair  = `a \u escape that is half of a surrogate pair: it stands for no character`
)

// unescape decodes the escapes of a key or a value. A backslash before a character
// without a special meaning is dropped. problem is "" or describes an invalid \u
// escape.
func unescape(s []byte) (text, problem string) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		i++ // in range: neither split nor lineReader leaves a single backslash
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
			// Java strings are UTF-16: two escapes can be one character.
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

// nextUnit returns the code unit of the \u escape at the start of s, if any.
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
