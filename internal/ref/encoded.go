package ref

import (
	"strings"
)

// An encoding is a form in which a reference has to be decoded before it can be
// read. decode returns false for a text that does not have the form.
type encoding struct {
	decode func(text string) (plain string, ok bool)
	hint   string
}

var encodings = [...]encoding{
	{fromUTF16, "it is UTF-16 text, as PowerShell's > writes it: save it as UTF-8"},
	{joinLines, "there is a line break or an invisible character inside it: write it on one line"},
	{fromEntities, "it contains HTML entities: write the characters themselves"},
	{fromPercent, "it is URL-encoded: write it decoded"},
	{fromQuotedPrintable, "it is quoted-printable, as in a mail: write it decoded"},
	{fromWide, "its characters only look like ASCII: type it again"},
	{fromEscapes, "its characters are escaped with backslashes: write the characters themselves"},
	{fromHex, "it is written in hexadecimal: write it decoded"},
	{fromBase64, "it is written in Base64: write it decoded"},
}

// maxEncodings limits how many encodings are undone one after another: a Base64
// text of UTF-16, a URL-encoded text on several lines.
const maxEncodings = 3

// encodedHint says how to fix an encoded reference. It returns "" if there is none
// in text.
func (g *Grammar) encodedHint(text string) string { return g.decodedHint(text, maxEncodings) }

func (g *Grammar) decodedHint(text string, depth int) string {
	if depth == 0 || len(text) > 4*maxText {
		return ""
	}
	for _, d := range encodings {
		plain, ok := d.decode(text)
		if !ok {
			continue
		}
		plain = strings.TrimSpace(plain)
		if g.isMisplacedReference(plain) || g.decodedHint(plain, depth-1) != "" {
			return d.hint
		}
	}
	return ""
}

// isMisplacedReference reports whether text looks like a reference or like another
// value that is not a password.
func (g *Grammar) isMisplacedReference(text string) bool {
	return g.looksLikeReference(text) || cipherValueHint(text) != "" ||
		misspeltPrefixHint(text) != "" || containsPlaceholder(text) || otherToolHint(text) != ""
}
