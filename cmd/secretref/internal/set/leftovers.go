package set

import (
	"encoding/hex"
	"html"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/seed74218947/secretref/cmd/secretref/internal/config"
	"github.com/seed74218947/secretref/internal/atlassian/edit"
	"github.com/seed74218947/secretref/internal/atlassian/xmltext"
)

// minSearchedRunes is the length of the shortest password to search for: shorter ones
// occur by chance.
const minSearchedRunes = 4

// reportLeftovers warns about places where the changed file still contains a
// password. It prints only line numbers.
func (j *setOperation) reportLeftovers() {
	if config.URLHasPassword(config.FromDecoded(j.result.File, j.path), j.layout) {
		j.report("warning", "%s contains a password in plain text, which this command leaves "+
			"unchanged: remove it from there", j.layout.URL)
	}
	old := strings.TrimSpace(j.old.Reveal())
	if !j.oldKnown || j.change.Class == "" && old == strings.TrimSpace(j.change.Value) {
		return // the new value is that password, and is meant to be in the file
	}
	found := "the old password is still"
	switch {
	case len(j.result.Lines) == 0:
		found = "the password is still"
	case j.dryRun:
		found = "the old password would still be"
	}
	if lines := j.linesContaining(old); lines != nil {
		j.report("warning", "%s in %s: remove it from there, or change the password of the "+
			"database", found, lines)
	}
}

// lineNumbers are line numbers in ascending order.
type lineNumbers []int

func (l lineNumbers) String() string {
	texts := make([]string, len(l))
	for i, n := range l {
		texts[i] = strconv.Itoa(n)
	}
	if len(texts) == 1 {
		return "line " + texts[0]
	}
	return "lines " + strings.Join(texts[:len(texts)-1], ", ") + " and " + texts[len(texts)-1]
}

// linesContaining lists the lines of the changed text that contain a password in any
// encoding. The new value itself does not count.
func (j *setOperation) linesContaining(password string) (lines lineNumbers) {
	if utf8.RuneCountInString(password) < minSearchedRunes {
		return nil
	}
	name := filepath.Base(j.path)
	without := j.change
	without.Value = "-"
	result := j.result
	if bare, err := edit.Apply(name, result.Text, without); err == nil {
		result = bare
	}
	has := func(text string) bool {
		return slices.ContainsFunc(decodings(text), func(view string) bool {
			if j.change.Class != "" {
				view = strings.ReplaceAll(view, j.change.Class, "")
			}
			return strings.Contains(view, password)
		})
	}
	first, text := decodeText(name, result.Text)
	for i, line := range strings.Split(text, "\n") {
		if has(line) {
			lines = append(lines, first+i)
		}
	}
	for _, e := range result.File.Entries { // an entry may span several lines
		if has(e.Value) {
			lines = append(lines, e.Line)
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// decodeText returns the text of a file in UTF-8, with line feeds, and the number
// of its first line.
func decodeText(name string, text []byte) (first int, plain string) {
	if filepath.Ext(name) != ".properties" {
		if doc, err := xmltext.Locate(text); err == nil {
			return doc.Text()
		}
	}
	plain = string(text)
	if !utf8.Valid(text) {
		runes := make([]rune, len(text)) // ISO-8859-1
		for i, b := range text {
			runes[i] = rune(b)
		}
		plain = string(runes)
	}
	return 1, strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(plain)
}

var (
	javaEscape    = regexp.MustCompile(`(?:\\u[0-9a-fA-F]{4})+|\\[^u]`)
	percentEscape = regexp.MustCompile(`(?:%[0-9a-fA-F]{2})+`)
)

// decodings returns the possible meanings of a text: verbatim, in XML, in .properties,
// and each of these in a URL.
func decodings(text string) []string {
	all := []string{text, html.UnescapeString(text),
		javaEscape.ReplaceAllStringFunc(text, unescapeJava)}
	for _, v := range all {
		all = append(all, unescapeURL(v), unescapeURL(strings.ReplaceAll(v, "+", " ")))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unescapeURL decodes percent-encoding and leaves malformed sequences unchanged.
func unescapeURL(s string) string {
	return percentEscape.ReplaceAllStringFunc(s, func(s string) string {
		b, _ := hex.DecodeString(strings.ReplaceAll(s, "%", ""))
		return string(b)
	})
}

// unescapeJava decodes one backslash escape, or a sequence of \u escapes.
func unescapeJava(s string) string {
	if s[1] != 'u' {
		if i := strings.IndexByte("tnrf", s[1]); i >= 0 {
			return "\t\n\r\f"[i : i+1]
		}
		return s[1:]
	}
	var units []uint16
	for hex := range strings.SplitSeq(s[len(`\u`):], `\u`) {
		unit, _ := strconv.ParseUint(hex, 16, 16)
		units = append(units, uint16(unit))
	}
	return string(utf16.Decode(units))
}
