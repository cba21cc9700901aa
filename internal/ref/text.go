package ref

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// containsAnyFold reports whether text contains one of the names, in any letter
// case. The names are ASCII and begin with a lower-case letter.
func containsAnyFold(text string, names ...string) bool {
	for i, c := range text {
		c = unicode.ToLower(c)
		for _, name := range names {
			if c == rune(name[0]) && hasPrefixFold(text[i:], name) {
				return true
			}
		}
	}
	return false
}

// hasPrefixFold reports whether text begins with the ASCII prefix, in any letter
// case.
func hasPrefixFold(text, prefix string) bool {
	n := 0
	for _, c := range text {
		if n == len(prefix) || unicode.ToLower(c) != unicode.ToLower(rune(prefix[n])) {
			break
		}
		n++
	}
	return n == len(prefix)
}

func lastWord(s string) string {
	i := strings.LastIndexFunc(s, func(c rune) bool { return !isWordRune(c) })
	if i < 0 {
		return s
	}
	_, size := utf8.DecodeRuneInString(s[i:])
	return s[i+size:]
}

func isWordRune(c rune) bool {
	return unicode.IsLetter(c) || unicode.IsDigit(c) || c == '_' || c == '-'
}

// braceForms are opening braces, and other characters and escapes for them.
var braceForms = [...]string{"{", "｛", "﹛", "&#123;", "&#x7b;", "&#x7B;", "&lcub;", "&lbrace;",
	"%7b", "%7B", `\u007b`, `\u007B`, `\x7b`}

// opensObject reports whether text begins with a brace, possibly quoted, escaped
// or changed by an editor.
func opensObject(text string) bool {
	for text != "" {
		for _, o := range braceForms {
			if strings.HasPrefix(text, o) {
				return true
			}
		}
		c, size := utf8.DecodeRuneInString(text)
		if !strings.ContainsRune("\"'`\\([<“”„‘’‚«»", c) && !isInvisible(c) {
			return false
		}
		text = text[size:]
	}
	return false
}

func isInvisible(c rune) bool {
	return unicode.IsSpace(c) || unicode.Is(unicode.Cf, c) || unicode.IsControl(c)
}

// quoteForms are quotes after a name, and other characters and escapes for them.
var quoteForms = [...]string{`"`, "'", "`", "”", "“", "„", "’", "‘", "‚", "»", "«", "″", "′",
	"＂", "＇",
	"&quot;", "&#34;", "&#x22;", "&apos;", "&#39;", "&#x27;", "&ldquo;", "&rdquo;", "&lsquo;",
	"&rsquo;", `\u0022`, "%22", "%27"}

// hasQuotedName reports whether text has a quote of any kind before a colon.
func hasQuotedName(text string) bool {
	for i, c := range text {
		if c != ':' && c != '：' && c != '=' && !strings.HasPrefix(text[i:], "%3A") &&
			!strings.HasPrefix(text[i:], "%3a") {
			continue
		}
		before := strings.TrimRightFunc(text[:i], isInvisible)
		for _, q := range quoteForms {
			if strings.HasSuffix(before, q) {
				return true
			}
		}
	}
	return false
}

// memberName returns the name at the end of before, the text before a colon,
// without its quotes.
func memberName(before string) string {
	mark := func(c rune) bool { return strings.ContainsRune("\"'`“”„‘’‚«»\\", c) }
	before = strings.TrimRightFunc(before, func(c rune) bool { return mark(c) || isInvisible(c) })
	start := strings.LastIndexFunc(before,
		func(c rune) bool { return mark(c) || strings.ContainsRune("{}[](),;:=<>", c) })
	if start >= 0 {
		_, size := utf8.DecodeRuneInString(before[start:])
		before = before[start+size:]
	}
	return strings.TrimFunc(before, isInvisible)
}

// assignsObject reports whether an object follows a colon or an equals sign, as in
// a whole line copied from a file.
func assignsObject(text string) bool {
	for {
		i := strings.IndexAny(text, "=:")
		if i < 0 {
			return false
		}
		if text = text[i+1:]; opensObject(text) {
			return true
		}
	}
}
