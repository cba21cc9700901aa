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

// A Secret holds a password or another secret text. However it is printed,
// logged or encoded, it writes "[redacted]"; only Reveal returns the text. A
// Secret is immutable and safe for concurrent use. Its memory is not wiped.
//
// A Secret is in one of four states. The zero Secret was never set. One that
// was unmarshalled is unresolved: it holds the text of a value, which
// [Resolver.ResolveStruct] resolves. One that [NewSecret] made holds a value:
// usable as it is, and resolved by ResolveStruct if it is a reference. What a
// [Resolver] or [Keyring] returns is resolved, and never resolved again.
//
// Secrets are compared with [Secret.Equal]; == does not compile. Reflection
// cannot look into a Secret, so that reflect.DeepEqual, and testify's Equal, find
// two Secrets with the same text different unless one is a copy of the other;
// go-cmp calls Equal.
//
// A struct with a Secret that is stored as JSON, in a database column for
// example, stores "[redacted]" for it.
type Secret struct {
	_ [0]func()
	v *secretText
}

// secretText is what a Secret points to: fmt does not follow a pointer inside
// an unexported field.
type secretText struct {
	text  hidden[string]
	state secretState
}

type secretState uint8

const (
	isValue      secretState = iota // made with NewSecret: perhaps a reference
	unmarshalled                    // must be resolved before it is revealed
	resolved
)

// hidden keeps a value from printers and dumps, which follow pointers into
// unexported fields but cannot look into a function.
type hidden[T any] struct{ open func() T }

func hide[T any](value T) hidden[T] { return hidden[T]{func() T { return value }} }

const redacted = "[redacted]"

// NewSecret returns a Secret that holds s. If s is a reference,
// [Resolver.ResolveStruct] resolves it; Reveal returns s.
func NewSecret(s string) Secret { return Secret{v: &secretText{hide(s), isValue}} }

// resolvedSecret returns a Secret whose text is not a reference, whatever it
// looks like.
func resolvedSecret(s string) Secret { return Secret{v: &secretText{hide(s), resolved}} }

// Reveal returns the text, "" for the zero Secret. It panics if the Secret was
// unmarshalled and never resolved, see [Resolver.ResolveStruct]: its text may be
// a reference and not a password.
func (s Secret) Reveal() string {
	if s.state() == unmarshalled {
		panic("secretref: Reveal of a Secret that was unmarshalled and never resolved: call ResolveStruct first")
	}
	return s.text()
}

// text returns the text in any state.
func (s Secret) text() string {
	if s.v == nil {
		return ""
	}
	return s.v.text.open()
}

// state returns the state; isValue if the Secret was never set.
func (s Secret) state() secretState {
	if s.v == nil {
		return isValue
	}
	return s.v.state
}

// IsZero reports whether s holds no text: it was never set, or it is empty.
func (s Secret) IsZero() bool { return s.text() == "" }

// Equal reports whether s and o hold the same text, and both or neither of them
// was unmarshalled and not yet resolved. The time it takes depends on the
// lengths of the texts only.
func (s Secret) Equal(o Secret) bool {
	same := subtle.ConstantTimeCompare([]byte(s.text()), []byte(o.text())) == 1
	return same && (s.state() == unmarshalled) == (o.state() == unmarshalled)
}

// usable returns the text of a Secret that is handed to this package as a
// secret. It is ErrSyntax if the Secret was never set, was unmarshalled and not
// resolved, or if NewSecret made it of a reference.
func (s Secret) usable() (string, error) {
	switch {
	case s.v == nil:
		return "", fault.New(fault.Syntax, "the secret was never set: is a field misspelt?")
	case s.state() == unmarshalled:
		return "", fault.New(fault.Syntax, "the secret was unmarshalled and never resolved: call ResolveStruct first")
	case s.state() == isValue && isReference(s.text()):
		return "", fault.New(fault.Syntax, "the text is a secret reference and not a secret: resolve it first")
	}
	return s.text(), nil
}

// isReference reports whether text is a reference, or has the prefix of one.
func isReference(text string) bool {
	if _, prefixed := ref.CutPrefix(text); prefixed {
		return true
	}
	_, err := Parse(text)
	return err == nil
}

// UnmarshalText holds the text of a value until [Resolver.ResolveStruct]
// resolves it. It refuses "[redacted]", which is what a Secret was printed as.
// The error is ErrSyntax.
func (s *Secret) UnmarshalText(b []byte) error {
	if string(b) == redacted {
		return &Error{Err: fault.New(fault.Syntax, "the text %q is what a secret is printed as, not a secret", redacted)}
	}
	s.v = &secretText{hide(string(b)), unmarshalled}
	return nil
}

// UnmarshalYAML is [Secret.UnmarshalText] for YAML libraries that know this
// method. A reference without quotes is a mapping in YAML; it is ErrSyntax, where
// some of these libraries would leave s unset. So is a number without quotes that
// some of them write in another way (007 as 7), and null leaves s unset.
func (s *Secret) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil { // it may quote the value
		return &Error{Err: fault.New(fault.Syntax, "a secret is a text in YAML: put a reference in single quotes")}
	}
	if perhapsRewritten(text) {
		var value any
		if err := unmarshal(&value); err == nil && value == nil {
			return nil
		}
		var written writtenScalar
		if _, isText := value.(string); !isText && (unmarshal(&written) != nil || strings.TrimSpace(string(written)) != text) {
			return &Error{Err: fault.New(fault.Syntax, "a secret is a text in YAML: put a number, true and false in quotes")}
		}
	}
	return s.UnmarshalText([]byte(text))
}

// perhapsRewritten reports whether text is what a library writes for null, or for
// a number or a boolean, however that was written.
func perhapsRewritten(text string) bool {
	switch text {
	case "true", "false", "+Inf", "-Inf", "NaN":
		return true
	}
	return strings.Trim(text, "0123456789.+-eE") == ""
}

// writtenScalar is a scalar as it stands in the YAML text. Libraries without the
// method give it in this form to any string.
type writtenScalar string

// UnmarshalYAML is given the text of the node.
func (w *writtenScalar) UnmarshalYAML(node []byte) error {
	*w = writtenScalar(node)
	return nil
}

// Value implements driver.Valuer. It always returns an error, ErrUnsupported,
// which keeps "[redacted]" out of databases: pass Reveal() to a query. A nil
// *Secret is NULL.
func (s Secret) Value() (driver.Value, error) {
	return nil, &Error{Err: fault.New(fault.Unsupported, "a Secret is not stored by itself: pass its Reveal() to the query")}
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
