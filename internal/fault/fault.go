// Package fault holds the kinds of failure that callers branch on, and the
// error type that carries one of them together with what a person needs to
// read. No text that is put into an error here may come from a secret.
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

// Error is one failure: its kind, what happened and how to mend it.
type Error struct {
	Kind error
	Text string

	// cause is reachable with errors.Is and errors.As, but is never printed or
	// encoded and is not part of the chain that Unwrap returns: the texts of
	// other packages' errors may quote a secret, and an SDK's errors hold whole
	// requests. A closure keeps it from printers that follow pointers, too.
	cause func() error

	// Permanent marks a failure that trying again cannot change although its
	// kind usually passes by itself (an untrusted certificate, say).
	Permanent bool

	// RetryAfter is how long the backend asked to be left alone, or zero.
	RetryAfter time.Duration

	refusedLocally bool   // see Ours
	maybeOutage    bool   // see OrOutage
	effort         string // see GaveUp
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

// FromPanic is the error of a fetch that panicked with p, which the log is told
// of. The value of a panic may quote a secret; its type and the place do not.
func FromPanic(log *slog.Logger, p any) *Error {
	log.Error("a fetch panicked", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	return New(Unavailable, "the fetch panicked (%T); the log has the place", p).Permanently()
}

// Transient reports whether another attempt may succeed, and how long the
// backend asked to wait before it.
func Transient(err error) (wait time.Duration, ok bool) {
	if e, found := errors.AsType[*Error](err); found && e.Permanent {
		return 0, false
	} else if found {
		wait = e.RetryAfter
	}
	return wait, KindIs(err, Unavailable)
}
