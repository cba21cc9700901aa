package fault

// AlreadyClosed returns the error of a call on what, which was closed. It is
// permanent, and it also matches Unavailable, so that callers with a fallback for
// a backend that is unavailable use it during a shutdown, too.
func AlreadyClosed(what string) *Error {
	return New(Closed, "the %s is closed", what).WithCause(Unavailable).Permanently()
}
