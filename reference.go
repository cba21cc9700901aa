package secretref

import (
	"fmt"

	"github.com/seed74218947/secretref/internal/ref"
)

// A Reference states where a secret is stored. It is an [AWSReference], a
// [VaultReference], a [KeyringReference] or a [CustomReference]. All of them are
// comparable with ==.
//
// String returns the canonical form. For every valid reference r,
// Parse(r.String()) == r; for a CustomReference this holds for [Resolver.Parse].
type Reference interface {
	fmt.Stringer
	reference()
}

// A CustomReference refers to a secret in a store of the caller's own, see
// [Provider].
type CustomReference struct {
	// Class is the ClassName of the Provider.
	Class string

	// Coordinates is the text that the Provider receives: the JSON object of a value,
	// or the exact text of a configuration file that names the class.
	Coordinates string
}

// String returns the prefix {ENC} and the coordinates as they were written.
func (c CustomReference) String() string { return c.toRef().String() }

func (CustomReference) reference() {}

func (c CustomReference) toRef() ref.Reference {
	return ref.Reference{Kind: ref.Custom, Class: c.Class, Text: c.Coordinates}
}

// Parse parses a reference to a built-in backend: JSON coordinates, alone or after
// the prefix {ENC} or <ENC>. It performs no I/O.
//
// Parse returns ErrNotReference for plaintext and for an empty or blank value;
// ErrSyntax for a value that looks like a reference and contains a mistake, or is
// a reference in Base64, UTF-16 or a similar encoding; and ErrUnsupported for
// {ATL_SECURED} and for references of other tools. Errors name fields, and suggest
// a corrected pointer or region, but never quote the value, because it may be a
// password.
func Parse(value string) (Reference, error) {
	var g ref.Grammar
	return parseResult(g.Parse(value))
}

// parseResult returns the exported form of a parsed reference, or an *Error.
func parseResult(r ref.Reference, err error) (Reference, error) {
	if err != nil {
		return nil, &Error{Err: err}
	}
	return toReference(r), nil
}

func toReference(r ref.Reference) Reference {
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

// A KeyringReference refers to a secret that is stored in a [Keyring].
type KeyringReference struct {
	// Name is the name of the stored secret: 1 to 1024 bytes of UTF-8. It is required.
	Name string
}

// String returns the canonical form, which [Parse] accepts.
func (k KeyringReference) String() string { return k.toRef().String() }

func (KeyringReference) reference() {}

func (k KeyringReference) toRef() ref.Reference {
	return ref.Reference{Kind: ref.Keyring, Name: k.Name}
}
