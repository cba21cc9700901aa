package secretref

import "github.com/seed74218947/secretref/internal/fault"

// The sentinel errors. Every error of this package matches at least one of them
// with [errors.Is], except for errors of a [Provider] that wrap none, and the error
// of a context.
var (
	// ErrSyntax: a reference, a pointer or a configuration file contains a mistake.
	// Nothing was fetched.
	ErrSyntax = fault.Syntax

	// ErrNotReference: the value is plaintext or empty where a reference is required.
	ErrNotReference = fault.NotReference

	// ErrUnsupported: this package does not support the kind of the value, the file
	// or the backend.
	ErrUnsupported = fault.Unsupported

	// ErrNotFound: the secret, version, mount or file does not exist.
	ErrNotFound = fault.NotFound

	// ErrDenied: the caller is authenticated but lacks permission, or AllowEndpoint
	// refused the endpoint. Only an answer of the backend itself counts: a proxy or
	// gateway that forbids the request, and a redirect that is not followed, are
	// ErrUnavailable.
	ErrDenied = fault.Denied

	// ErrUnauthenticated: there are no credentials, or they were not accepted. Vault
	// also reports this for a pod's login if Vault cannot reach the API server of the
	// Kubernetes cluster.
	ErrUnauthenticated = fault.Unauthenticated

	// ErrUnavailable: the backend did not answer, or answered that it is temporarily
	// unavailable.
	ErrUnavailable = fault.Unavailable

	// ErrClosed: the Resolver, Live or Keyring was closed. The error of a closed
	// Resolver or Keyring also matches ErrUnavailable, so that a program uses its
	// fallback for outages during a shutdown. A loop that retries after
	// ErrUnavailable must therefore stop at ErrClosed.
	ErrClosed = fault.Closed

	// ErrPointer: the secret exists, but the pointer or key does not lead to a string,
	// number or boolean in it.
	ErrPointer = fault.Pointer

	// ErrRootKey: the root key of a keyring is missing or malformed, or is not the key
	// that wraps the keyring's data keys.
	ErrRootKey = fault.RootKey

	// ErrCorrupt: the file of a keyring, a key or a stored secret is damaged.
	ErrCorrupt = fault.Corrupt

	// ErrRotationInProgress: another process or goroutine is changing the keys.
	ErrRotationInProgress = fault.RotationInProgress

	// ErrRotationBlocked: a stored secret cannot be decrypted, or is still encrypted
	// with a key that was to be deleted.
	ErrRotationBlocked = fault.RotationBlocked

	// ErrKeyExhausted: the active key has reached its limit of 2^32 encryptions. Rotate
	// the keys.
	ErrKeyExhausted = fault.KeyExhausted
)

// An Error reports which reference failed, where it was found, and why. It wraps one
// of the sentinels above or the error of a [Provider]. It never contains a secret,
// however it is printed or encoded.
type Error struct {
	// Source is the location of the value, for example "value 3", the path of a
	// struct field or "dbconfig.xml:14: jdbc-datasource/password". It is empty if
	// there is only one value.
	Source string

	// Reference is the reference in canonical form. It is empty if the value could not
	// be parsed, because its text may be a password.
	Reference string

	// Err is the cause of the failure. Its text says how to fix it.
	Err error
}

// Error returns "secretref: ", the source, the reference and the text of Err,
// separated by colons.
func (e *Error) Error() string {
	text := "secretref: "
	if e.Source != "" {
		text += e.Source + ": "
	}
	if e.Reference != "" {
		text += e.Reference + ": "
	}
	return text + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// GoString returns the same text as Error, so that %#v does not print the fields.
func (e *Error) GoString() string { return e.Error() }

// MarshalText returns the same text as Error.
func (e *Error) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }
