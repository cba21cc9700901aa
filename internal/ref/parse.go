package ref

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
)

const (
	prefixBrace = "{ENC}"
	prefixAngle = "<ENC>"

	// Longer coordinates, or more members, are an attack or a file pasted in
	// the wrong place: no backend has names that long.
	maxText    = 64 << 10
	maxMembers = 64
)

// CustomFields tells which members identify the coordinates of a caller's own
// store.
type CustomFields struct {
	Class  string
	Fields []string
}

// Grammar parses values. The zero Grammar knows the built-in backends; it is
// safe for concurrent use as long as Customs does not change.
type Grammar struct {
	Customs []CustomFields
}

// Parse returns the reference that value is. A value that nobody meant as one
// gives fault.NotReference, an empty one ErrEmpty; everything else that is not a
// reference is an error that never quotes the value, which may be a password.
func (g *Grammar) Parse(value string) (Reference, error) {
	text := strings.TrimSpace(value)
	if Blank(text) {
		return Reference{}, ErrEmpty
	}
	if body, ok := CutPrefix(text); ok {
		return g.prefixed(body)
	}
	if hint := sealedHint(text); hint != "" && !g.customized(text) {
		return Reference{}, fault.New(fault.Syntax, "%s", hint)
	}
	// Coordinates that parse have a name that tells, and so are meant.
	if !g.meant(text) {
		return Reference{}, g.notReference(text)
	}
	if !strings.HasPrefix(text, "{") {
		return Reference{}, fault.New(fault.Syntax, "%s", meantHint(text))
	}
	r, err := g.object(text)
	if errors.Is(err, fault.NotReference) {
		return Reference{}, unknownFields(err)
	}
	if err != nil {
		if hint := misspeltPrefix(text); hint != "" {
			return Reference{}, fault.New(fault.Syntax, "%s", hint)
		}
	}
	return r, err
}

// ErrEmpty is the error for a value that is [Blank], a kind of
// [fault.NotReference].
var ErrEmpty error = fault.New(fault.NotReference, "the value is empty: is a variable not set?")

// Blank reports whether a value holds nothing that can be seen, which is no
// password: a variable that is not set, a byte order mark.
func Blank(value string) bool {
	return strings.TrimFunc(value, invisible) == ""
}

// CutPrefix removes the prefix that says that what follows is a reference.
func CutPrefix(text string) (body string, ok bool) {
	if body, ok = strings.CutPrefix(text, prefixBrace); ok {
		return body, true
	}
	return strings.CutPrefix(text, prefixAngle)
}

// prefixed parses what follows a prefix: nothing there is ever plaintext.
func (g *Grammar) prefixed(body string) (Reference, error) {
	body = strings.TrimSpace(body)
	if _, again := CutPrefix(body); again {
		return Reference{}, fault.New(fault.Syntax, "the prefix stands twice")
	}
	if IsPlaceholder(body) {
		return Reference{}, PlaceholderFault()
	}
	if !strings.HasPrefix(body, "{") && !strings.HasPrefix(body, "<") {
		return Reference{}, fault.New(fault.Syntax, "%s", prefixHint(body))
	}
	r, err := g.object(body)
	if errors.Is(err, fault.NotReference) {
		if hint := sealedHint(body); hint != "" {
			return Reference{}, fault.New(fault.Syntax, "%s", hint)
		}
		return Reference{}, unknownFields(err)
	}
	return r, err
}

// customized reports whether text is the coordinates of a caller's own store,
// whatever its members are called.
func (g *Grammar) customized(text string) bool {
	if len(g.Customs) == 0 {
		return false
	}
	r, err := g.object(text)
	return err == nil && r.Kind == Custom
}

// Coordinates parses coordinates that stand where a cipher class says that
// they must: with or without a prefix, never plaintext.
func (g *Grammar) Coordinates(value string) (Reference, error) {
	text := strings.TrimSpace(value)
	if body, ok := CutPrefix(text); ok {
		return g.prefixed(body)
	}
	if IsPlaceholder(text) {
		return Reference{}, PlaceholderFault()
	}
	if !strings.HasPrefix(text, "{") {
		const want = "the class wants coordinates, a JSON object that begins with \"{\""
		if hint := g.disguised(text); hint != "" {
			return Reference{}, fault.New(fault.Syntax, want+"; %s", hint)
		}
		return Reference{}, fault.New(fault.Syntax, want)
	}
	return g.prefixed(text)
}

// notReference says why a value without coordinates is refused or plaintext.
func (g *Grammar) notReference(text string) error {
	if holdsPlaceholder(text) {
		return PlaceholderFault()
	}
	if hint := misspeltPrefix(text); hint != "" {
		return fault.New(fault.Syntax, "%s", hint)
	}
	if hint := foreign(text); hint != "" {
		return fault.New(fault.Unsupported, "%s", hint)
	}
	if hint := g.disguised(text); hint != "" {
		return fault.New(fault.Syntax, "%s%s", meantIntro, hint)
	}
	return fault.NotReference
}

// member is one member of the coordinates as written.
type member struct {
	name, value string
	start       int  // where the value begins
	first       byte // of the value
	owner       Kind // the backend whose field it is, or none
	field       int  // in the owner's schema
}

// object parses coordinates in either form. Members that no backend knows give
// an error that is both fault.NotReference and *strangers.
func (g *Grammar) object(text string) (Reference, error) {
	if len(text) > maxText {
		return Reference{}, fault.New(fault.Syntax, "the coordinates are longer than %d bytes", maxText)
	}
	var room [8]member // on the stack: no backend has more fields
	members, end, err := scanMembers(text, room[:0])
	if err != nil {
		return Reference{}, describe(text, err)
	}
	if end != len(text) {
		return Reference{}, fault.New(fault.Syntax, "there is something after the coordinates, at byte %d", end)
	}
	if err := duplicates(members); err != nil {
		return Reference{}, err
	}
	if custom, err := g.custom(members); err != nil {
		return Reference{}, err
	} else if custom != nil {
		if text[0] == '<' {
			text = "{" + text[1:end-1] + "}"
		}
		return bounded(text, Reference{Kind: Custom, Class: custom.Class, Text: printableJSON(text)})
	}
	r, err := builtIn(members)
	if err != nil {
		return Reference{}, err
	}
	return bounded(text, r)
}

// bounded refuses a reference whose canonical text, in which unprintable
// characters are escaped, would be too long to be parsed again.
func bounded(text string, r Reference) (Reference, error) {
	const longestEscape = 6
	if len(text) > maxText/longestEscape && len(r.String()) > maxText+len(prefixBrace) {
		return Reference{}, fault.New(fault.Syntax, "the coordinates are longer than %d bytes", maxText)
	}
	return r, nil
}

// scanMembers reads the members of the object that text begins with and
// returns where it ends. In the angle form the brackets are < and >.
//
// With an error the members before it are returned too.
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
			return members, i, cutShort()
		}
		if text[i] != '"' {
			return members, i, expected{"a field name in double quotes", i}
		}
		var m member
		if m.name, i, err = jsonptr.String(text, i); err != nil {
			return members, i, err
		}
		if i = jsonptr.SkipSpace(text, i); i >= len(text) || text[i] != ':' {
			return members, i, expected{"a colon after the field name", i}
		}
		if i = jsonptr.SkipSpace(text, i+1); i >= len(text) {
			return members, i, cutShort()
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
		m.owner, m.field = ownerOf(m.name)
		if members = append(members, m); len(members) > maxMembers {
			return members, i, fault.New(fault.Syntax, "the coordinates have more than %d fields", maxMembers)
		}
		if i = jsonptr.SkipSpace(text, i); i >= len(text) {
			return members, i, cutShort()
		}
		switch text[i] {
		case closing:
			return members, i + 1, nil
		case ',':
			i = jsonptr.SkipSpace(text, i+1)
		default:
			return members, i, expected{fmt.Sprintf("a comma or %q", closing), i}
		}
	}
}

func cutShort() error {
	return fault.New(fault.Syntax, "the coordinates are cut short: a closing brace or quote is missing")
}

// expected is a syntax error at a place in the coordinates.
type expected struct {
	what string
	at   int
}

func (e expected) Error() string { return fmt.Sprintf("expected %s at byte %d", e.what, e.at) }

// describe turns a scanner's error into one that says how to mend the text,
// without quoting it.
func describe(text string, err error) error {
	why := "the coordinates are not valid JSON"
	if e, ok := errors.AsType[*fault.Error](err); ok {
		why = e.Text
	} else if e, ok := errors.AsType[expected](err); ok {
		why = e.Error()
	}
	if controlInString(text) {
		why += "; a line break or another control character stands inside a name or a value"
	} else if hint := quoteHint(text); hint != "" {
		why += "; " + hint
	}
	return fault.New(fault.Syntax, "%s", why)
}

// controlInString reports whether a control character stands between quotes.
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

func duplicates(members []member) error {
	for i := range members {
		for j := range i {
			if members[i].name == members[j].name {
				return fault.New(fault.Syntax, "%s appears twice", called(members[i]))
			}
		}
	}
	return nil
}

// custom returns the caller's store whose identifying members are all there,
// the one with the most of them; nil if the built-in backends are meant.
func (g *Grammar) custom(members []member) (*CustomFields, error) {
	var best *CustomFields
	tie := false
	for i := range g.Customs {
		c := &g.Customs[i]
		if len(c.Fields) == 0 || !slices.ContainsFunc(c.Fields, func(f string) bool { return index(members, f) >= 0 }) {
			continue
		}
		missing := slices.IndexFunc(c.Fields, func(f string) bool { return index(members, f) < 0 })
		switch {
		case missing >= 0:
			continue
		case best == nil || len(c.Fields) > len(best.Fields):
			best, tie = c, false
		case len(c.Fields) == len(best.Fields):
			tie = true
		}
	}
	if best == nil {
		return nil, g.customMistake(members)
	}
	if tie {
		return nil, fault.New(fault.Syntax, "the fields identify more than one custom store")
	}
	for _, m := range members {
		if m.owner != 0 && telling(m.name) && !slices.Contains(best.Fields, m.name) {
			return nil, fault.New(fault.Syntax, "fields %q and %q belong to different backends (%s, %s)",
				best.Fields[0], m.name, best.Class, backendNames[m.owner])
		}
	}
	return best, nil
}

// customMistake explains members that belong to a caller's store but do not
// identify it: one is missing or misspelt.
func (g *Grammar) customMistake(members []member) error {
	if slices.ContainsFunc(members, func(m member) bool { return telling(m.name) }) {
		return nil
	}
	for _, c := range g.Customs {
		hit, wrong, missing := false, "", ""
		for _, f := range c.Fields {
			if kind, _ := ownerOf(f); kind != 0 {
				continue
			}
			if index(members, f) >= 0 {
				hit = true
				continue
			}
			missing = f
			for _, m := range members {
				if Near(Fold(m.name), Fold(f), 1) && quotable(m.name) {
					wrong = fmt.Sprintf("unknown field %q (did you mean %q?)", m.name, f)
				}
			}
		}
		switch {
		case wrong != "":
			return fault.New(fault.Syntax, "%s", wrong)
		case hit && missing != "":
			return fault.New(fault.Syntax, "field %q is missing (%s)", missing, c.Class)
		}
	}
	return nil
}

func index(members []member, name string) int {
	return slices.IndexFunc(members, func(m member) bool { return m.name == name })
}

