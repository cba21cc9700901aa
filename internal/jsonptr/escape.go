package jsonptr

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// escape decodes the escape sequence whose backslash is s[i]. A surrogate pair is one
// sequence; an unpaired surrogate is refused.
func escape(s string, i int) (r rune, next int, p problem) {
	if i+1 >= len(s) {
		return 0, len(s), truncated
	}
	switch c := s[i+1]; c {
	case '"', '\\', '/':
		return rune(c), i + 2, fine
	case 'b':
		return '\b', i + 2, fine
	case 'f':
		return '\f', i + 2, fine
	case 'n':
		return '\n', i + 2, fine
	case 'r':
		return '\r', i + 2, fine
	case 't':
		return '\t', i + 2, fine
	case 'u':
	default:
		return 0, i + 1, unexpected
	}
	if r, next, p = hex4(s, i+2); p != fine || !utf16.IsSurrogate(r) {
		return r, next, p
	}
	switch rest := s[next:]; {
	case rest == "" || rest == `\`:
		return 0, len(s), truncated
	case rest[0] != '\\' || rest[1] != 'u':
		return 0, i, badSurrogate
	}
	low, next, p := hex4(s, next+2)
	if p != fine {
		return 0, next, p
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, i, badSurrogate
	}
	return r, next, fine
}

// hex4 reads four hexadecimal digits.
func hex4(s string, i int) (r rune, next int, p problem) {
	for end := i + 4; i < end; i++ {
		if i >= len(s) {
			return 0, i, truncated
		}
		switch c := s[i]; {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, i, unexpected
		}
	}
	return r, i, fine
}

// unescape decodes the inside of a valid string literal.
func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		r, next, _ := escape(s, i)
		b.WriteRune(r)
		s = s[next:]
	}
}
