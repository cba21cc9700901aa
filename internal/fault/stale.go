package fault

import "errors"

// RefusedLocally marks e as a refusal of this library, such as one of AllowEndpoint, and
// returns it: the backend has not said anything about the secret.
func (e *Error) RefusedLocally() *Error {
	e.refusedLocally = true
	return e
}

// KindIs reports whether the kind of err is kind. Unlike [errors.Is] it ignores
// causes: a login that failed because a file was not found is not a secret that
// was not found.
func KindIs(err, kind error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return errors.Is(e.Kind, kind)
	}
	return errors.Is(err, kind)
}

// ForbidsStale reports whether err is the backend's own verdict that there is no
// secret or that the caller may not have it. After it a value that was fetched
// before must not be used any more; every other failure leaves that value alone.
func ForbidsStale(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok && e.refusedLocally {
		return false
	}
	return KindIs(err, NotFound) || KindIs(err, Denied)
}

// MaybeOutage marks e, whose kind is another, as one that an outage may have caused,
// and returns it: a service that is down looks like one that was never there. e
// matches [Unavailable], too.
func (e *Error) MaybeOutage() *Error {
	e.maybeOutage = true
	return e
}

// AllowsStale reports whether a value that was fetched before may be used in spite of
// err: the backend, or what it takes to ask it, is unavailable, or may be.
func AllowsStale(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok && e.maybeOutage {
		return true
	}
	return KindIs(err, Unavailable)
}