// builtIn makes the reference that the members name.
func builtIn(members []member) (Reference, error) {
	kind, err := backend(members)
	if err != nil {
		return Reference{}, err
	}
	r := Reference{Kind: kind}
	if kind == Vault {
		r.Auth = TokenAuth
	}
	var unknown []string
	for i := range members {
		m := &members[i]
		if m.owner != kind {
			unknown = append(unknown, strangerText(*m, kind))
			continue
		}
		f := &schemas[kind][m.field]
		if m.first != '"' {
			return Reference{}, fault.New(fault.Syntax, "field %q must be a string, not %s", m.name, typeOf(m.first))
		}
		if m.value == "" {
			return Reference{}, fault.New(fault.Syntax, "field %q is empty", m.name)
		}
		if err := f.check(f.name, m.value); err != nil {
			return Reference{}, err
		}
		*r.field(f.name) = m.value
	}
	if unknown != nil {
		return Reference{}, fault.New(fault.Syntax, "%s", list(unknown))
	}
	schema := schemas[kind]
	for i := range schema {
		if schema[i].required && *r.field(schema[i].name) == "" {
			return Reference{}, fault.New(fault.Syntax, "field %q is missing (%s)", schema[i].name, backendNames[kind])
		}
	}
	return r, nil
}

// backend returns which backend the members name. Exact names decide; where
// there are none, the likely intention of the misspelt ones does.
func backend(members []member) (Kind, error) {
	var found Kind
	var first string
	tells := false
	for _, m := range members {
		kind := m.owner
		if kind == 0 {
			continue
		}
		if found != 0 && kind != found {
			return 0, fault.New(fault.Syntax, "fields %q and %q belong to different backends (%s, %s)",
				first, m.name, backendNames[found], backendNames[kind])
		}
		found, first = kind, m.name
		tells = tells || telling(m.name)
	}
	if tells {
		return found, nil
	}
	for _, m := range members {
		if name := suggest(m.name, found); name != "" && (telling(name) || found == 0) {
			kind, _ := ownerOf(name)
			return kind, nil
		}
	}
	return 0, &strangers{slices.Clone(members)} // which are on the stack
}

// strangers reports members that name no backend.
type strangers struct{ members []member }

func (s *strangers) Error() string { return "no field names a backend" }
func (s *strangers) Unwrap() error { return fault.NotReference }

// unknownFields is the syntax error for members that name no backend, in a
// value whose prefix says that it is a reference.
func unknownFields(err error) error {
	const want = `coordinates have "region" and "secretId" (AWS Secrets Manager), ` +
		`"mount", "path", "key" and "endpoint" (Vault), or "keyring"`
	s, ok := errors.AsType[*strangers](err)
	if !ok || len(s.members) == 0 {
		return fault.New(fault.Syntax, "the coordinates have no fields: %s", want)
	}
	names := make([]string, len(s.members))
	for i, m := range s.members {
		if m.owner != 0 {
			return fault.New(fault.Syntax, "field %q alone is not enough: %s", m.name, want)
		}
		names[i] = strangerText(m, 0)
	}
	return fault.New(fault.Syntax, "%s: %s", list(names), want)
}

// maxListed is how many unknown fields a message names.
const maxListed = 5

func list(names []string) string {
	if more := len(names) - maxListed; more > 1 {
		names = append(names[:maxListed:maxListed], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, "; ")
}

// strangerText names an unknown field and what was likely meant.
func strangerText(m member, prefer Kind) string {
	if better := suggest(m.name, prefer); better != "" && better != m.name {
		if quotable(m.name) || Near(Fold(m.name), strings.ToLower(better), 2) {
			return fmt.Sprintf("unknown field %q (did you mean %q?)", m.name, better)
		}
	}
	return "unknown " + called(m)
}

// called names a field in a message. What does not look like a name may be a
// password that lost its place, and is only pointed at.
func called(m member) string {
	if quotable(m.name) {
		return fmt.Sprintf("field %q", m.name)
	}
	return fmt.Sprintf("field before byte %d", m.start)
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
