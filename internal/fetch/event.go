package fetch

import (
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/ref"
)

// Event describes one fetch that has ended.
type Event struct {
	Target   ref.Target
	Hint     cache.FetchHint
	Start    time.Time
	Duration time.Duration
	Attempts int
	Err      error
	Canceled bool // all callers left before it ended
}

// Backend returns "aws", "vault", "keyring", "cipherfile" or the class of a Provider.
func (e Event) Backend() string {
	if e.Target.Kind == ref.Custom {
		return e.Target.Class
	}
	return e.Target.Kind.String()
}

// Outcome returns the kind of Err as one word.
func (e Event) Outcome() string {
	switch {
	case e.Err == nil:
		return "ok"
	case e.Canceled:
		return "canceled"
	}
	for _, known := range []struct {
		kind error
		word string
	}{
		{fault.NotFound, "not_found"},
		{fault.Denied, "denied"},
		{fault.Unauthenticated, "unauthenticated"},
		{fault.Unavailable, "unavailable"},
	} {
		if fault.KindIs(e.Err, known.kind) {
			return known.word
		}
	}
	return "failed"
}

// Cache returns the reason for the fetch as one word.
func (e Event) Cache() string {
	switch {
	case e.Hint.Forced:
		return "refresh"
	case e.Hint.HasStale:
		return "renew"
	}
	return "miss"
}

// Stale reports whether callers get the last good value instead of Err.
func (e Event) Stale() bool {
	return e.Hint.HasStale && !e.Canceled && fault.AllowsStale(e.Err)
}
