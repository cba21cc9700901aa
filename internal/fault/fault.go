// Package fault defines the kinds of failure that callers branch on, and an error
// type with one of these kinds and a text for people. No text in such an error may
// come from a secret.
package fault

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// The kinds. The root package exports each under its Err… name.
var (
	Syntax             = errors.New("syntax error")
	NotReference       = errors.New("not a secret reference")
	Unsupported        = errors.New("unsupported")
	NotFound           = errors.New("not found")
	Denied             = errors.New("access denied")
	Unauthenticated    = errors.New("not authenticated")
	Unavailable        = errors.New("unavailable")
	Pointer            = errors.New("pointer does not lead to a value")
	RootKey            = errors.New("wrong root key")
	Corrupt            = errors.New("corrupt")
	RotationInProgress = errors.New("a rotation is in progress")
	RotationBlocked    = errors.New("the rotation is blocked")
	KeyExhausted       = errors.New("the key is exhausted")
	Closed             = errors.New("closed")
)

// Error is one failure: its kind, what happened and how to fix it.
type Error struct {
	Kind error
	Text string

	// cause is reachable with errors.Is and errors.As, but is never printed or
	// encoded and not returned by Unwrap: the texts of other packages' errors may
	// quote a secret, and an SDK's errors hold whole requests. It is a closure, which
	// also hides it from printers that follow pointers.
	cause func() error

	// Permanent marks a failure that another attempt cannot change although its kind
	// is usually temporary, for example an untrusted certificate.
	Permanent bool

	// RetryAfter is the time that the backend requires before the next attempt, or zero.
	RetryAfter time.Duration

	refusedLocally bool   // see RefusedLocally
	maybeOutage    bool   // see MaybeOutage
	effort         string // see WithEffort
}

// New returns an Error of the given kind. Its text is made [Printable].
func New(kind error, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: Printable(fmt.Sprintf(format, args...))}
}

func (e *Error) Error() string {
	text := e.Text
	if text != "" && e.effort != "" {
		text += "; "
	}
	if text += e.effort; text == "" {
		return e.Kind.Error()
	}
	return e.Kind.Error() + ": " + text
}

// Unwrap returns the kind. The cause is not part of the chain, since crash
// reporters print every error that they find by unwrapping.
func (e *Error) Unwrap() error { return e.Kind }

// Is reports whether the cause is target, or an outage is.
func (e *Error) Is(target error) bool {
	return e.maybeOutage && target == Unavailable || e.cause != nil && errors.Is(e.cause(), target)
}

// As finds the first error in the cause's chain that matches target.
func (e *Error) As(target any) bool { return e.cause != nil && errors.As(e.cause(), target) }

// GoString is Error: %#v must not walk through the fields.
func (e *Error) GoString() string { return e.Error() }

// MarshalText is Error, for what encodes an error instead of printing it.
func (e *Error) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

// WithCause attaches the cause and returns e.
func (e *Error) WithCause(cause error) *Error {
	e.cause = nil
	if cause != nil {
		e.cause = func() error { return cause }
	}
	return e
}

// Permanently marks e as not worth another attempt and returns it.
func (e *Error) Permanently() *Error {
	e.Permanent = true
	return e
}

// FromPanic logs that a fetch panicked with p and returns the error of that fetch.
// Both contain the type of p but not its value, which may quote a secret.
func FromPanic(log *slog.Logger, p any) *Error {
	log.Error("a fetch panicked", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	return New(Unavailable, "the fetch panicked (%T); the log has the place", p).Permanently()
}

// Transient reports whether another attempt may succeed, and the time that the
// backend requires to pass before it.
func Transient(err error) (wait time.Duration, ok bool) {
	if e, found := errors.AsType[*Error](err); found && e.Permanent {
		return 0, false
	} else if found {
		wait = e.RetryAfter
	}
	return wait, KindIs(err, Unavailable)
}
