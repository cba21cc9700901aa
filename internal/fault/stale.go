package fault

import "errors"

// RefusedLocally marks e as a refusal by this library, for example because of
// AllowEndpoint, and returns it: such an error is not the backend's answer.
func (e *Error) RefusedLocally() *Error {
	e.refusedLocally = true
	return e
}

// KindIs reports whether the kind of err is kind. Unlike [errors.Is] it ignores
// causes: a login that failed because a file was not found does not mean that a
// secret was not found.
func KindIs(err, kind error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return errors.Is(e.Kind, kind)
	}
	return errors.Is(err, kind)
}

// ForbidsStale reports whether err is the backend's answer that there is no secret or
// that the caller may not read it. After such an answer a value that was fetched
// before must be dropped; after any other failure it is kept.
func ForbidsStale(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok && e.refusedLocally {
		return false
	}
	return KindIs(err, NotFound) || KindIs(err, Denied)
}

// MaybeOutage marks e as possibly caused by an outage and returns it, although its
// kind is another one: a service that is down looks like one that does not exist. e
// then also matches [Unavailable].
func (e *Error) MaybeOutage() *Error {
	e.maybeOutage = true
	return e
}

// AllowsStale reports whether a value that was fetched before may be used in spite of
// err, because the backend, or a service that it depends on, is or may be unavailable.
func AllowsStale(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok && e.maybeOutage {
		return true
	}
	return KindIs(err, Unavailable)
}
