package ref

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
)

// member is one member of the coordinates as written.
type member struct {
	name, value string
	start       int  // of the value, in the text
	first       byte // of the value
	kind        Kind // whose backend has a field of that name, or 0
	field       int  // its index in the backend's fields
}

func memberIndex(members []member, name string) int {
	return slices.IndexFunc(members, func(m member) bool { return m.name == name })
}

// scanMembers appends the members of the object at the start of text and returns
// the offset after it. In the angle form the brackets are < and >.
//
// On an error it returns the members before the error, too.
func scanMembers(text string, members []member) (_ []member, end int, err error) {
	closing := byte('}')
	if text[0] == '<' {
		closing = '>'
	}
	i := jsonptr.SkipSpace(text, 1)
	if i < len(text) && text[i] == closing {
		return members, i + 1, nil
	}
	for {
		if i >= len(text) {
			return members, i, truncatedError()
		}
		if text[i] != '"' {
			return members, i, expectedError{"a field name in double quotes", i}
		}
		var m member
		if m.name, i, err = jsonptr.String(text, i); err != nil {
			return members, i, err
		}
		if i = jsonptr.SkipSpace(text, i); i >= len(text) || text[i] != ':' {
			return members, i, expectedError{"a colon after the field name", i}
		}
		if i = jsonptr.SkipSpace(text, i+1); i >= len(text) {
			return members, i, truncatedError()
		}
		m.first, m.start = text[i], i
		if m.first == '"' {
			m.value, i, err = jsonptr.String(text, i)
		} else {
			i, err = jsonptr.Skip(text, i)
		}
		if err != nil {
			return members, i, err
		}
		m.kind, m.field = fieldNamed(m.name)
		if members = append(members, m); len(members) > maxMembers {
			return members, i, fault.New(fault.Syntax,
				"the coordinates have more than %d fields", maxMembers)
		}
		if i = jsonptr.SkipSpace(text, i); i >= len(text) {
			return members, i, truncatedError()
		}
		switch text[i] {
		case closing:
			return members, i + 1, nil
		case ',':
			i = jsonptr.SkipSpace(text, i+1)
		default:
			return members, i, expectedError{fmt.Sprintf("a comma or %q", closing), i}
		}
	}
}

func truncatedError() error {
	return fault.New(fault.Syntax,
		"the coordinates are cut short: a closing brace or quote is missing")
}

// expectedError is a syntax error at an offset in the coordinates.
type expectedError struct {
	what string
	at   int
}

func (e expectedError) Error() string { return fmt.Sprintf("expected %s at byte %d", e.what, e.at) }

// syntaxError turns a scanner's error into one that says how to fix the text,
// without quoting it.
func syntaxError(text string, err error) error {
	why := "the coordinates are not valid JSON"
	if e, ok := errors.AsType[*fault.Error](err); ok {
		why = e.Text
	} else if e, ok := errors.AsType[expectedError](err); ok {
		why = e.Error()
	}
	if controlInString(text) {
		why += "; there is a line break or another control character inside a name or a value"
	} else if hint := quoteHint(text); hint != "" {
		why += "; " + hint
	}
	return fault.New(fault.Syntax, "%s", why)
}

// controlInString reports whether there is a control character between quotes.
func controlInString(text string) bool {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c < ' ' && quoted:
			return true
		}
	}
	return false
}

func checkDuplicates(members []member) error {
	for i := range members {
		for j := range i {
			if members[i].name == members[j].name {
				return fault.New(fault.Syntax, "%s appears twice", fieldLabel(members[i]))
			}
		}
	}
	return nil
}

// fieldLabel returns the name of a field for a message, or its position if the
// name may be a misplaced password.
func fieldLabel(m member) string {
	if safeToPrint(m.name) {
		return fmt.Sprintf("field %q", m.name)
	}
	return fmt.Sprintf("field before byte %d", m.start)
}

// safeToPrint reports whether s may be quoted in a message, because it looks like
// a name and not like a password with punctuation.
func safeToPrint(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool {
		return c >= utf8.RuneSelf ||
			(!unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("_-./", c))
	})
}

func typeOf(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
