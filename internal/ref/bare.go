package ref

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// FindBare returns where the next object without a prefix stands in running
// text that was meant as a reference: it has all required fields of a backend,
// of which at most one is misspelt; letter case does not matter. It takes time in proportion to the text.
func (g *Grammar) FindBare(text string) (start int, ok bool) {
	for at := 0; ; at++ {
		i := strings.IndexByte(text[at:], '{')
		if i < 0 {
			return 0, false
		}
		at += i
		if names, flat := memberNames(text[at:]); flat && g.hasRequiredFields(names) {
			return at, true
		}
	}
}

// FindDisguised returns where the first line stands that holds a reference in
// escaped form: URL-encoded in a connection string, with entities in XML, inside
// a JSON string. What it would resolve to has no place there, and as it stands
// it would be taken for the secret.
func (g *Grammar) FindDisguised(text string) (start int, ok bool) {
	if strings.IndexByte(text, 0) >= 0 { // UTF-16, whose lines are none
		if plain, ok := withoutNUL(text); ok && g.holdsReference(plain) {
			return 0, true
		}
	}
	for line := range strings.Lines(text) {
		if g.holdsDisguised(line, maxDisguises-1) {
			return start, true
		}
		start += len(line)
	}
	return 0, false
}

func (g *Grammar) holdsDisguised(line string, depth int) bool {
	for _, decode := range []func(string) (string, bool){fromPercent, fromEntities, fromEscapes} {
		plain, ok := decode(line)
		if ok && (g.holdsReference(plain) || depth > 1 && g.holdsDisguised(plain, depth-1)) {
			return true
		}
	}
	return false
}

// holdsReference reports whether a reference stands in running text, with its
// prefix or without.
func (g *Grammar) holdsReference(text string) bool {
	for {
		start, end, ok, err := Find(text)
		if !ok {
			break
		}
		if _, wrong := g.Coordinates(text[start:end]); err == nil && wrong == nil {
			return true
		}
		text = text[end:]
	}
	_, ok := g.FindBare(text)
	return ok
}

// DisguisedError is about a reference that FindDisguised finds.
func DisguisedError() error {
	return fault.New(fault.Syntax, "a secret reference in the text is escaped, URL-encoded or UTF-16: write it as it is, with the prefix %s", prefixBrace)
}

// BareError is about a reference without a prefix in running text.
func BareError() error {
	return fault.New(fault.Syntax, "a JSON object in the text looks like a secret reference without its prefix: write %s before it", prefixBrace)
}

// hasRequiredFields reports whether names has all required fields of one
// backend, of which at most one is misspelt.
func (g *Grammar) hasRequiredFields(names []string) bool {
	for _, schema := range schemas {
		var required []string
		for _, f := range schema {
			if f.required {
				required = append(required, f.name)
			}
		}
		if coversFields(names, required) {
			return true
		}
	}
	return slices.ContainsFunc(g.Customs, func(c CustomFields) bool { return coversFields(names, c.Fields) })
}

func coversFields(names, required []string) bool {
	misspelt := 0
	for _, field := range required {
		switch {
		case slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, field) }):
		case slices.ContainsFunc(names, func(name string) bool { return nearFold(Fold(name), Fold(field), typingErrors(field)) }):
			misspelt++
		default:
			return false
		}
	}
	return len(required) > 0 && misspelt <= 1
}

// typingErrors is how many typing errors make a misspelt field: two errors in a
// short word make any other word.
func typingErrors(field string) int {
	if len(field) > 5 {
		return 2
	}
	return 1
}

// memberNames returns the names of the members of the object that text begins
// with; flat is false if it is not an object of strings, numbers and literals.
// It looks no further than the next brace outside a string.
func memberNames(text string) (names []string, flat bool) {
	const space = " \t\r\n"
	rest := text[1:]
	for range maxMembers {
		rest = strings.TrimLeft(rest, space)
		name, after, ok := cutString(rest)
		if !ok {
			return nil, false
		}
		if rest, ok = strings.CutPrefix(strings.TrimLeft(after, space), ":"); !ok {
			return nil, false
		}
		names = append(names, name)
		rest = strings.TrimLeft(rest, space)
		if _, after, ok = cutString(rest); !ok {
			end := strings.IndexAny(rest, `,}{["`)
			if end <= 0 {
				return nil, false
			}
			after = rest[end:]
		}
		rest = strings.TrimLeft(after, space)
		if strings.HasPrefix(rest, "}") {
			return names, true
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return nil, false
		}
		rest = strings.TrimLeft(rest, space)
		if strings.HasPrefix(rest, "}") { // a comma too many
			return names, true
		}
	}
	return nil, false
}

// cutString returns the JSON string that text begins with, and what follows.
func cutString(text string) (s, after string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", false
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			err := json.Unmarshal([]byte(text[:i+1]), &s)
			return s, text[i+1:], err == nil
		}
	}
	return "", "", false
}
