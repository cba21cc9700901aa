package ref

import (
	"strings"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
)

// Find returns the offsets of the next reference in running text: its value is
// text[start:end]. ok is false if there is none. A misspelled prefix before
// coordinates is an error.
func Find(text string) (start, end int, ok bool, err error) {
	start, after, exact := nextPrefix(text)
	switch {
	case start < 0:
		return 0, 0, false, nil
	case !exact:
		return start, after, true, fault.New(fault.Syntax, "the prefix is written %s", prefixBrace)
	}
	i := after
	for i < len(text) && strings.IndexByte(" \t\r\n", text[i]) >= 0 {
		i++
	}
	if i == len(text) || text[i] != '{' && text[i] != '<' {
		return start, after, true, fault.New(fault.Syntax,
			"%s", prefixHint(text[i:min(len(text), i+200)]))
	}
	rest := text[i:]
	if IsPlaceholder(rest[:min(len(rest), len(Placeholder))]) {
		return start, i, true, PlaceholderError()
	}
	if len(rest) > maxText {
		rest = rest[:maxText]
		for !utf8.ValidString(rest[len(rest)-4:]) && len(rest) > maxText-4 {
			rest = rest[:len(rest)-1]
		}
	}
	_, n, err := scanMembers(rest, nil)
	if err != nil {
		return start, i, true, syntaxError(rest[:min(len(rest), n+16)], err)
	}
	return start, i + n, true, nil
}

const (
	openBrackets  = "{<(["
	closeBrackets = "}>)]"
)

// nextPrefix returns the offsets of the next prefix. exact is false if it is
// misspelled before coordinates: another letter case, other brackets or spaces, or
// one wrong letter.
func nextPrefix(text string) (start, end int, exact bool) {
	for at := 0; at < len(text); {
		word := at
		for word < len(text) && !isASCIILetter(text[word]) {
			word++
		}
		at = word
		for at < len(text) && isASCIILetter(text[at]) {
			at++
		}
		if at-word < 2 || at-word > 4 || !Near(strings.ToUpper(text[word:at]), "ENC", 1) {
			continue
		}
		before := strings.TrimRight(text[:word], " ")
		after := strings.TrimLeft(text[at:], " \\")
		opens := before != "" && strings.IndexByte(openBrackets, before[len(before)-1]) >= 0 ||
			strings.HasSuffix(before, "&lt;")
		closes := after != "" && strings.IndexByte(closeBrackets, after[0]) >= 0
		if opens && closes && text[word:at] == "ENC" && text[word-1] != ' ' && text[at] == after[0] {
			if p := text[word-1 : at+1]; p == prefixBrace || p == prefixAngle {
				return word - 1, at + 1, true
			}
		}
		if closes {
			after = after[1:]
		}
		after = strings.TrimPrefix(after, "&gt;")
		same := strings.EqualFold(text[word:at], "ENC")
		switch {
		case opens && closes && same,
			(opens || closes || text[word:at] == "ENC" && strings.HasPrefix(text[at:], `{"`)) &&
				beginsCoordinates(after),
			opens && same && strings.HasPrefix(after, `"`):
			return word, at, false
		}
	}
	return -1, -1, false
}

func isASCIILetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// beginsCoordinates reports whether text begins with coordinates in either form,
// with or without backslashes.
func beginsCoordinates(text string) bool {
	text = strings.TrimLeft(text, " \t\r\n\\")
	if text == "" || text[0] != '{' && text[0] != '<' {
		return false
	}
	return strings.HasPrefix(strings.TrimLeft(text[1:], " \t\r\n\\"), `"`)
}
