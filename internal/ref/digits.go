package ref

import (
	"strings"
	"unicode/utf8"
)

func fromHex(text string) (string, bool) {
	text = strings.TrimPrefix(strings.TrimPrefix(unquoted(text), "0x"), `\x`)
	return fromDigits(text, 4, " \t\r\n:", hexDigit)
}

func fromBase64(text string) (string, bool) {
	text = unquoted(text)
	if _, encoded, ok := strings.Cut(text, ";base64,"); ok && strings.HasPrefix(text, "data:") {
		text = encoded
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, "!!binary"), "base64:")
	text = strings.TrimRight(text, "= \t\r\n")
	return fromDigits(text, 6, " \t\r\n", base64Digit)
}

func unquoted(text string) string { return strings.Trim(text, "\"'` \t\r\n") }

// minDecodedSize is the size from which decoded text can be a reference: a prefix
// and a character after it.
const minDecodedSize = len(prefixBrace) + 1

// fromDigits decodes digits of some bits each and ignores the skipped characters
// between them, and remaining bits, since the text may be cut off. It returns false
// if the bytes are not text, as with nearly all passwords.
func fromDigits(text string, bits uint, skipped string, digit func(byte) int) (string, bool) {
	if len(text)*int(bits)/8 < minDecodedSize {
		return "", false
	}
	var buffer [256]byte // decoded passwords stay on the stack
	decoded := buffer[:0]
	var pending, have uint
	for i := range len(text) {
		n := digit(text[i])
		if n < 0 {
			if strings.IndexByte(skipped, text[i]) < 0 {
				return "", false
			}
			continue
		}
		pending, have = pending<<bits|uint(n), have+bits
		if have >= 8 {
			have -= 8
			decoded = append(decoded, byte(pending>>have))
			pending &= 1<<have - 1
		}
	}
	if len(decoded) < minDecodedSize || !isText(decoded) {
		return "", false
	}
	return string(decoded), true
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// base64Digit accepts the standard alphabet and the URL alphabet.
func base64Digit(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 26
	case c >= '0' && c <= '9':
		return int(c-'0') + 52
	case c == '+' || c == '-':
		return 62
	case c == '/' || c == '_':
		return 63
	}
	return -1
}

// isText reports whether b can be text: UTF-8, possibly cut off, or UTF-16.
func isText(b []byte) bool {
	nul := 0
	for i := 0; i < len(b); {
		c, size := utf8.DecodeRune(b[i:])
		switch {
		case c == 0:
			nul++
		case c == utf8.RuneError && size == 1 && i >= 2 && len(b)-i >= utf8.UTFMax:
			return false
		case c < ' ' && c != '\t' && c != '\n' && c != '\r':
			return false
		}
		i += size
	}
	return nul == 0 || 3*nul >= len(b)
}
