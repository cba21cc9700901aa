package ref

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

// parseObject parses coordinates in either form. If the members name no backend, the
// error is fault.NotReference and an *unknownFieldsError.
func (g *Grammar) parseObject(text string) (Reference, error) {
	if len(text) > maxText {
		return Reference{}, fault.New(fault.Syntax, "the coordinates are longer than %d bytes", maxText)
	}
	var buffer [8]member // on the stack: no backend has more fields
	members, end, err := scanMembers(text, buffer[:0])
	if err != nil {
		return Reference{}, syntaxError(text, err)
	}
	if end != len(text) {
		return Reference{}, fault.New(fault.Syntax,
			"unexpected text after the coordinates, at byte %d", end)
	}
	if err := checkDuplicates(members); err != nil {
		return Reference{}, err
	}
	if custom, err := g.customBackend(members); err != nil {
		return Reference{}, err
	} else if custom != nil {
		if text[0] == '<' {
			text = "{" + text[1:end-1] + "}"
		}
		return checkLength(text, Reference{Kind: Custom, Class: custom.Class, Text: printableJSON(text)})
	}
	r, err := builtInReference(members)
	if err != nil {
		return Reference{}, err
	}
	return checkLength(text, r)
}

// checkLength refuses a reference whose canonical text would be too long to be
// parsed, since unprintable characters are escaped in it.
func checkLength(text string, r Reference) (Reference, error) {
	const longestEscape = 6
	if len(text) > maxText/longestEscape && len(r.String()) > maxText+len(prefixBrace) {
		return Reference{}, fault.New(fault.Syntax, "the coordinates are longer than %d bytes", maxText)
	}
	return r, nil
}

// builtInReference returns the reference to a built-in backend that the members
// describe.
func builtInReference(members []member) (Reference, error) {
	kind, err := chooseBackend(members)
	if err != nil {
		return Reference{}, err
	}
	backend := &backends[kind]
	var values fieldValues
	var unknown []string
	for _, m := range members {
		if m.kind != kind {
			unknown = append(unknown, unknownFieldText(m, kind))
			continue
		}
		if m.first != '"' {
			return Reference{}, fault.New(fault.Syntax,
				"field %q must be a string, not %s", m.name, typeOf(m.first))
		}
		if m.value == "" {
			return Reference{}, fault.New(fault.Syntax, "field %q is empty", m.name)
		}
		if err := backend.fields[m.field].check(m.name, m.value); err != nil {
			return Reference{}, err
		}
		values[m.field] = m.value
	}
	if unknown != nil {
		return Reference{}, fault.New(fault.Syntax, "%s", joinLimited(unknown))
	}
	for i := range backend.fields {
		f := &backend.fields[i]
		if values[i] == "" && f.required {
			return Reference{}, fault.New(fault.Syntax, "field %q is missing (%s)", f.name, backend.name)
		}
		values[i] = cmp.Or(values[i], f.standard)
	}
	r := backend.reference(values)
	r.Kind = kind
	return r, nil
}

// chooseBackend returns the backend that the members name. Exact names decide;
// if there are none, the fields that misspelled names most likely stand for.
func chooseBackend(members []member) (Kind, error) {
	var found Kind
	var first string
	distinctive := false
	for _, m := range members {
		if m.kind == 0 {
			continue
		}
		if found != 0 && m.kind != found {
			return 0, differentBackendsError(first, m.name, BackendName(found), BackendName(m.kind))
		}
		found, first = m.kind, m.name
		distinctive = distinctive || isDistinctive(m.name)
	}
	if distinctive {
		return found, nil
	}
	for _, m := range members {
		if name := suggest(m.name, found); name != "" && (isDistinctive(name) || found == 0) {
			kind, _ := fieldNamed(name)
			return kind, nil
		}
	}
	return 0, &unknownFieldsError{slices.Clone(members)} // they are on the stack
}

func differentBackendsError(field1, field2, backend1, backend2 string) error {
	return fault.New(fault.Syntax,
		"fields %q and %q belong to different backends (%s, %s)", field1, field2, backend1, backend2)
}

// unknownFieldsError reports members that name no backend.
type unknownFieldsError struct{ members []member }

func (u *unknownFieldsError) Error() string { return "no field names a backend" }
func (u *unknownFieldsError) Unwrap() error { return fault.NotReference }

// noBackendError returns the syntax error for members that name no backend, in a
// value that must be a reference. err is that of parseObject.
func noBackendError(err error) error {
	e, ok := errors.AsType[*unknownFieldsError](err)
	if !ok || len(e.members) == 0 {
		return fault.New(fault.Syntax, "the coordinates have no fields: %s", coordinatesHint)
	}
	names := make([]string, len(e.members))
	for i, m := range e.members {
		if m.kind != 0 {
			return fault.New(fault.Syntax, "field %q alone is not enough: %s", m.name, coordinatesHint)
		}
		names[i] = unknownFieldText(m, 0)
	}
	return fault.New(fault.Syntax, "%s: %s", joinLimited(names), coordinatesHint)
}

// maxListedFields limits the unknown fields that a message names.
const maxListedFields = 5

func joinLimited(names []string) string {
	if more := len(names) - maxListedFields; more > 1 {
		names = append(names[:maxListedFields:maxListedFields], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, "; ")
}

// unknownFieldText names an unknown field and the field that was likely meant.
func unknownFieldText(m member, preferred Kind) string {
	if better := suggest(m.name, preferred); better != "" && better != m.name {
		if safeToPrint(m.name) || Near(Fold(m.name), strings.ToLower(better), 2) {
			return fmt.Sprintf("unknown field %q (did you mean %q?)", m.name, better)
		}
	}
	return "unknown " + fieldLabel(m)
}
