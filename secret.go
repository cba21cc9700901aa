package secretref

import (
	"crypto/subtle"
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// A Secret holds a password or another secret text. Wherever it is printed, logged
// or encoded, "[redacted]" appears instead; only Reveal returns the text. A Secret
// is immutable and safe for concurrent use. Its memory is not wiped.
//
// A Secret is in one of four states:
//
//   - never set: the zero Secret;
//   - unresolved: it was unmarshaled and holds the text of a value, which
//     [Resolver.ResolveStruct] resolves;
//   - a value: it was made by [NewSecret] and can be used as it is;
//     [Resolver.ResolveStruct] resolves it if it is a reference;
//   - resolved: it was returned by a [Resolver] or a [Keyring] and is never resolved
//     again.
//
// Compare Secrets with [Secret.Equal]; == does not compile. Reflection cannot look
// into a Secret: reflect.DeepEqual and testify's Equal report two Secrets with the
// same text as different, unless one is a copy of the other. go-cmp calls Equal.
//
// If a struct with a Secret is stored as JSON, for example in a database column,
// "[redacted]" is stored for the Secret.
type Secret struct {
	_ [0]func()
	v *secretText
}

// A Secret points to its secretText because fmt does not follow a pointer in an
// unexported field.
type secretText struct {
	text  hidden[string]
	state secretState
}

type secretState uint8

const (
	isValue     secretState = iota // made by NewSecret, may be a reference
	unmarshaled                    // must be resolved before it is revealed
	resolved
)

// hidden hides a value from printers and dumps. They follow pointers in unexported
// fields but cannot look into a function.
type hidden[T any] struct{ open func() T }

func hide[T any](value T) hidden[T] { return hidden[T]{func() T { return value }} }

const redacted = "[redacted]"

// NewSecret returns a Secret with the text s. If s is a reference,
// [Resolver.ResolveStruct] resolves it. Reveal returns s.
func NewSecret(s string) Secret { return Secret{v: &secretText{hide(s), isValue}} }

// resolvedSecret returns a Secret whose text is never resolved, even if it looks
// like a reference.
func resolvedSecret(s string) Secret { return Secret{v: &secretText{hide(s), resolved}} }

// Reveal returns the text, or "" for the zero Secret. It panics if the Secret was
// unmarshaled and never resolved, see [Resolver.ResolveStruct], because its text
// may be a reference instead of a password.
func (s Secret) Reveal() string {
	if s.state() == unmarshaled {
		panic("secretref: Reveal of a Secret that was unmarshaled and never resolved: " +
			"call ResolveStruct first")
	}
	return s.text()
}

// text returns the text, whatever the state.
func (s Secret) text() string {
	if s.v == nil {
		return ""
	}
	return s.v.text.open()
}

// state returns the state, isValue for a Secret that was never set.
func (s Secret) state() secretState {
	if s.v == nil {
		return isValue
	}
	return s.v.state
}

// IsZero reports whether s has no text: it was never set, or it is empty.
func (s Secret) IsZero() bool { return s.text() == "" }

// Equal reports whether s and o have the same text, and both or neither of them
// were unmarshaled and not yet resolved. Its duration depends only on the lengths
// of the texts.
func (s Secret) Equal(o Secret) bool {
	same := subtle.ConstantTimeCompare([]byte(s.text()), []byte(o.text())) == 1
	return same && (s.state() == unmarshaled) == (o.state() == unmarshaled)
}

// usable returns the text of a Secret that a caller passes as a secret. It returns
// ErrSyntax if the Secret was never set, was unmarshaled and never resolved, or was
// made by NewSecret from a reference.
func (s Secret) usable() (string, error) {
	switch {
	case s.v == nil:
		return "", fault.New(fault.Syntax, "the secret was never set: is a field misspelled?")
	case s.state() == unmarshaled:
		return "", fault.New(fault.Syntax,
			"the secret was unmarshaled and never resolved: call ResolveStruct first")
	case s.state() == isValue && isReference(s.text()):
		return "", fault.New(fault.Syntax,
			"the text is a secret reference, not a secret: resolve it first")
	}
	return s.text(), nil
}

// isReference reports whether text is a reference or begins with the prefix of one.
func isReference(text string) bool {
	if _, prefixed := ref.CutPrefix(text); prefixed {
		return true
	}
	var g ref.Grammar
	_, err := g.Parse(text)
	return err == nil
}

// UnmarshalText stores the text of a value, which [Resolver.ResolveStruct]
// resolves. It returns ErrSyntax for "[redacted]", the text that a Secret is
// printed as.
func (s *Secret) UnmarshalText(b []byte) error {
	if string(b) == redacted {
		return &Error{Err: fault.New(fault.Syntax,
			"the text %q is the printed form of a secret, not a secret", redacted)}
	}
	s.v = &secretText{hide(string(b)), unmarshaled}
	return nil
}

// UnmarshalYAML is [Secret.UnmarshalText] for the YAML libraries that call this
// method. It returns ErrSyntax for a reference without quotes, which is a mapping in
// YAML and which some libraries would otherwise ignore, and for a number or boolean
// without quotes that some libraries rewrite (007 as 7). A null leaves s unset.
func (s *Secret) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil { // not wrapped: it may quote the value
		return &Error{Err: fault.New(fault.Syntax,
			"a secret must be a string in YAML: put a reference in single quotes")}
	}
	if mayBeRewritten(text) {
		var value any
		if err := unmarshal(&value); err == nil && value == nil {
			return nil
		}
		var raw rawScalar
		_, isText := value.(string)
		if !isText && (unmarshal(&raw) != nil || strings.TrimSpace(string(raw)) != text) {
			return &Error{Err: fault.New(fault.Syntax,
				"a secret must be a string in YAML: put numbers, true and false in quotes")}
		}
	}
	return s.UnmarshalText([]byte(text))
}

// mayBeRewritten reports whether a YAML library may have produced text for a null, a
// number or a boolean that is written in another way in the file.
func mayBeRewritten(text string) bool {
	switch text {
	case "true", "false", "+Inf", "-Inf", "NaN":
		return true
	}
	return strings.Trim(text, "0123456789.+-eE") == ""
}

// rawScalar is a scalar as it is written in the YAML text. A library that does not
// call UnmarshalYAML([]byte) decodes it like any string, already in this form.
type rawScalar string

// UnmarshalYAML receives the text of the node.
func (r *rawScalar) UnmarshalYAML(node []byte) error {
	*r = rawScalar(node)
	return nil
}

// Value implements [driver.Valuer]. It always returns ErrUnsupported, so that
// "[redacted]" is never written to a database: pass Reveal() to the query. A nil
// *Secret is NULL.
func (s Secret) Value() (driver.Value, error) {
	return nil, &Error{Err: fault.New(fault.Unsupported,
		"a Secret cannot be a query argument: pass its Reveal() to the query")}
}

// Format writes "[redacted]" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// LogValue returns "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary returns "[redacted]".
func (s Secret) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }
