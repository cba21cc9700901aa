package fault

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable makes text safe for a terminal or a log: it escapes, as in a Go string,
// every character that moves the cursor, hides text or reverses its direction, that
// is control and format characters, line separators and bytes that are not UTF-8.
// Printable(Printable(s)) == Printable(s).
func Printable(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, notPrintable) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case !notPrintable(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		text = text[size:]
	}
	return b.String()
}

func notPrintable(r rune) bool { return !unicode.IsPrint(r) }
