package jsonptr

import (
	"iter"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
)

// ValidPointer returns an error unless p is a JSON Pointer (RFC 6901 §3): empty, or
// tokens that each begin with a slash, in UTF-8, with "~" only in "~0" and "~1".
func ValidPointer(p string) error {
	if p == "" {
		return nil
	}
	if p[0] != '/' {
		if tokenError(p) == nil {
			return fault.New(fault.Syntax, "a pointer begins with a slash (did you mean %q?)", "/"+p)
		}
		return fault.New(fault.Syntax, "a pointer begins with a slash")
	}
	return tokenError(p)
}

// tokenError checks all rules but the leading slash.
func tokenError(p string) error {
	ascii := true
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c >= utf8.RuneSelf:
			ascii = false
		case c == '~' && (i+1 == len(p) || p[i+1] != '0' && p[i+1] != '1'):
			return fault.New(fault.Syntax, `"~" at byte %d is not "~0" (for "~") or "~1" (for "/")`, i)
		}
	}
	if !ascii && !utf8.ValidString(p) {
		return fault.New(fault.Syntax, "the pointer is not valid UTF-8")
	}
	return nil
}

// Tokens returns the reference tokens of a valid pointer, unescaped.
func Tokens(p string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for at := 0; at < len(p); {
			end := tokenEnd(p, at)
			if !yield(unescapeToken(p[at+1 : end])) {
				return
			}
			at = end
		}
	}
}

// tokenEnd returns the end of the token whose slash is at p[at].
func tokenEnd(p string, at int) int {
	if n := strings.IndexByte(p[at+1:], '/'); n >= 0 {
		return at + 1 + n
	}
	return len(p)
}

// unescapeToken decodes in one pass, so that "~01" becomes "~1" (RFC 6901 §4).
func unescapeToken(token string) string {
	if strings.IndexByte(token, '~') < 0 {
		return token
	}
	var b strings.Builder
	b.Grow(len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '~' {
			i++
			c = tilde(token[i])
		}
		b.WriteByte(c)
	}
	return b.String()
}

// tilde returns the character for "~" and c.
func tilde(c byte) byte {
	if c == '0' {
		return '~'
	}
	return '/'
}

// sameName reports whether the inside of a valid string literal and a valid token, both
// still escaped, are the same text.
func sameName(name, token string) bool {
	for i := 0; i < len(name); {
		var char [utf8.UTFMax]byte
		width := 1
		if name[i] == '\\' {
			var r rune
			r, i, _ = escape(name, i)
			width = utf8.EncodeRune(char[:], r)
		} else {
			char[0] = name[i]
			i++
		}
		for _, want := range char[:width] {
			if token == "" {
				return false
			}
			got, used := token[0], 1
			if got == '~' {
				got, used = tilde(token[1]), 2
			}
			if got != want {
				return false
			}
			token = token[used:]
		}
	}
	return token == ""
}

// index parses a token as an array index (RFC 6901 §4): digits without a leading zero.
// An index that does not fit an int is past the end of every array.
func index(token string) (n int, ok bool) {
	if token == "" || token[0] == '0' && len(token) > 1 {
		return 0, false
	}
	for i := range len(token) {
		switch c := token[i]; {
		case !isDigit(c):
			return 0, false
		case n > (math.MaxInt-9)/10:
			n = math.MaxInt
		default:
			n = n*10 + int(c-'0')
		}
	}
	return n, true
}
