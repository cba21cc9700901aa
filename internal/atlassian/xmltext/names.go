package xmltext

import (
	"encoding/xml"
	"strings"
	"unicode/utf8"
)

// isNameByte reports whether the ASCII character c is allowed in a name.
func isNameByte(c byte) bool {
	return isNameStartByte(c) || '0' <= c && c <= '9' || c == '-' || c == '.'
}

func isNameStartByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == ':'
}

// name returns the Name (production 5, colons included) at the start of s, or
// "" if there is none.
func name(s string) string {
	n, isASCII := 0, true
	for n < len(s) && (s[n] >= utf8.RuneSelf || isNameByte(s[n])) {
		isASCII = isASCII && s[n] < utf8.RuneSelf
		n++
	}
	switch {
	case n == 0:
		return ""
	case isASCII && isNameStartByte(s[0]):
		return s[:n]
	case !isASCII && isWideName(s[:n]):
		return s[:n]
	}
	return ""
}

// ncName returns the NCName (a name without colons) at the start of s, or "".
func ncName(s string) string {
	local, _, _ := strings.Cut(name(s), ":")
	return local
}

// isWideName reports whether s, which has characters beyond ASCII, is a name.
// Xerces allows the characters of Appendix B of XML 1.0's fourth edition, and
// so does encoding/xml, which has the tables.
func isWideName(s string) bool {
	_, err := xml.NewDecoder(strings.NewReader("<?" + s + " ?>")).RawToken()
	return err == nil
}
