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

// Overlay returns the entries as Bitbucket reads them in an environment, a list of
// name=value: the entries of its file with substitutions replaced, and the entries
// set by variables, which override them. Only properties that are in the file or in
// the layout are looked up, since the name of a property cannot be derived from
// that of a variable.
//
// The rules are those of Spring. A property is set by the variable with its name,
// or with "_" for "." and "-", unchanged or in capitals. A substitution is ${name}
// or ${name:default}; both parts may contain substitutions. A name is looked up in
// the environment first, then among the properties. A substitution that cannot be
// replaced stays, and so does one after a backslash, which only newer versions of
// Spring read as an escape.
func Overlay(entries Entries, env []string) (replaced []Entry, overrides []Override) {
	x := expander{env: map[string]string{}, file: map[string]string{}, budget: maxExpanded}
	for _, assignment := range env {
		name, value, ok := strings.Cut(assignment, "=")
		if _, known := x.env[name]; ok && !known { // programs see the first of two
			x.env[name] = value
		}
	}
	l := formats[DotProperties].layout
	keys := []string{l.Driver, l.URL, l.Username, l.Password, l.Class, l.AnyClass}
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
	for _, e := range entries {
		e.Value, _ = x.expand(e.Value, nil)
		replaced = append(replaced, e)
	}
	for _, key := range keys {
		if name, value, ok := x.variable(key); ok {
			value, _ = x.expand(value, nil)
			overrides = append(overrides, Override{Entry{Key: key, Value: value}, name})
		}
	}
	return replaced, overrides
}

// HasSubstitution reports whether Spring would replace a part of text.
func HasSubstitution(text string) bool {
	_, rest, found := strings.Cut(text, "${")
	return found && strings.Contains(rest, "}")
}

// SubstitutionError returns the error for a value with a substitution.
func SubstitutionError() error {
	return fault.New(fault.Unsupported, "it contains a ${…}, which the product replaces; "+
		"pass the product's environment to WithEnvironment, or write the value itself")
}

// MissingURLError returns the error for a file without a database URL.
func MissingURLError() error {
	return fault.New(fault.NotFound,
		"the file has no %s: official charts keep Bitbucket's database settings in the environment (JDBC_URL, JDBC_USER, "+
			"JDBC_PASSWORD, …); pass the product's environment to WithEnvironment",
		formats[DotProperties].layout.URL)
}

// maxExpanded limits the text that replaces substitutions, in bytes.
const maxExpanded = 1 << 20

// expander replaces substitutions.
type expander struct {
	env, file map[string]string
	budget    int // bytes left for replacements, which could double each other without end
}

// variable returns the variable that sets a property.
func (e *expander) variable(key string) (name, value string, ok bool) {
	flat := strings.NewReplacer(".", "_", "-", "_").Replace(key)
	for _, name := range []string{key, flat, strings.ToUpper(key), strings.ToUpper(flat)} {
		if value, ok := e.env[name]; ok {
			return name, value, true
		}
	}
	return "", "", false
}

// lookup returns the value of a name.
func (e *expander) lookup(name string) (string, bool) {
	if _, value, ok := e.variable(name); ok {
		return value, true
	}
	value, ok := e.file[name]
	return value, ok
}

// expand replaces the substitutions in text. within has the names whose values
// contain text. ok is false if a substitution is left.
func (e *expander) expand(text string, within []string) (expanded string, ok bool) {
	var out strings.Builder
	ok = true
	for {
		start := strings.Index(text, "${")
		end := -1
		if start >= 0 {
			end = closingBrace(text, start+len("${"))
		}
		if end < 0 {
			out.WriteString(text)
			return out.String(), ok
		}
		out.WriteString(text[:start])
		value, found := "", false
		if start == 0 || text[start-1] != '\\' {
			value, found = e.value(text[start+len("${"):end], within)
		}
		if !found {
			value, ok = text[start:end+1], false
		}
		out.WriteString(value)
		text = text[end+1:]
	}
}

// maxNested limits the nesting of substitutions, in names and in their values.
const maxNested = 32

// value returns the replacement of a substitution; inner is the text between its
// braces.
func (e *expander) value(inner string, within []string) (string, bool) {
	if len(within) >= maxNested {
		return "", false
	}
	inner, ok := e.expand(inner, append(slices.Clip(within), "")) // one level deeper
	if !ok {
		return "", false
	}
	name := inner
	value, found := e.lookup(name)
	if !found {
		var fallback string
		var has bool
		if name, fallback, has = strings.Cut(inner, ":"); !has {
			return "", false
		}
		if value, found = e.lookup(name); !found {
			return fallback, true
		}
	}
	if e.budget -= len(value); e.budget < 0 || slices.Contains(within, name) && name != "" {
		return "", false // it contains itself
	}
	return e.expand(value, append(slices.Clip(within), name))
}

// closingBrace returns the offset of the brace that closes a substitution, or -1.
func closingBrace(text string, from int) int {
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
