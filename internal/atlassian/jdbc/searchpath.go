package jdbc

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// searchPath returns the search path, with the schema of the product's file first. The
// product qualifies tables with the unquoted name, which the server reads in lower
// case. The name as written comes second, for a server that has no schema in lower
// case. The option currentSchema of pgjdbc is a search path: a list of identifiers,
// which the server reads in lower case unless they are quoted.
func searchPath(schema string, o *options) string {
	list, _ := o.take("currentSchema")
	if schema == "" {
		return list
	}
	names := []string{schema}
	if folded := lowerASCII(schema); folded != schema && plainIdentifier(schema) {
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

// plainIdentifier reports whether a name needs no quotes in SQL.
func plainIdentifier(s string) bool {
	for i, c := range s {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= utf8.RuneSelf
		if !letter && (i == 0 || c != '$' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// identifier returns the first identifier of a list, as the server reads it, and the
// list after its comma.
func identifier(list string) (name, rest string, ok bool) {
	if quoted, found := strings.CutPrefix(list, `"`); found {
		var b strings.Builder
		for {
			part, after, closed := strings.Cut(quoted, `"`)
			b.WriteString(part)
			if !closed {
				return "", "", false
			}
			if quoted, found = strings.CutPrefix(after, `"`); !found {
				name, rest = b.String(), strings.TrimSpace(after)
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
		name, rest = lowerASCII(strings.TrimSpace(list[:end])), list[end:]
		if strings.ContainsAny(name, "\" \t") {
			return "", "", false
		}
	}
	rest, comma := strings.CutPrefix(rest, ",")
	rest = strings.TrimSpace(rest)
	return name, rest, name != "" && (!comma || rest != "")
}

// lowerASCII converts to lower case as the server does: in a database with a multibyte
// encoding it changes only ASCII.
func lowerASCII(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}

func quoteIdentifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
