package ref

import (
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fromUTF16 removes the NUL bytes that ASCII characters have in UTF-16, and the
// byte order mark.
func fromUTF16(text string) (string, bool) {
	if strings.IndexByte(text, 0) < 0 {
		return "", false
	}
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\ufeff", "ÿþ", "þÿ", "\ufffd\ufffd",
		"\ufffd"} {
		if rest, ok := strings.CutPrefix(text, mark); ok {
			text = rest
			break
		}
	}
	return strings.ReplaceAll(text, "\x00", ""), true
}

// joinLines removes line breaks, with the blanks and continuation characters
// around them, and invisible characters.
func joinLines(text string) (string, bool) {
	vanishes := func(c rune) bool {
		return unicode.IsControl(c) && c != '\t' || unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp)
	}
	if !strings.ContainsFunc(text, vanishes) {
		return "", false
	}
	var b strings.Builder
	for text != "" {
		i := strings.IndexFunc(text, vanishes)
		if i < 0 {
			b.WriteString(text)
			break
		}
		c, size := utf8.DecodeRuneInString(text[i:])
		before, after := text[:i], text[i+size:]
		if !unicode.Is(unicode.Cf, c) {
			before = strings.TrimRight(before, " \t")
			before = strings.TrimRight(before, `\=`)
			after = strings.TrimLeft(after, " \t")
		}
		b.WriteString(before)
		text = after
	}
	return b.String(), true
}

func fromEntities(text string) (string, bool) {
	if !strings.Contains(text, "&") || !strings.Contains(text, ";") {
		return "", false
	}
	plain := html.UnescapeString(text)
	return plain, plain != text
}

// fromQuotedPrintable undoes the encoding of mail programs.
func fromQuotedPrintable(text string) (string, bool) {
	return replaceCodes(text, '=', func(rest string) (string, int) { return hexByte(rest, 0) })
}

// fromWide replaces the wide letters of East Asian input, and other compatibility
// forms, by ASCII.
func fromWide(text string) (string, bool) {
	plain := norm.NFKC.String(text)
	return plain, plain != text
}

func fromPercent(text string) (string, bool) {
	return replaceCodes(text, '%', func(rest string) (string, int) { return hexByte(rest, 0) })
}

// fromEscapes undoes the escapes of JSON, Java and shells.
func fromEscapes(text string) (string, bool) {
	return replaceCodes(text, '\\', func(rest string) (string, int) {
		switch {
		case rest == "":
			return "", 0
		case rest[0] == 'x':
			return hexByte(rest, 1)
		case len(rest) >= 3 && rest[0] <= '3' && octalDigits(rest[:3]):
			return string([]byte{(rest[0]-'0')<<6 | (rest[1]-'0')<<3 | (rest[2] - '0')}), 3
		case strings.HasPrefix(rest, "u{"):
			return bracedRune(rest)
		case rest[0] != 'u':
			return rest[:1], 1
		}
		high, n := hexByte(rest, 1)
		low, m := hexByte(rest, 3)
		if n == 0 || m == 0 {
			return "", 0
		}
		return string(rune(high[0])<<8 | rune(low[0])), m
	})
}

func octalDigits(s string) bool { return strings.Trim(s, "01234567") == "" }

// bracedRune decodes u{7b}, as Rust, Swift and JavaScript write it.
func bracedRune(code string) (string, int) {
	digits, _, closed := strings.Cut(code[len("u{"):], "}")
	c, err := strconv.ParseUint(digits, 16, 21)
	if !closed || err != nil {
		return "", 0
	}
	return string(rune(c)), len("u{}") + len(digits)
}

// replaceCodes replaces each code that begins with a sign. decode receives the text
// after the sign and returns the decoded text and the length of the code, zero if
// there is none.
func replaceCodes(text string, sign byte, decode func(rest string) (string, int)) (string, bool) {
	if strings.IndexByte(text, sign) < 0 {
		return "", false
	}
	var b strings.Builder
	done := 0 // bytes of text
	for i := 0; i < len(text); i++ {
		if text[i] != sign {
			continue
		}
		if plain, n := decode(text[i+1:]); n > 0 {
			b.WriteString(text[done:i])
			b.WriteString(plain)
			i += n
			done = i + 1
		}
	}
	if done == 0 {
		return "", false
	}
	b.WriteString(text[done:])
	return b.String(), true
}

// hexByte decodes two digits at an offset and returns the offset after them, or
// zero.
func hexByte(s string, at int) (string, int) {
	if at+2 > len(s) {
		return "", 0
	}
	high, low := hexDigit(s[at]), hexDigit(s[at+1])
	if high < 0 || low < 0 {
		return "", 0
	}
	return string([]byte{byte(high<<4 | low)}), at + 2
}
