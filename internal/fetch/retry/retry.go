// Package retry holds the one retry loop of the library.
package retry

import (
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

	// noHostPatience is for how long a host is tried whose name does not exist: the
	// name is more likely misspelt than about to appear.
	noHostPatience = 3 * time.Second
)

// Failed is called after each failed attempt: its number, its error, and how long
// the next one waits; zero: there is none.
type Failed func(attempt int, err error, pause time.Duration)

// Do is [Observe] without anyone who observes.
func Do(ctx context.Context, attempt func(context.Context) error) (attempts int, err error) {
	return Observe(ctx, attempt, func(int, error, time.Duration) {})
}

// Observe calls attempt until it succeeds, fails for good, or the context ends.
// It waits between attempts, twice as long each time with jitter, and at least as
// long as the backend asked. When the wait would outlast the context's
// deadline the last error is returned at once: a caller learns nothing from
// waiting for it. When the end of the context cuts an attempt off, the error of
// the one before is returned: it is more specific. A host whose name does not
// exist is tried for 3 seconds. The error of a backend that is unavailable says
// how often and for how long it was tried, if that is more than once.
func Observe(ctx context.Context, attempt func(context.Context) error, failed Failed) (attempts int, err error) {
	start := time.Now()
	attempts, err = loop(ctx, attempt, failed)
	if attempts > 1 && err != nil && fault.KindIs(err, fault.Unavailable) {
		err = fault.WithEffort(err, attempts, time.Since(start))
	}
	return attempts, err
}

func loop(ctx context.Context, attempt func(context.Context) error, failed Failed) (attempts int, err error) {
	var noHost time.Time // since when the host's name does not exist, as far as is known
	found := false       // it did exist
	for backoff := initialBackoff; ; backoff = min(2*backoff, maxBackoff) {
		attempts++
		before, start := err, time.Now()
		if err = attempt(ctx); err == nil {
			return attempts, nil
		}
		pause := max(backoff/2+rand.N(backoff/2), retryAfter(err))
		switch dns, ok := errors.AsType[*net.DNSError](err); {
		case !ok:
			found = true
		case !noSuchHost(dns):
			noHost = time.Time{}
		case noHost.IsZero():
			noHost = start
		}
		hopeless := !found && !noHost.IsZero() && time.Since(noHost)+pause > noHostPatience
		deadline, bounded := ctx.Deadline()
		_, transient := fault.Transient(err)
		if !transient || ctx.Err() != nil || bounded && time.Until(deadline) <= pause || hopeless {
			pause = 0
		}
		failed(attempts, err, pause)
		if before != nil && ctx.Err() != nil {
			return attempts, before
		}
		if pause == 0 {
			return attempts, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return attempts, err
		}
	}
}

func retryAfter(err error) time.Duration {
	asked, _ := fault.Transient(err)
	return asked
}

// noSuchHost reports whether the name of a host does not exist, as opposed to a
// resolver that does not answer or cannot at the moment.
func noSuchHost(dns *net.DNSError) bool {
	return dns.IsNotFound && !dns.IsTimeout && !dns.IsTemporary
}
