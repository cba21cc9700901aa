// Package backend defines the interface of a secret store. Caching, sharing and
// retries are in package fetch.
package backend

import (
	"context"
	"time"

	"github.com/seed74218947/secretref/internal/ref"
)

// Document is the result of one fetch.
type Document struct {
	// Text is the secret. For AWS it is the whole secret, for Vault the JSON object
	// of all keys of the path.
	Text string

	// ValidUntil is when the secret ends. If zero, it has no known end.
	ValidUntil time.Time
}

// Backend fetches secrets from one kind of store. It is safe for concurrent use.
type Backend interface {
	// Fetch makes one attempt to fetch target.
	Fetch(ctx context.Context, target ref.Target) (Document, error)
}

// Queuer is a Backend that can fetch several targets with one call. It limits by
// itself how many calls run at a time.
type Queuer interface {
	Backend

	// Queue adds targets in one step, so that a call can carry several of them, and
	// returns one Pending for each, in order. It does not block. Calls have the
	// values of ctx but do not end with it.
	Queue(ctx context.Context, targets []ref.Target) []Pending
}

// Pending is an attempt that was queued. Wait must be called exactly once.
type Pending interface {
	// Wait returns the outcome of the attempt. When ctx ends the attempt is given
	// up, without affecting other targets of the same call.
	Wait(ctx context.Context) (Document, error)
}
