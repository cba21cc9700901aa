package xmltext

import (
	"strings"
	"unicode/utf8"
)

// normalize turns every line end into a line feed (section 2.11) and checks
// that every character is allowed. At the first that is not, it stops and
// returns the text before it and its offset; otherwise bad is -1. The bytes are
// valid UTF-8.
func normalize(b []byte, xml11 bool) (text string, bad int) {
	var out strings.Builder
	out.Grow(len(b))
	copied := 0
	for i := 0; i < len(b); {
		c := b[i]
		if ' ' <= c && c < 0x7F || c == '\n' || c == '\t' {
			i++
			continue
		}
		if c == '\r' {
			out.Write(b[copied:i])
			if i++; i == len(b) || b[i] != '\n' {
				out.WriteByte('\n')
			}
			copied = i
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if !isChar(r, false) || xml11 && differsIn11(r) {
			out.Write(b[copied:i])
			return out.String(), i
		}
		i += size
	}
	out.Write(b[copied:])
	return out.String(), -1
}

// differsIn11 reports whether r, unescaped, is text in XML 1.0 and a line end
// or illegal in XML 1.1.
func differsIn11(r rune) bool { return 0x7F <= r && r < 0xA0 || r == '\u2028' }

// isChar reports whether a character reference may name r. XML 1.0 allows the
// characters that may also appear unescaped; XML 1.1 adds the controls except
// NUL.
func isChar(r rune, xml11 bool) bool {
	switch {
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r' || xml11 && r > 0
	case r < 0xD800:
		return true
	case r < 0xE000:
		return false
	}
	return r != 0xFFFE && r != 0xFFFF && r <= utf8.MaxRune
}

// isSpace reports whether c is white space.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
