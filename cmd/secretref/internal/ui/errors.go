package ui

import (
	"errors"
	"strings"

	"github.com/seed74218947/secretref"
)

// ErrReported is a failure that the output already describes.
var ErrReported = errors.New("reported")

// UsageError is a command line that cannot be understood.
type UsageError struct{ text string }

// NewUsageError returns a [*UsageError]. The text must not quote a possible secret.
func NewUsageError(text string) error { return &UsageError{text} }

// Error implements error.
func (u *UsageError) Error() string { return u.text }

// ExitError ends the process with a status of its own.
type ExitError struct {
	Status int
	Err    error // ErrReported if nothing is left to print
}

// Error implements error.
func (e *ExitError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ExitError) Unwrap() error { return e.Err }

// Reason returns the text of an error without its source and reference, which the
// caller prints itself.
func Reason(err error) string {
	if located, ok := errors.AsType[*secretref.Error](err); ok {
		return Message(located.Err)
	}
	return Message(err)
}

// SplitErrors returns the errors that errors.Join joined in err. Other errors may
// also wrap several errors, which their text omits on purpose; they stay whole.
func SplitErrors(err error) []error {
	if located, ok := err.(*secretref.Error); ok {
		all := SplitErrors(located.Err)
		for i, e := range all {
			all[i] = &secretref.Error{Source: located.Source, Reference: located.Reference, Err: e}
		}
		return all
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var texts []string
	for _, e := range joined.Unwrap() {
		texts = append(texts, e.Error())
	}
	if strings.Join(texts, "\n") != err.Error() {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, SplitErrors(e)...)
	}
	return all
}

// Message returns the text of an error without the "secretref: " prefix.
func Message(err error) string { return strings.TrimPrefix(err.Error(), "secretref: ") }
