package jdbc

import "strings"

// searchPath returns the search path, with the schema of the product's file
// first. What pgjdbc calls currentSchema is a search path already: a list of
// identifiers, which the server reads in lower case unless they are quoted.
func searchPath(schema string, o *options) string {
	list, _ := o.take("currentSchema")
	if schema == "" {
		return list
	}
	path := []string{quoteIdentifier(schema)}
	for list = strings.TrimSpace(list); list != ""; {
		name, rest, ok := identifier(list)
		if !ok {
			o.t.mistake("currentSchema is not a list of schemas")
			break
		}
		if name != schema {
			path = append(path, quoteIdentifier(name))
		}
		list = rest
	}
	return strings.Join(path, ", ")
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
		if strings.ContainsAny(name, "\" ") {
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
