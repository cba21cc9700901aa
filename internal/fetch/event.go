package fetch

import (
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/ref"
)

// Event tells about one finished fetch.
type Event struct {
	Group    ref.Target
	Ask      cache.FetchHint
	Start    time.Time
	Duration time.Duration
	Attempts int
	Err      error
	Left     bool // those who wanted it left before it was there
}

// Backend returns "aws", "vault", "keyring", "cipherfile" or the class of a caller's own store.
func (e Event) Backend() string {
	if e.Group.Kind == ref.Custom {
		return e.Group.Class
	}
	return e.Group.Kind.String()
}

// Outcome returns the kind of Err in one word.
func (e Event) Outcome() string {
	switch {
	case e.Err == nil:
		return "ok"
	case e.Left:
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

// Cache returns in one word why there was a fetch.
func (e Event) Cache() string {
	switch {
	case e.Ask.Forced:
		return "refresh"
	case e.Ask.HasStale:
		return "renew"
	}
	return "miss"
}

// Stale reports whether the last good value is handed out in place of Err.
func (e Event) Stale() bool {
	return e.Ask.HasStale && !e.Left && fault.AllowsStale(e.Err)
}
