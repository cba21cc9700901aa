package secretref

import (
	"fmt"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// A Reference names where a secret is. It is one of [AWSReference],
// [VaultReference], [KeyringReference] and [CustomReference]; all are
// comparable. String returns the canonical form: Parse(r.String()) == r for
// every valid r but a CustomReference, which [Resolver.Parse] takes back.
type Reference interface {
	fmt.Stringer
	reference()
}

// A CustomReference names a secret in a store of the caller's own, see
// [Provider]. Its String is the coordinates as they were written.
type CustomReference struct {
	// Class is the Provider's ClassName.
	Class string

	// Coordinates is what the Provider is given: the JSON object of a value, or
	// the verbatim text that a configuration file holds for the class.
	Coordinates string
}

// String returns the coordinates behind the prefix {ENC}.
func (r CustomReference) String() string { return r.coord().String() }

func (CustomReference) reference() {}

func (r CustomReference) coord() ref.Reference {
	return ref.Reference{Kind: ref.Custom, Class: r.Class, Text: r.Coordinates}
}

// Parse parses a value of a built-in backend: JSON coordinates, alone or after
// the prefix {ENC} or <ENC>. It returns ErrNotReference for plaintext and for an
// empty or blank value, ErrSyntax for what was meant as a reference and has a
// mistake, or is written in Base64, UTF-16 or another such form, and
// ErrUnsupported for {ATL_SECURED} and references of other tools. Errors name
// fields, and what a pointer or region was likely meant to be, but never quote
// the value, which may be a password.
func Parse(value string) (Reference, error) {
	var g ref.Grammar
	return exported(g.Parse(value))
}

// exported returns what was parsed in its exported form.
func exported(r ref.Reference, err error) (Reference, error) {
	switch err {
	case nil:
		return public(r), nil
	case fault.NotReference:
		return nil, plaintextError(false) // most values are
	case ref.ErrEmpty:
		return nil, plaintextError(true)
	}
	return nil, &Error{Err: err}
}

// plaintextError is the [*Error] that says of a value that it is plaintext, or
// that it is empty, made when somebody wants it.
type plaintextError bool

func (e plaintextError) full() *Error {
	if e {
		return &Error{Err: ref.ErrEmpty}
	}
	return &Error{Err: fault.NotReference}
}

func (e plaintextError) Error() string { return e.full().Error() }

func (plaintextError) Unwrap() error { return fault.NotReference }

func (e plaintextError) As(target any) bool {
	to, ok := target.(**Error)
	if ok {
		*to = e.full()
	}
	return ok
}

// public returns the exported form of a reference.
func public(r ref.Reference) Reference {
	switch r.Kind {
	case ref.AWS:
		return AWSReference{r.Region, r.SecretID, Pointer(r.Pointer), r.EndpointOverride}
	case ref.Vault:
		v := VaultReference{Mount: r.Mount, Path: r.Path, Key: r.Key, Endpoint: r.Endpoint}
		if r.Auth == ref.KubernetesAuth {
			v.AuthenticationType = VaultKubernetes
		}
		return v
	case ref.Keyring:
		return KeyringReference{r.Name}
	default:
		return CustomReference{r.Class, r.Text}
	}
}

// A KeyringReference names a secret that is stored in a keyring.
type KeyringReference struct {
	// Name is the name of the stored secret, 1 to 1024 bytes of UTF-8. Required.
	Name string
}

// String returns the canonical form, which [Parse] takes back.
func (r KeyringReference) String() string { return r.coord().String() }

func (KeyringReference) reference() {}

func (r KeyringReference) coord() ref.Reference {
	return ref.Reference{Kind: ref.Keyring, Name: r.Name}
}
