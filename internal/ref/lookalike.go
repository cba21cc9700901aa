package ref

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// looksLikeReference reports whether text was probably written as a reference,
// even if it is broken. Such a text is never used as a password, so in doubt the
// answer is yes.
func (g *Grammar) looksLikeReference(text string) bool {
	if opens := opensObject(text) || assignsObject(text); !opens && !hasQuotedName(text) {
		return containsPrefix(text) || g.hasTwoNames(text) || g.hasBracedName(text) ||
			isBareKeyringMember(text)
	} else if opens && g.hasDistantName(text) {
		return true
	}
	return containsAnyFold(text, distinctiveNames[:]...) || g.hasSplitName(text) ||
		g.hasQuotedCustomName(text) || g.hasEscapedName(text) || containsPrefix(text)
}

// isBareKeyringMember reports whether text is a reference to a keyring without
// braces and quotes, as one line of YAML. Other references have several members.
func isBareKeyringMember(text string) bool {
	name, _, ok := strings.Cut(text, ":")
	return ok && strings.EqualFold(strings.TrimSpace(name), fieldKeyring)
}

// containsPrefix reports whether there is a prefix anywhere in text.
func containsPrefix(text string) bool {
	return strings.Contains(text, prefixBrace) || strings.Contains(text, prefixAngle)
}

// goMapStart is how Go prints a map, as which a reference without quotes in YAML
// can end up.
const goMapStart = "map["

// hasBracedName reports whether text has an opening brace before a distinctive
// name and a colon or an equals sign.
func (g *Grammar) hasBracedName(text string) bool {
	text = strings.ReplaceAll(text, goMapStart, "{")
	for {
		i := strings.IndexByte(text, '{')
		if i < 0 {
			return false
		}
		text = text[i+1:]
		rest := strings.TrimLeft(text, " \t\"'`\\")
		end := strings.IndexFunc(rest, func(c rune) bool { return !isWordRune(c) })
		if end <= 0 {
			continue
		}
		if after := strings.TrimLeft(rest[end:], " \t\"'`\\"); after != "" &&
			(after[0] == ':' || after[0] == '=') && g.matchesFieldName(rest[:end]) {
			return true
		}
	}
}

// minDistantLength is the length from which a name may have two typing errors. Two
// errors turn a shorter one into any other word.
const minDistantLength = 7

// ordinaryWords are two typing errors away from a distinctive name, but mean
// nothing.
var ordinaryWords = [...]string{"secret", "secrets", "midpoint"}

// hasDistantName reports whether the name of a member is two typing errors away
// from a distinctive name. For a region, the value has to look like one, too.
func (g *Grammar) hasDistantName(text string) bool {
	near := func(name, want string) bool {
		return len(want) >= minDistantLength &&
			nearFold(name, want, 2)
	}
	for i, c := range text {
		if c != ':' && c != '=' && c != '：' {
			continue
		}
		name := memberName(text[:i])
		if slices.ContainsFunc(ordinaryWords[:],
			func(word string) bool { return strings.EqualFold(name, word) }) {
			continue
		}
		if slices.ContainsFunc(distinctiveNames[:], func(want string) bool { return near(name, want) }) ||
			slices.ContainsFunc(g.Customs, func(c CustomBackend) bool {
				return slices.ContainsFunc(c.Fields, func(want string) bool { return near(name, want) })
			}) {
			return true
		}
		if nearFold(name, fieldRegion, 2) {
			value := strings.TrimLeft(text[i+utf8.RuneLen(c):], "\"'` \t\\")
			end := strings.IndexFunc(value,
				func(c rune) bool { return c != '-' && !unicode.IsLetter(c) && !unicode.IsDigit(c) })
			if end > 0 && isRegionID(value[:end]) && strings.Count(value[:end], "-") >= 2 &&
				unicode.IsDigit(rune(value[end-1])) {
				return true
			}
		}
	}
	return false
}

// hasSplitName reports whether a word of text, or two words with one other
// character between them, are a distinctive name: the character may be the typing
// error.
func (g *Grammar) hasSplitName(text string) bool {
	before, start := 0, 0 // of the previous word, if there is one, and of this one
	for start < len(text) {
		end := len(text)
		if i := strings.IndexFunc(text[start:], func(c rune) bool { return !isWordRune(c) }); i >= 0 {
			end = start + i
		}
		word := start < end
		if word && (g.matchesFieldName(text[start:end]) ||
			before < start && g.matchesFieldName(text[before:end])) {
			return true
		}
		_, gap := utf8.DecodeRuneInString(text[end:])
		before, start = start, end+gap
		if !word {
			before = start
		}
	}
	return false
}

// hasQuotedCustomName looks between quotes for the fields of the caller's stores,
// which can have other characters than words have.
func (g *Grammar) hasQuotedCustomName(text string) bool {
	if len(g.Customs) == 0 {
		return false
	}
	for piece := range strings.SplitSeq(text, `"`) {
		if g.matchesFieldName(piece) {
			return true
		}
	}
	return false
}

// matchesFieldName reports whether a word is a distinctive name, in any letter
// case, or one typing error away from it.
func (g *Grammar) matchesFieldName(word string) bool {
	for _, name := range distinctiveNames {
		if nearFold(word, name, 1) {
			return true
		}
	}
	for _, c := range g.Customs {
		for _, name := range c.Fields {
			if nearFold(word, name, 1) {
				return true
			}
		}
	}
	return false
}

// hasEscapedName looks for distinctive names that are written with JSON escapes.
func (g *Grammar) hasEscapedName(text string) bool {
	if !strings.HasPrefix(text, "{") || !strings.Contains(text, `\`) || len(text) > maxText {
		return false
	}
	var buffer [8]member // on the stack
	members, _, _ := scanMembers(text, buffer[:0])
	return slices.ContainsFunc(members, func(m member) bool { return g.matchesFieldName(m.name) })
}

// hasTwoNames reports whether text has two different distinctive names, each
// before a colon or an equals sign: coordinates without braces and quotes.
func (g *Grammar) hasTwoNames(text string) bool {
	seen := ""
	for i, c := range text {
		if c != ':' && c != '=' {
			continue
		}
		word := lastWord(strings.TrimRight(text[:i], " \t"))
		if word == "" || !g.matchesFieldName(word) {
			continue
		}
		if word = strings.ToLower(word); seen != "" && word != seen {
			return true
		}
		seen = word
	}
	return false
}
