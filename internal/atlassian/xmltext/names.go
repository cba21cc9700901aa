package xmltext

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// isNameByte reports whether the ASCII character c may stand in a name.
func isNameByte(c byte) bool {
	return isNameStartByte(c) || '0' <= c && c <= '9' || c == '-' || c == '.'
}

func isNameStartByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == ':'
}

// name returns the Name (production 5, colons included) that s begins with,
// or "".
func name(s string, xml11 bool) string {
	i := 0
	for i < len(s) {
		if s[i] < utf8.RuneSelf {
			if !isNameByte(s[i]) || i == 0 && !isNameStartByte(s[i]) {
				break
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if !isWideNameChar(r, xml11, i == 0) {
			break
		}
		i += size
	}
	return s[:i]
}

// ncName returns the NCName (a name without colons) that s begins with, or "".
func ncName(s string, xml11 bool) string {
	n := name(s, xml11)
	for i := range len(n) {
		if n[i] == ':' {
			return n[:i]
		}
	}
	return n
}

func isWideNameChar(r rune, xml11, first bool) bool {
	if xml11 {
		return in(nameStart11, r) || !first && in(nameMore11, r)
	}
	return in(nameStart10, r) || !first && in(nameMore10, r)
}

// in reports whether one of the sorted ranges has r.
func in(ranges [][2]rune, r rune) bool {
	i, found := slices.BinarySearchFunc(ranges, r, func(of [2]rune, r rune) int { return cmp.Compare(of[0], r) })
	return found || i > 0 && r <= ranges[i-1][1]
}

// Name characters of XML 1.1 beyond ASCII (section 2.3).
var (
	nameStart11 = [][2]rune{
		{0xC0, 0xD6}, {0xD8, 0xF6}, {0xF8, 0x2FF}, {0x370, 0x37D}, {0x37F, 0x1FFF}, {0x200C, 0x200D},
		{0x2070, 0x218F}, {0x2C00, 0x2FEF}, {0x3001, 0xD7FF}, {0xF900, 0xFDCF}, {0xFDF0, 0xFFFD},
		{0x10000, 0xEFFFF},
	}
	nameMore11 = [][2]rune{{0xB7, 0xB7}, {0x300, 0x36F}, {0x203F, 0x2040}}
)
