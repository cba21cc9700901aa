package jsonptr

import (
	"math/bits"
	"strings"
	"unicode/utf8"
)

// The skip functions validate one construct and return the offset after it, or the
// offset of the problem. For speed they are plain functions over offsets and create no
// error values.

// document scans all of s. If w is not nil, it follows its pointer.
func document(s string, w *walk) (next int, p problem) {
	if strings.HasPrefix(s, "\ufeff") {
		return 0, byteOrderMark
	}
	i := SkipSpace(s, 0)
	if w != nil {
		i, p = w.value(i, 0, 0)
	} else {
		i, p = skipValue(s, i, 0)
	}
	if p != fine {
		return i, p
	}
	if i = SkipSpace(s, i); i < len(s) {
		return i, trailing
	}
	return i, fine
}

// skipValue skips the value at s[i], inside depth containers.
//
// A loop is twice as fast as a recursion: the open containers are a stack of bits in a
// word, and only every 64th level is a call.
func skipValue(s string, i, depth int) (next int, p problem) {
	var objects uint64 // a bit per open container, innermost lowest: set for objects
	open := 0
	for {
		if objects&1 != 0 {
			if _, i, _, p = skipName(s, i); p != fine {
				return i, p
			}
		}
		if uint(i) >= uint(len(s)) {
			return i, truncated
		}
		switch c := s[i]; {
		case c == '"':
			i, _, p = skipString(s, i+1)
		case isDigit(c) || c == '-':
			i, p = skipNumber(s, i)
		case c == '{' || c == '[':
			if depth+open >= MaxDepth {
				return i, tooDeep
			}
			if open == 64 {
				i, p = skipValue(s, i, depth+open)
				break
			}
			i = SkipSpace(s, i+1)
			if i < len(s) && s[i] == c+2 { // the closing byte of either kind
				i++
				break
			}
			open++
			objects <<= 1
			if c == '{' {
				objects |= 1
			}
			continue
		case c == 't':
			i, p = skipLiteral(s, i, "true")
		case c == 'f':
			i, p = skipLiteral(s, i, "false")
		case c == 'n':
			i, p = skipLiteral(s, i, "null")
		default:
			return i, unexpected
		}
		if p != fine {
			return i, p
		}
		for {
			if open == 0 {
				return i, fine
			}
			if i = SkipSpace(s, i); uint(i) >= uint(len(s)) {
				return i, truncated
			}
			if s[i] == ',' {
				i = SkipSpace(s, i+1)
				break
			}
			if uint64(s[i]) != ']'+objects&1<<5 { // ']' or '}'
				return i, unexpected
			}
			i++
			open--
			objects >>= 1
		}
	}
}

// skipName skips a member's name, which ends before s[end], and its colon. next is the
// offset of its value.
func skipName(s string, i int) (end, next int, escaped bool, p problem) {
	if i >= len(s) {
		return 0, i, false, truncated
	}
	if s[i] != '"' {
		return 0, i, false, unexpected
	}
	if i, escaped, p = skipString(s, i+1); p != fine {
		return 0, i, false, p
	}
	end = i - 1
	if i = SkipSpace(s, i); i >= len(s) {
		return 0, i, false, truncated
	}
	if s[i] != ':' {
		return 0, i, false, unexpected
	}
	return end, SkipSpace(s, i+1), escaped, fine
}

// skipComma skips the comma after an element, up to the next element, or the closing
// byte; then more is false.
func skipComma(s string, i int, closing byte) (next int, more bool, p problem) {
	if i = SkipSpace(s, i); i >= len(s) {
		return i, false, truncated
	}
	switch s[i] {
	case ',':
		return SkipSpace(s, i+1), true, fine
	case closing:
		return i + 1, false, fine
	}
	return i, false, unexpected
}

// skipString skips a string literal from the offset after its opening quote.
func skipString(s string, i int) (next int, escaped bool, p problem) {
	for {
		for len(s)-i >= 8 {
			stops := stopBytes(load64(s[i:]))
			if stops != 0 {
				i += bits.TrailingZeros64(stops) >> 3
				break
			}
			i += 8
		}
		for i < len(s) && s[i] >= ' ' && s[i] < utf8.RuneSelf && s[i] != '"' && s[i] != '\\' {
			i++
		}
		if i >= len(s) {
			return i, escaped, truncated
		}
		switch c := s[i]; {
		case c == '"':
			return i + 1, escaped, fine
		case c == '\\':
			escaped = true
			if _, i, p = escape(s, i); p != fine {
				return i, escaped, p
			}
		case c < ' ':
			return i, escaped, unexpected
		default:
			for i < len(s) && s[i] >= utf8.RuneSelf {
				r, n := utf8.DecodeRuneInString(s[i:])
				if r == utf8.RuneError && n <= 1 {
					return i, escaped, badUTF8
				}
				i += n
			}
		}
	}
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// stopBytes returns a word whose lowest set bit is the top bit of the first of the eight
// bytes of w, least significant first, that needs attention in a string: a quote, a
// backslash, a control character or a non-ASCII byte. Higher bits are undefined, since
// subtraction borrows from the bytes above.
func stopBytes(w uint64) uint64 {
	// Exchanging '"' (0x22) and ' ' (0x20) moves the quote next to the control
	// characters, so that one comparison finds both.
	quoteOrControl := (w ^ 0x02*lowBits) - 0x21*lowBits
	backslash := (w ^ '\\'*lowBits) - lowBits
	return (quoteOrControl | backslash | w) & highBits
}

// load64 returns the first eight bytes of s, the first least significant, with one load
// instruction.
func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// skipNumber skips the number at s[i].
func skipNumber(s string, i int) (next int, p problem) {
	if s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if i, p = skipDigits(s, i); p != fine {
		return i, p
	}
	if i < len(s) && s[i] == '.' {
		if i, p = skipDigits(s, i+1); p != fine {
			return i, p
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		return skipDigits(s, i)
	}
	return i, fine
}

// skipDigits skips one or more digits.
func skipDigits(s string, i int) (next int, p problem) {
	start := i
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	switch {
	case i > start:
		return i, fine
	case i == len(s):
		return i, truncated
	}
	return i, unexpected
}

// skipLiteral skips word, whose first byte is s[i].
func skipLiteral(s string, i int, word string) (next int, p problem) {
	if len(s)-i >= len(word) && s[i:i+len(word)] == word {
		return i + len(word), fine
	}
	for n := 1; n < len(word); n++ {
		if i+n >= len(s) {
			return i + n, truncated
		}
		if s[i+n] != word[n] {
			return i + n, unexpected
		}
	}
	return i + len(word), fine
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func isSpace(c byte) bool {
	const spaces uint64 = 1<<' ' | 1<<'\t' | 1<<'\n' | 1<<'\r'
	return c <= ' ' && spaces>>c&1 != 0
}
