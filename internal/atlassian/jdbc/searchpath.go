package jdbc

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// searchPath returns the search path, with the schema of the product's file
// first. The product puts its name before those of tables without quotes, where
// the server reads it in lower case; if there is no such schema, which the
// server passes over, the name as it is written is meant. What pgjdbc calls currentSchema is a search path already: a list of
// identifiers, which the server reads in lower case unless they are quoted.
func searchPath(schema string, o *options) string {
	list, _ := o.take("currentSchema")
	if schema == "" {
		return list
	}
	names := []string{schema}
	if folded := lower(schema); folded != schema && plainIdentifier(schema) {
		names = []string{folded, schema}
	}
	for list = strings.TrimSpace(list); list != ""; {
		name, rest, ok := identifier(list)
		if !ok {
			o.t.mistake("currentSchema is not a list of schemas")
			break
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		list = rest
	}
	for i, name := range names {
		names[i] = quoteIdentifier(name)
	}
	return strings.Join(names, ", ")
}

// plainIdentifier reports whether a name can stand in SQL without quotes.
func plainIdentifier(s string) bool {
	for i, c := range s {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= utf8.RuneSelf
		if !letter && (i == 0 || c != '$' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// identifier reads the first of a list, as the server does, and what stands
// behind its comma.
func identifier(list string) (name, rest string, ok bool) {
	if quoted, found := strings.CutPrefix(list, `"`); found {
		var b strings.Builder
		for {
			part, behind, closed := strings.Cut(quoted, `"`)
			b.WriteString(part)
			if !closed {
				return "", "", false
			}
			if quoted, found = strings.CutPrefix(behind, `"`); !found {
				name, rest = b.String(), strings.TrimSpace(behind)
				break
			}
			b.WriteByte('"')
		}
		if rest != "" && rest[0] != ',' {
			return "", "", false
		}
	} else {
		end := strings.IndexByte(list, ',')
		if end < 0 {
			end = len(list)
		}
		name, rest = lower(strings.TrimSpace(list[:end])), list[end:]
		if strings.ContainsAny(name, "\" \t") {
			return "", "", false
		}
	}
	rest, comma := strings.CutPrefix(rest, ",")
	rest = strings.TrimSpace(rest)
	return name, rest, name != "" && (!comma || rest != "")
}

// lower is the server's: in a database of more than one byte a character it
// leaves what is not ASCII alone.
func lower(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}

func quoteIdentifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
