package javaobj

import (
	"unicode/utf16"
	"unicode/utf8"
)

// decodeUTF decodes modified UTF-8 (java.io.DataInput): NUL is C0 80, and characters
// beyond the basic plane are two surrogates of three bytes each. bad is the offset
// of malformed bytes, or negative.
//
// The JDK's decoder also accepts a plain NUL and overlong forms. Its encoder never
// writes them, so that they are damage here. It does write unpaired surrogates,
// which no Go string can represent: then lone is set.
func decodeUTF(b []byte) (s string, bad int, lone bool) {
	out := make([]byte, 0, len(b)) // large enough: a surrogate pair has six bytes, and four in UTF-8
	for i := 0; i < len(b); {
		unit, n := decodeUnit(b[i:])
		if n == 0 {
			return "", i, false
		}
		start := i
		i += n
		if utf16.IsSurrogate(unit) {
			low, m := decodeUnit(b[i:])
			if unit = utf16.DecodeRune(unit, low); unit == utf8.RuneError {
				return "", start, true
			}
			i += m
		}
		out = utf8.AppendRune(out, unit)
	}
	return string(out), -1, false
}

// decodeUnit decodes the UTF-16 unit at the start of b and returns its length, zero if
// there is none.
func decodeUnit(b []byte) (unit rune, n int) {
	continues := func(i int) bool { return i < len(b) && b[i]&0xc0 == 0x80 }
	switch {
	case len(b) == 0:
		return 0, 0
	case b[0] != 0 && b[0] < utf8.RuneSelf:
		return rune(b[0]), 1
	case b[0]&0xe0 == 0xc0 && continues(1):
		unit = rune(b[0]&0x1f)<<6 | rune(b[1]&0x3f)
		if unit >= 0x80 || unit == 0 {
			return unit, 2
		}
	case b[0]&0xf0 == 0xe0 && continues(1) && continues(2):
		unit = rune(b[0]&0xf)<<12 | rune(b[1]&0x3f)<<6 | rune(b[2]&0x3f)
		if unit >= 0x800 {
			return unit, 3
		}
	}
	return 0, 0
}
