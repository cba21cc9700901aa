package ref

import (
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A disguise is a form in which a reference, or any other text, is not readable
// as it is. decode returns false for a text that does not have the form.
type disguise struct {
	decode func(text string) (plain string, ok bool)
	says   string
}

var disguises = [...]disguise{
	{withoutNUL, "it is UTF-16 text, as PowerShell's > writes it: save it as UTF-8"},
	{joinLines, "a line break or an invisible character stands inside it: write it in one line"},
	{fromEntities, "it holds HTML entities: write the characters themselves"},
	{fromPercent, "it is URL-encoded: write it decoded"},
	{fromQuotedPrintable, "it is quoted-printable, as in a mail: write it decoded"},
	{fromWide, "its characters are not those of ASCII, but only look like them: write it anew"},
	{fromEscapes, "its characters are escaped with backslashes: write the characters themselves"},
	{fromHex, "it is written in hexadecimal: write it decoded"},
	{fromBase64, "it is written in Base64: write it decoded"},
}

// maxDisguises is how many forms may lie around each other: a Base64 text of
// UTF-16, a URL-encoded text in several lines.
const maxDisguises = 3

// disguised says in which form a reference was written that is none as it
// stands, "" if there is no reference in text.
func (g *Grammar) disguised(text string) string { return g.unmask(text, maxDisguises) }

func (g *Grammar) unmask(text string, depth int) string {
	if depth == 0 || len(text) > 4*maxText {
		return ""
	}
	for _, d := range disguises {
		plain, ok := d.decode(text)
		if !ok {
			continue
		}
		plain = strings.TrimSpace(plain)
		if g.referenceLike(plain) || g.unmask(plain, depth-1) != "" {
			return d.says
		}
	}
	return ""
}

// referenceLike reports whether text was meant as a reference, or as another
// value that is no password.
func (g *Grammar) referenceLike(text string) bool {
	return g.meant(text) || sealedHint(text) != "" || misspeltPrefix(text) != "" || holdsPlaceholder(text) || foreign(text) != ""
}

// withoutNUL removes what UTF-16 puts between the characters of ASCII, and its
// byte order mark.
func withoutNUL(text string) (string, bool) {
	if strings.IndexByte(text, 0) < 0 {
		return "", false
	}
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\ufeff", "ÿþ", "þÿ", "\ufffd\ufffd", "\ufffd"} {
		if rest, ok := strings.CutPrefix(text, mark); ok {
			text = rest
			break
		}
	}
	return strings.ReplaceAll(text, "\x00", ""), true
}

// joinLines removes line breaks with the blanks around them and the character
// that marks a continued line, and characters that cannot be seen.
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

// fromQuotedPrintable undoes what mail programs do to text.
func fromQuotedPrintable(text string) (string, bool) {
	return replaceCodes(text, '=', func(rest string) (string, int) { return hexByte(rest, 0) })
}

// fromWide undoes the wide letters of East Asian input, and other forms that
// Unicode has of the same letters.
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

// replaceCodes replaces each code that begins with a sign. decode is given what
// follows the sign and returns the text and how much of it stands for that, zero
// for something that is no code.
func replaceCodes(text string, sign byte, decode func(rest string) (string, int)) (string, bool) {
	if strings.IndexByte(text, sign) < 0 {
		return "", false
	}
	var b strings.Builder
	done := 0 // of text
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

// hexByte decodes two digits at an offset. It returns where they end, or zero.
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

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// base64Digit takes the standard alphabet and that for URLs.
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

// minDecoded is the length of the shortest text that is looked at: a prefix and
// something after it.
const minDecoded = len(prefixBrace) + 1

// fromDigits decodes digits of some bits each, between which skipped characters
// may stand. Bits that are left over are ignored: the text may be cut off. Bytes
// that are no text, which nearly all passwords lead to, give false.
func fromDigits(text string, bits uint, skipped string, digit func(byte) int) (string, bool) {
	if len(text)*int(bits)/8 < minDecoded {
		return "", false
	}
	var room [256]byte // on the stack: passwords are not decoded on the heap
	decoded := room[:0]
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
	if len(decoded) < minDecoded || !textual(decoded) {
		return "", false
	}
	return string(decoded), true
}

// textual reports whether b can be text: UTF-8 up to where it may be cut off, or
// UTF-16.
func textual(b []byte) bool {
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
