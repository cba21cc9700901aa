package secretref

import "github.com/seed74218947/secretref/internal/fault"

// The kinds of failure, for errors.Is.
var (
	// ErrSyntax: what was meant as a reference, a pointer or a configuration
	// file has a mistake. Nothing was fetched.
	ErrSyntax = fault.Syntax

	// ErrNotReference: the value is plaintext, or empty, where a reference is
	// wanted.
	ErrNotReference = fault.NotReference

	// ErrUnsupported: the value, file or backend is of a kind that this package
	// does not read.
	ErrUnsupported = fault.Unsupported

	// ErrNotFound: the secret, version, mount or file does not exist.
	ErrNotFound = fault.NotFound

	// ErrDenied: the caller is authenticated but lacks a permission, or
	// AllowEndpoint refused the endpoint. Only the backend's own answer counts: what
	// a proxy or a gateway forbids, and a redirect that is not followed, are
	// ErrUnavailable.
	ErrDenied = fault.Denied

	// ErrUnauthenticated: there are no credentials, or they are not accepted. A
	// Vault that cannot reach the API server of the Kubernetes cluster refuses a
	// pod's login in the same way.
	ErrUnauthenticated = fault.Unauthenticated

	// ErrUnavailable: the backend did not answer, or said that it cannot at the
	// moment.
	ErrUnavailable = fault.Unavailable

	// ErrClosed: the Resolver, Live or Keyring was closed. The error of a
	// closed Resolver or Keyring matches ErrUnavailable, too, so that a fallback
	// for outages is used during a shutdown; a loop that tries again after
	// ErrUnavailable must end at ErrClosed.
	ErrClosed = fault.Closed

	// ErrPointer: the secret is there, but the pointer or key does not lead to a
	// string, number or boolean in it.
	ErrPointer = fault.Pointer

	// ErrRootKey: the root key of a keyring is missing, is not one, or is not the
	// one that its keys are wrapped with.
	ErrRootKey = fault.RootKey

	// ErrCorrupt: the file of a keyring, a key or a stored secret is damaged.
	ErrCorrupt = fault.Corrupt

	// ErrRotationInProgress: somebody else is changing the keys at this moment.
	ErrRotationInProgress = fault.RotationInProgress

	// ErrRotationBlocked: a stored secret cannot be opened, or is still sealed
	// with a key that was to be deleted.
	ErrRotationBlocked = fault.RotationBlocked
)

// An Error tells where which reference failed, and why. It wraps one of the
// sentinels above, or the error of a Provider. Like all errors of this package
// it holds no secret, whatever prints or encodes it.
type Error struct {
	// Source is where the value stands: "dbconfig.xml:14:
	// jdbc-datasource/password", "value 3", the path of a struct field. Empty
	// where there is just one.
	Source string

	// Reference is the canonical reference; empty if the value could not be
	// parsed, since its text may be a password.
	Reference string

	// Err is what went wrong and what mends it.
	Err error
}

// Error returns "secretref: source: reference: what went wrong".
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

// GoString returns what Error returns.
func (e *Error) GoString() string { return e.Error() }

// MarshalText returns what Error returns.
func (e *Error) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }
