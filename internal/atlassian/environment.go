package atlassian

import (
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// An Override is an entry whose value comes from a variable of the environment.
type Override struct {
	Entry
	Variable string
}

// Overlay returns what Bitbucket makes of the entries of its file in an
// environment, a list of name=value: the entries, in which placeholders are
// replaced, and those that variables set, which win over them. Only properties
// that are in the file or in the layout are looked for: the name of a variable
// does not tell which property it is.
//
// The rules are those of Spring. A property is set by the variable of its name,
// or of its name with "_" for "." and "-", as it is or in capitals. A placeholder
// is ${name} or ${name:default}, and both parts may hold placeholders; a name is
// looked up in the environment first, then among the properties. What cannot be
// replaced stays as it is, and so does a placeholder behind a backslash, which
// only newer versions of Spring take for an escape.
func Overlay(entries []Entry, env []string) (replaced []Entry, overrides []Override) {
	x := expander{env: map[string]string{}, file: map[string]string{}, room: maxExpanded}
	for _, assignment := range env {
		name, value, ok := strings.Cut(assignment, "=")
		if _, known := x.env[name]; ok && !known { // of two, programs see the first
			x.env[name] = value
		}
	}
	keys := []string{dotProperties.Driver, dotProperties.URL, dotProperties.Username, dotProperties.Password, dotProperties.Class, dotProperties.AnyClass}
	known := map[string]bool{"": true}
	for _, key := range keys {
		known[key] = true
	}
	for _, e := range entries {
		if x.file[e.Key] = e.Value; !known[e.Key] {
			known[e.Key] = true
			keys = append(keys, e.Key)
		}
	}
	replaced = slices.Clone(entries)
	for i := range replaced {
		replaced[i].Value, _ = x.expand(replaced[i].Value, nil)
	}
	for _, key := range keys {
		if name, value, ok := x.variable(key); ok {
			value, _ = x.expand(value, nil)
			overrides = append(overrides, Override{Entry{Key: key, Value: value}, name})
		}
	}
	return replaced, overrides
}

// HoldsPlaceholder reports whether Spring would replace a part of text.
func HoldsPlaceholder(text string) bool {
	_, rest, found := strings.Cut(text, "${")
	return found && strings.Contains(rest, "}")
}

// PlaceholderFault is the error for a value with a placeholder.
func PlaceholderFault() error {
	return fault.New(fault.Unsupported, "there is a ${…} in it: the product puts something else in its place; "+
		"give the product's environment to WithEnvironment, or write the value itself")
}

// MissingURLFault is the error for a file that names no database.
func MissingURLFault() error {
	return fault.New(fault.NotFound, "the file has no %s: official charts keep Bitbucket's database settings in the environment (JDBC_URL, JDBC_USER, "+
		"JDBC_PASSWORD, …); give the product's environment to WithEnvironment", dotProperties.URL)
}

// maxExpanded is how much text is put in for placeholders, in bytes.
const maxExpanded = 1 << 20

// expander replaces placeholders.
type expander struct {
	env, file map[string]string
	room      int // for what is still put in: values could double each other without end
}

// variable returns the variable that sets a property.
func (x *expander) variable(key string) (name, value string, ok bool) {
	flat := strings.NewReplacer(".", "_", "-", "_").Replace(key)
	for _, name := range []string{key, flat, strings.ToUpper(key), strings.ToUpper(flat)} {
		if value, ok := x.env[name]; ok {
			return name, value, true
		}
	}
	return "", "", false
}

// lookup returns what a placeholder of that name stands for.
func (x *expander) lookup(name string) (string, bool) {
	if _, value, ok := x.variable(name); ok {
		return value, true
	}
	value, ok := x.file[name]
	return value, ok
}

// expand replaces the placeholders in text; within has the names whose values
// text is a part of. It reports whether none is left.
func (x *expander) expand(text string, within []string) (string, bool) {
	var out strings.Builder
	whole := true
	for {
		start := strings.Index(text, "${")
		end := -1
		if start >= 0 {
			end = closing(text, start+len("${"))
		}
		if end < 0 {
			out.WriteString(text)
			return out.String(), whole
		}
		out.WriteString(text[:start])
		value, ok := "", false
		if start == 0 || text[start-1] != '\\' {
			value, ok = x.value(text[start+len("${"):end], within)
		}
		if !ok {
			value, whole = text[start:end+1], false
		}
		out.WriteString(value)
		text = text[end+1:]
	}
}

// maxNested is how deep placeholders and the values behind them may be nested.
const maxNested = 32

// value returns what a placeholder stands for, which is what is between its
// braces.
func (x *expander) value(inner string, within []string) (string, bool) {
	if len(within) >= maxNested {
		return "", false
	}
	inner, ok := x.expand(inner, append(slices.Clip(within), "")) // a step deeper
	if !ok {
		return "", false
	}
	name := inner
	value, found := x.lookup(name)
	if !found {
		var fallback string
		var has bool
		if name, fallback, has = strings.Cut(inner, ":"); !has {
			return "", false
		}
		if value, found = x.lookup(name); !found {
			return fallback, true
		}
	}
	if x.room -= len(value); x.room < 0 || slices.Contains(within, name) && name != "" {
		return "", false // it is a part of itself
	}
	return x.expand(value, append(slices.Clip(within), name))
}

// closing returns where the brace is that closes a placeholder, or -1.
func closing(text string, from int) int {
	depth := 0
	for i := from; i < len(text); i++ {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}
