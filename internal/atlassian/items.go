package atlassian

import (
	"slices"
	"strings"
	"unicode"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// Item is one value that has to be resolved.
type Item struct {
	Entry
	Index int    // of the entry
	Class string // the name of its cipher class, "" if it has none

	// Text is the value as the class receives it: without the prefix, if the
	// product removes it.
	Text string
}

// Items lists the values of a file that have to be resolved: the password and, in
// .properties, every value with a prefix and every part of the database connection
// with a substitution.
func Items(p Product, entries Entries) ([]Item, error) {
	l := LayoutOf(p)
	if l == (Layout{}) {
		return nil, fault.New(fault.Unsupported, "the product %q is not known", p)
	}
	if err := checkDataSource(p, entries); err != nil {
		return nil, err
	}
	for _, key := range []string{l.Password, l.Class, l.URL, l.Username, l.Driver, l.Schema} {
		if err := checkUnique(p, entries, key); err != nil {
			return nil, err
		}
	}
	i, password := Find(p, entries, l.Password)
	_, class := Find(p, entries, l.Class)
	className := strings.TrimSpace(class.Value)
	switch {
	case i < 0 && className != "":
		return nil, fault.New(fault.Syntax,
			"line %d: %s names the class of a password, but %s is missing", class.Line, l.Class, l.Password)
	case l.AnyClass != "":
		return prefixedItems(l, entries, className), nil
	case i < 0:
		return nil, nil
	}
	return []Item{{password, i, className, password.Value}}, nil
}

// prefixedItems lists the items of a file in which every value can have a prefix.
func prefixedItems(l Layout, entries Entries, passwordClass string) []Item {
	last := map[string]int{} // the entry of each key that the product reads
	anyClass := ""
	for i, e := range entries {
		if last[e.Key] = i; e.Key == l.AnyClass {
			anyClass = strings.TrimSpace(e.Value)
		}
	}
	var items []Item
	for i, e := range entries {
		if last[e.Key] != i {
			continue
		}
		item := Item{Entry: e, Index: i, Text: e.Value}
		body, prefix := cutPrefix(e.Value)
		switch {
		case prefix == exactPrefix && anyClass != "":
			item.Class, item.Text = anyClass, body
		case e.Key == l.Password:
			item.Class = passwordClass
		case prefix == noPrefix &&
			!(HasSubstitution(e.Value) && slices.Contains([]string{l.URL, l.Username, l.Driver}, e.Key)):
			continue
		}
		items = append(items, item) // one with a misspelled prefix and no class is refused later
	}
	return items
}

// prefixKind is whether a value has a prefix.
type prefixKind int

const (
	noPrefix prefixKind = iota
	exactPrefix
	misspelledPrefix // which the product does not recognize
)

// cutPrefix removes the prefix of a value. The text after it stays as it is.
func cutPrefix(value string) (body string, kind prefixKind) {
	text := strings.TrimLeftFunc(value, unicode.IsSpace)
	if body, ok := ref.CutPrefix(text); ok {
		return body, exactPrefix
	}
	const n = len("{ENC}")
	if len(text) >= n &&
		(strings.EqualFold(text[:n], "{ENC}") || strings.EqualFold(text[:n], "<ENC>")) {
		return "", misspelledPrefix
	}
	return "", noPrefix
}
