package xmltext

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// normalise turns every line end into a line feed, as section 2.11 asks, and
// checks that every character may stand in a document, for one that may not is
// illegal everywhere in it. At the first such character it stops, returning
// what came before and the offset, else bad is -1. The bytes are valid UTF-8.
func normalise(b []byte, xml11 bool) (text string, bad int) {
	var out strings.Builder
	out.Grow(len(b))
	copied := 0
	for i := 0; i < len(b); {
		c := b[i]
		if ' ' <= c && c < 0x7F || c == '\n' || c == '\t' {
			i++
			continue
		}
		size := lineEnd(b[i:], xml11)
		if size > 0 {
			out.Write(b[copied:i])
			out.WriteByte('\n')
			i += size
			copied = i
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if !isChar(r, false) || xml11 && 0x7F <= r && r < 0xA0 {
			out.Write(b[copied:i])
			return out.String(), i
		}
		i += size
	}
	out.Write(b[copied:])
	return out.String(), -1
}

// lineEnd returns the length of the line end that b begins with, other than a
// lone line feed, or 0.
func lineEnd(b []byte, xml11 bool) int {
	switch {
	case bytes.HasPrefix(b, []byte("\r\n")):
		return len("\r\n")
	case xml11 && bytes.HasPrefix(b, []byte("\r\u0085")):
		return len("\r\u0085")
	case b[0] == '\r':
		return len("\r")
	case xml11 && bytes.HasPrefix(b, []byte("\u0085")):
		return len("\u0085")
	case xml11 && bytes.HasPrefix(b, []byte("\u2028")):
		return len("\u2028")
	}
	return 0
}

// isChar reports whether a character reference may name r. In XML 1.0 it may
// name what may also stand unescaped; XML 1.1 lets it name the controls too,
// except NUL.
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

// isSpace reports white space after line ends have been normalised.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
