package faults

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// A state is what is cached when the fault begins.
type state struct {
	name string
	fits func(fault) bool
	test func(w *world, f fault)
}

var states = []state{
	{"cold", func(fault) bool { return true }, cold},
	{"fault_ends", func(f fault) bool { return f.servesStale() && !f.lasting }, faultEnds},
	{"stale", func(fault) bool { return true }, stale},
	{"stale_short_deadline", func(f fault) bool { return f.hangs }, staleShortDeadline},
	{"too_old", func(f fault) bool { return f.kind != nil }, tooOld},
	{"live", func(fault) bool { return true }, live},
}

// cold: without a cached value, a caller gets the error in time.
func cold(w *world, f fault) {
	maxAttempts, timeout := f.attempts()
	r := w.resolver(secretref.Options{Timeout: timeout})
	before := w.tally()
	f.begin(w)
	w.checkUncached(f, w.ask(r), before, maxAttempts, timeout)
}

// checkUncached checks the result of a fetch without a cached value.
func (w *world) checkUncached(f fault, got outcome, before tally, maxAttempts int,
	timeout time.Duration) {
	w.t.Helper()
	if f.kind == nil {
		require.NoError(w.t, got.err)
		require.Equal(w.t, first, got.value)
	} else {
		w.fails(got.err, f.kind)
		require.Empty(w.t, got.value)
	}
	if f.lasting {
		timeout = 0
	}
	require.Less(w.t, got.waited, timeout+slack)
	counted := w.bounded(before, maxAttempts)
	require.GreaterOrEqual(w.t, counted.attempts, 1)
	if !f.lasting && !f.hangs && f.kind != nil {
		require.Greater(w.t, counted.attempts, 1)
	}
	w.t.Logf("waited %v: %v", got.waited.Round(time.Millisecond), counted)
}

// faultEnds: without a cached value, a caller gets the value once the fault ends, and not before
// the Retry-After of the server.
func faultEnds(w *world, f fault) {
	r := w.resolver(secretref.Options{Timeout: fullTimeout})
	before := w.tally()
	f.begin(w)
	done := make(chan outcome)
	go func() { done <- w.ask(r) }()
	time.Sleep(300 * time.Millisecond)
	f.end(w)
	got := <-done
	require.NoError(w.t, got.err)
	require.Equal(w.t, first, got.value)
	require.Greater(w.t, got.waited, f.retryAfter)
	require.Less(w.t, got.waited, fullTimeout)
	w.t.Logf("waited %v: %v", got.waited.Round(time.Millisecond), w.bounded(before, 10))
}

// stale: the cached value is stale when the fault begins. It is served if the backend is
// unavailable; after a failed fetch there is a pause before the next one.
func stale(w *world, f fault) {
	r := w.resolver(secretref.Options{TTL: shortTTL, Timeout: fullTimeout})
	w.gets(r, first)
	w.put(second)
	f.begin(w)
	time.Sleep(untilStale)
	before := w.tally()

	crowd := make([]outcome, 20)
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() { crowd[i] = w.ask(r) })
	}
	wg.Wait()
	longest := time.Duration(0)
	for _, got := range crowd {
		longest = max(longest, got.waited)
		switch {
		case f.kind == nil:
			require.NoError(w.t, got.err)
			require.Equal(w.t, second, got.value)
		case f.servesStale():
			require.NoError(w.t, got.err)
			require.Equal(w.t, first, got.value)
		default:
			w.fails(got.err, f.kind)
			require.Empty(w.t, got.value)
		}
	}
	limit := slack
	if f.hangs {
		limit = staleTimeout + slack
	}
	require.Less(w.t, longest, limit)
	// All share one attempt, except for those that come just after it ended: they make one of their
	// own unless the stale value is served.
	maxAttempts := len(crowd)
	if f.servesStale() {
		maxAttempts = 2
	}
	counted := w.bounded(before, maxAttempts)
	w.t.Logf("the crowd waited up to %v: %v", longest.Round(time.Millisecond), counted)

	if f.servesStale() {
		w.checkBackoff(r, f, before)
	}
	f.end(w)
	if f.retryAfter <= time.Minute {
		start := time.Now()
		w.becomes(r, second)
		w.t.Logf("the new value came after %v", time.Since(start).Round(time.Millisecond))
	}
}

// staleShortDeadline: a caller with less time than an attempt takes gets the stale value at its
// deadline; the next caller need not wait.
func staleShortDeadline(w *world, f fault) {
	r := w.resolver(secretref.Options{TTL: shortTTL, Timeout: fullTimeout})
	w.gets(r, first)
	w.put(second)
	f.begin(w)
	time.Sleep(untilStale)
	before := w.tally()
	ctx, cancel := context.WithTimeout(w.t.Context(), 300*time.Millisecond)
	defer cancel()
	got := w.askWith(ctx, r)
	require.NoError(w.t, got.err)
	require.Equal(w.t, first, got.value)
	next := w.ask(r)
	require.NoError(w.t, next.err)
	require.Equal(w.t, first, next.value)
	require.Less(w.t, got.waited+next.waited, staleTimeout+slack)
	counted := w.since(before) // the attempt itself may end a moment later
	require.LessOrEqual(w.t, counted.calls, 1)
	w.t.Logf("waited %v, and the next one %v: %v", got.waited.Round(time.Millisecond),
		next.waited.Round(time.Microsecond), counted)
	f.end(w)
	w.becomes(r, second)
}

