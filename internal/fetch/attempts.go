package fetch

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/fetch/retry"
	"github.com/seed74218947/secretref/internal/ref"
)

// fetchOnce fetches a target for all callers of fl, with as many attempts as the
// hint allows.
func (f *Fetcher) fetchOnce(
	ctx context.Context, fl *flight, hint cache.FetchHint, queued *backend.Pending, jitter float64,
) (backend.Document, error) {
	b := f.backends[fl.Key.Kind]
	if b == nil {
		return backend.Document{}, fault.New(fault.Unsupported, "no %s store is configured", fl.Key.Kind)
	}
	arrived := time.Now()
	if limit := f.limits[fl.Key.Kind]; limit != nil {
		if err := acquire(ctx, limit, hint.HasStale); err != nil {
			return backend.Document{}, err
		}
		defer limit.Release(1)
	}
	timeout := f.Timeout
	switch {
	case hint.HasStale:
		timeout = min(timeout, max(staleFetchTimeout-time.Since(arrived), minAttemptTimeout))
	case hint.Short():
		timeout = min(timeout, staleFetchTimeout)
	}
	attempts, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	event := Event{Target: fl.Key, Hint: hint, Start: time.Now()}
	if f.Log.Enabled(ctx, slog.LevelDebug) {
		f.Log.DebugContext(ctx, "fetch begins",
			"backend", event.Backend(), "reference", fl.Key.Reference())
	}
	var document backend.Document
	loop := retry.Loop{Once: hint.SingleAttempt()}
	if *queued != nil {
		loop.Jitter = jitter
	}
	for loop.Next(attempts) {
		var err error
		first := *queued
		*queued = nil
		document, err = f.attempt(attempts, b, fl.Key, first)
		if loop.Done(attempts, err); err != nil {
			fl.Failed(err)
			f.reportAttempt(ctx, fl.Key, &loop, err)
		}
	}
	event.Duration, event.Attempts, event.Err = time.Since(event.Start), loop.Attempts, loop.Err()
	event.Canceled = event.Err != nil && ctx.Err() != nil
	f.report(ctx, event)
	return document, event.Err
}

// acquire waits for a turn. With a stale value at hand the wait has a limit, since
// all fetches before this one may hang.
func acquire(ctx context.Context, limit *semaphore.Weighted, hasStale bool) error {
	turn := ctx
	if hasStale {
		var cancel context.CancelFunc
		turn, cancel = context.WithTimeout(ctx, staleFetchTimeout)
		defer cancel()
	}
	err := limit.Acquire(turn, 1)
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil:
		return fault.New(fault.Unavailable,
			"no turn within %v: all of the %d concurrent fetches take long",
			staleFetchTimeout, maxPerBackend).WithCause(err)
	}
	return fault.New(fault.Unavailable, "canceled while waiting for one of %d concurrent fetches",
		maxPerBackend).WithCause(err)
}

// attempt makes one attempt, or waits for the queued one. A panic in a caller's own
// store becomes an error.
func (f *Fetcher) attempt(
	ctx context.Context, b backend.Backend, target ref.Target, queued backend.Pending,
) (document backend.Document, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.FromPanic(f.Log, p)
		}
	}()
	if queued != nil {
		return queued.Wait(ctx)
	}
	return b.Fetch(ctx, target)
}

// reportAttempt logs a failed attempt. After the last one the pause is zero.
func (f *Fetcher) reportAttempt(
	ctx context.Context, target ref.Target, loop *retry.Loop, err error,
) {
	if f.Log.Enabled(ctx, slog.LevelDebug) {
		f.Log.DebugContext(ctx, "fetch attempt failed",
			"backend", Event{Target: target}.Backend(), "reference", target.Reference(),
			"attempt", loop.Attempts, "error", err.Error(),
			"pause", loop.Pause.Round(time.Millisecond))
	}
}

func (f *Fetcher) report(ctx context.Context, e Event) {
	if f.Log.Enabled(ctx, slog.LevelDebug) {
		attrs := []any{"backend", e.Backend(), "reference", e.Target.Reference(),
			"outcome", e.Outcome(), "cache", e.Cache(), "stale", e.Stale(),
			"duration", e.Duration, "attempts", e.Attempts}
		if e.Err != nil {
			attrs = append(attrs, "error", e.Err.Error())
		}
		f.Log.DebugContext(ctx, "fetch", attrs...)
	}
	if f.OnFetch == nil {
		return
	}
	defer func() { // a panicking observer must not fail the fetch
		if v := recover(); v != nil {
			f.Log.Error("OnFetch panicked", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
		}
	}()
	f.OnFetch(e)
}
