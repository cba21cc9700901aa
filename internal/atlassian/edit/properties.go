package edit

import (
	"bytes"
	"slices"

	"github.com/seed74218947/secretref/internal/atlassian/properties"
	"github.com/seed74218947/secretref/internal/fault"
)

// spliceProperties returns the replacements for the steps in a .properties file.
func spliceProperties(text []byte, p *plan, _ bool) ([]replacement, error) {
	places, err := properties.Locate(text)
	if err != nil {
		return nil, err
	}
	var all []replacement
	for _, s := range p.steps {
		at := places[s.entry]
		value, ok := properties.Quote(s.value)
		if !ok {
			return nil, fault.New(fault.Unsupported, "the value is not UTF-8")
		}
		switch s.op {
		case set:
			if at.Bare {
				value = "=" + value
			}
			all = append(all, replacement{at.Value, at.End, []byte(value)})
		case insert:
			line := slices.Concat(indent(text[at.Start:]), []byte(s.key+"="+value), lineEnd(text, at))
			all = append(all, replacement{at.Start, at.Start, line})
		case remove:
			all = append(all, replacement{at.Start, at.End + eol(text[at.End:]), nil})
		}
	}
	return all, nil
}

// lineEnd returns the line end after a pair or, if it has none, the first one of the
// file.
func lineEnd(text []byte, at properties.Place) []byte {
	if n := eol(text[at.End:]); n > 0 {
		return text[at.End : at.End+n]
	}
	if i := bytes.IndexAny(text, "\r\n"); i >= 0 {
		return text[i : i+eol(text[i:])]
	}
	return []byte("\n")
}

// eol returns the length of the line end at the start of text, or 0.
func eol(text []byte) int {
	switch {
	case bytes.HasPrefix(text, []byte("\r\n")):
		return 2
	case bytes.HasPrefix(text, []byte("\r")), bytes.HasPrefix(text, []byte("\n")):
		return 1
	}
	return 0
}