func (w *world) gets(r *secretref.Resolver, want string) {
	w.t.Helper()
	got := w.ask(r)
	require.NoError(w.t, got.err)
	require.Equal(w.t, want, got.value)
}

// becomes waits until a value is served.
func (w *world) becomes(r *secretref.Resolver, want string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.ask(r).value == want }, 2*time.Minute,
		10*time.Millisecond)
}

// checkBackoff checks that callers are served without waiting and without a fetch until the pause
// after a failed fetch has ended, and how many fetches follow.
func (w *world) checkBackoff(r *secretref.Resolver, f fault, before tally) {
	w.t.Helper()
	attempts := w.since(before).attempts
	until := w.tally().ended.Add(max(minBackoff, min(f.retryAfter, time.Minute)))
	asks, longest := 0, time.Duration(0)
	for start := time.Now(); time.Until(until) > 50*time.Millisecond &&
		time.Since(start) < 2*time.Second; time.Sleep(time.Millisecond) {
		got := w.ask(r)
		require.NoError(w.t, got.err)
		require.Equal(w.t, first, got.value)
		asks, longest = asks+1, max(longest, got.waited)
	}
	if time.Now().Before(until) {
		require.Equal(w.t, attempts, w.since(before).attempts)
	}
	require.Less(w.t, longest, slack)
	if !f.hangs {
		start := time.Now()
		for ; time.Since(start) < time.Second; time.Sleep(10 * time.Millisecond) {
			require.Equal(w.t, first, w.ask(r).value)
		}
		// The pauses double, so this bound is not reached on a slow machine either.
		w.bounded(before, attempts+2+int((time.Since(start)-time.Second)/minBackoff))
	}
	w.t.Logf("%d later calls waited up to %v: %v", asks, longest.Round(10*time.Microsecond),
		w.since(before))
}

// tooOld: with MaxStale exceeded, the cached value is not served.
func tooOld(w *world, f fault) {
	maxAttempts, timeout := f.attempts()
	r := w.resolver(secretref.Options{TTL: shortTTL, MaxStale: -1, Timeout: timeout})
	w.gets(r, first)
	f.begin(w)
	time.Sleep(untilStale)
	before := w.tally()
	// The first attempt may fail because its connection was closed.
	w.checkUncached(f, w.ask(r), before, maxAttempts+1, timeout)
}

// live: a Live keeps its value during the fault, reports the error, and has the new value
// afterwards.
func live(w *world, f fault) {
	const ttl = 300 * time.Millisecond
	r := w.resolver(secretref.Options{TTL: ttl, Timeout: fullTimeout})
	l, err := r.Watch(w.t.Context(), w.ref)
	require.NoError(w.t, err)
	start, before := time.Now(), w.tally()
	f.begin(w)
	if f.kind != nil {
		w.waitFor(l, func(value string, err error) bool {
			require.Equal(w.t, first, value)
			return errors.Is(err, f.kind)
		})
		reported := time.Since(start)
		_, err = l.Status()
		w.fails(err, f.kind)

		refreshed := time.Now()
		got, err := l.Refresh(w.t.Context())
		w.fails(err, f.kind)
		require.Equal(w.t, first, got.Reveal())
		took := time.Since(refreshed)
		require.Less(w.t, took, staleTimeout+slack)
		w.t.Logf("reported after %v; a failed refresh took %v", reported.Round(time.Millisecond),
			took.Round(time.Millisecond))
	}
	f.end(w)
	w.put(second)
	ended := time.Now()
	if f.retryAfter > time.Minute {
		got, err := l.Refresh(w.t.Context()) // does not respect Retry-After
		require.NoError(w.t, err)
		require.Equal(w.t, second, got.Reveal())
	}
	w.waitFor(l, func(value string, err error) bool { return value == second && err == nil })
	counted := w.bounded(before, 3+int(time.Since(start)/(ttl/2)))
	w.t.Logf("the new value came after %v, %v in all: %v", time.Since(ended).Round(time.Millisecond),
		time.Since(start).Round(time.Millisecond), counted)
}

// waitFor polls a Live until its state is as expected. Reading it never waits for a fetch.
func (w *world) waitFor(l *secretref.Live[secretref.Secret],
	until func(value string, err error) bool) {
	w.t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		read := time.Now()
		value := l.Value().Reveal()
		_, err := l.Status()
		require.Less(w.t, time.Since(read), slack)
		if until(value, err) {
			return
		}
		require.Less(w.t, time.Since(start), 2*time.Minute, "%v", err)
	}
}
