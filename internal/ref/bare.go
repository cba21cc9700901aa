package ref

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// FindBare returns the offset of the next object without a prefix in running text
// that looks like a reference: it has all required fields of a backend, at most
// one of them misspelled, in any letter case. It runs in linear time.
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

// FindEncoded returns the offset of the first line with an escaped reference:
// URL-encoded in a connection string, with entities in XML, inside a JSON string.
// Its secret could not be put there without the same escaping, and unresolved the
// reference would be used as the secret.
func (g *Grammar) FindEncoded(text string) (start int, ok bool) {
	if strings.IndexByte(text, 0) >= 0 { // UTF-16, in which lines cannot be found
		if plain, ok := fromUTF16(text); ok && g.containsReference(plain) {
			return 0, true
		}
	}
	for line := range strings.Lines(text) {
		if g.lineHasEncoded(line, maxEncodings-1) {
			return start, true
		}
		start += len(line)
	}
	return 0, false
}

func (g *Grammar) lineHasEncoded(line string, depth int) bool {
	for _, decode := range []func(string) (string, bool){fromPercent, fromEntities, fromEscapes} {
		plain, ok := decode(line)
		if ok && (g.containsReference(plain) || depth > 1 && g.lineHasEncoded(plain, depth-1)) {
			return true
		}
	}
	return false
}

// containsReference reports whether there is a reference in running text, with or
// without its prefix.
func (g *Grammar) containsReference(text string) bool {
	for {
		start, end, ok, err := Find(text)
		if !ok {
			break
		}
		if _, wrong := g.ParseCoordinates(text[start:end]); err == nil && wrong == nil {
			return true
		}
		text = text[end:]
	}
	_, ok := g.FindBare(text)
	return ok
}

// EncodedError is the error for a reference that FindEncoded finds.
func EncodedError() error {
	return fault.New(fault.Syntax,
		"a secret reference in the text is escaped, URL-encoded or UTF-16: write it as it is, with the prefix %s", prefixBrace)
}

// BareError is the error for a reference that FindBare finds.
func BareError() error {
	return fault.New(fault.Syntax,
		"a JSON object in the text looks like a secret reference without its prefix: write %s before it",
		prefixBrace)
}

// hasRequiredFields reports whether names has all required fields of one
// backend, at most one of them misspelled.
func (g *Grammar) hasRequiredFields(names []string) bool {
	for _, b := range backends {
		var required []string
		for _, f := range b.fields {
			if f.required {
				required = append(required, f.name)
			}
		}
		if hasAllFields(names, required) {
			return true
		}
	}
	return slices.ContainsFunc(g.Customs,
		func(c CustomBackend) bool { return hasAllFields(names, c.Fields) })
}

// hasAllFields reports whether names has all required fields, at most one of them
// misspelled.
func hasAllFields(names, required []string) bool {
	misspelled := 0
	for _, field := range required {
		switch {
		case slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, field) }):
		case slices.ContainsFunc(names,
			func(name string) bool { return nearFold(Fold(name), Fold(field), allowedTypos(field)) }):
			misspelled++
		default:
			return false
		}
	}
	return len(required) > 0 && misspelled <= 1
}

// memberNames returns the names of the members of the object at the start of text;
// flat is false if it is not an object of strings, numbers and literals. It reads
// up to the next brace outside a string.
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
		if strings.HasPrefix(rest, "}") { // an extra comma
			return names, true
		}
	}
	return nil, false
}

// cutString returns the JSON string at the start of text, and the text after it.
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
