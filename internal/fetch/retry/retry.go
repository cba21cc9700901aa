// Package retry holds the one retry loop of the module.
package retry

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
)

const (
	initialBackoff = 100 * time.Millisecond
	maxBackoff     = 5 * time.Second

	// noHostTimeout limits the attempts on a host name that does not exist: it is
	// more likely misspelled than about to appear.
	noHostTimeout = 3 * time.Second
)

// Loop decides whether and when a failed attempt is repeated:
//
//	var loop retry.Loop
//	for loop.Next(ctx) {
//		loop.Done(ctx, attempt(ctx))
//	}
//	return loop.Err()
//
// It ends when an attempt succeeds or fails permanently, or when the context ends.
// Between attempts it waits, twice as long each time with jitter, and at least as
// long as the backend asked. If that wait would outlast the context's deadline,
// the loop ends at once. A host whose name does not exist is tried for 3 seconds.
type Loop struct {
	// Once limits the loop to one attempt.
	Once bool

	// Jitter is the random part of each wait, from 0 to 1. Loops with the same Jitter
	// that fail together repeat together. If zero, each wait has a random part of its
	// own.
	Jitter float64

	// Attempts is the number of attempts that ended.
	Attempts int

	// Pause is the time before the next attempt; zero if there is none.
	Pause time.Duration

	err     error
	start   time.Time // of the first attempt
	latest  time.Time // start of the latest attempt
	backoff time.Duration
	noHost  time.Time // since when the host's name does not exist; zero if unknown
	found   bool      // the name existed at some attempt
}

// Next waits until the next attempt is due, and reports whether there is one.
func (l *Loop) Next(ctx context.Context) bool {
	if l.Attempts == 0 {
		l.start, l.latest = time.Now(), time.Now()
		l.backoff = initialBackoff
		return true
	}
	if l.Pause == 0 {
		return false
	}
	timer := time.NewTimer(l.Pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	l.backoff = min(2*l.backoff, maxBackoff)
	l.latest = time.Now()
	return true
}

// Done records the outcome of the attempt that Next allowed.
func (l *Loop) Done(ctx context.Context, err error) {
	previous := l.err
	l.Attempts++
	l.err, l.Pause = err, 0
	if err == nil {
		return
	}
	hopeless := l.noSuchHost(err)
	retryAfter, transient := fault.Transient(err)
	pause := max(l.backoff/2+time.Duration(float64(l.backoff/2)*cmp.Or(l.Jitter, rand.Float64())), retryAfter)
	deadline, bounded := ctx.Deadline()
	switch {
	case l.Once, !transient, bounded && time.Until(deadline) <= pause:
	case hopeless && time.Since(l.noHost)+pause > noHostTimeout:
	case ctx.Err() == nil:
		l.Pause = pause
	}
	if previous != nil && ctx.Err() != nil {
		l.err = previous // more specific than the error of an attempt that was cut off
	}
}

// Err returns the error of the last attempt that was not cut off by the end of the
// context. If a backend was unavailable more than once, the error says how often
// and for how long it was tried.
func (l *Loop) Err() error {
	if l.Attempts > 1 && l.err != nil && fault.KindIs(l.err, fault.Unavailable) {
		return fault.WithEffort(l.err, l.Attempts, time.Since(l.start))
	}
	return l.err
}

// noSuchHost reports whether every attempt failed because the host's name does not
// exist. A resolver that does not answer, or cannot at the moment, may answer the
// next time.
func (l *Loop) noSuchHost(err error) bool {
	switch dns, ok := errors.AsType[*net.DNSError](err); {
	case !ok:
		l.found = true
	case !dns.IsNotFound || dns.IsTimeout || dns.IsTemporary:
		l.noHost = time.Time{}
	case l.noHost.IsZero():
		l.noHost = l.latest
	}
	return !l.found && !l.noHost.IsZero()
}

// Do runs a [Loop] over attempt and returns the number of attempts.
func Do(ctx context.Context, attempt func(context.Context) error) (attempts int, err error) {
	var loop Loop
	for loop.Next(ctx) {
		loop.Done(ctx, attempt(ctx))
	}
	return loop.Attempts, loop.Err()
}
