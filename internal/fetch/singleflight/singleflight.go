// Package flight lets many callers share one fetch without sharing their
// fates: a flight runs under its own context, so a caller that leaves does not
// take it along, and it ends when nobody waits for it any more.
package singleflight

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
)

// Group runs at most one flight per key at a time; one that nobody waits for
// any more does not count. It is safe for concurrent use.
type Group[K comparable, V any] struct {
	timeout time.Duration
	log     *slog.Logger

	mu     sync.Mutex
	calls  map[K]*call[V]
	closed bool
	flying sync.WaitGroup
}

type call[V any] struct {
	cancel  context.CancelFunc
	waiters int           // guarded by Group.mu
	failed  attempts      // guarded by Group.mu
	next    *call[V]      // guarded by Group.mu: begins when this one has ended
	start   func()        // nil once it has begun
	done    chan struct{} // closed when value and err are set
	value   V
	err     error
}

// attempts is what is known of those that failed.
type attempts struct {
	last  error
	count int
	start time.Time // of the flight
}

// New returns a Group whose flights end after timeout; zero: when they are done.
func New[K comparable, V any](timeout time.Duration, log *slog.Logger) *Group[K, V] {
	return &Group[K, V]{timeout: timeout, log: log, calls: map[K]*call[V]{}}
}

// Run is what a flight does. It may tell those who leave early what went wrong
// so far.
type Run[V any] func(ctx context.Context, failed func(error)) (V, error)

// Waiter is one caller's place on a flight.
type Waiter[K comparable, V any] struct {
	group *Group[K, V]
	key   K
	call  *call[V] // nil: the group is closed

	departs bool
}

// Started reports whether the flight began with this Waiter.
func (w Waiter[K, V]) Started() bool { return w.departs }

// Do gets on the flight for key, which starts if there is none. The flight
// keeps the values of the context that started it, not its end. Every Waiter
// must be waited for.
func (g *Group[K, V]) Do(ctx context.Context, key K, run Run[V]) Waiter[K, V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return Waiter[K, V]{group: g}
	}
	c := g.calls[key]
	departs := c == nil
	if departs {
		c = g.prepare(ctx, key, run)
		g.begin(key, c)
	}
	c.waiters++
	return Waiter[K, V]{group: g, key: key, call: c, departs: departs}
}

// DoFresh is Join for a caller to whom what is already under way is too old:
// the flight begins after the call. All who come while another is under way
// share the one after it.
func (g *Group[K, V]) DoFresh(ctx context.Context, key K, run Run[V]) Waiter[K, V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return Waiter[K, V]{group: g}
	}
	c := g.calls[key]
	departs := c == nil
	switch {
	case departs:
		c = g.prepare(ctx, key, run)
		g.begin(key, c)
	case c.next == nil:
		c.next = g.prepare(ctx, key, run)
		c = c.next
	default:
		c = c.next
	}
	c.waiters++
	return Waiter[K, V]{group: g, key: key, call: c, departs: departs}
}

// prepare makes a call that has not begun.
func (g *Group[K, V]) prepare(ctx context.Context, key K, run Run[V]) *call[V] {
	c := &call[V]{done: make(chan struct{}), cancel: func() {}}
	c.start = func() {
		var flight context.Context
		if flight = context.WithoutCancel(ctx); g.timeout > 0 {
			flight, c.cancel = context.WithTimeout(flight, g.timeout)
		} else {
			flight, c.cancel = context.WithCancel(flight)
		}
		flight = context.WithValue(flight, callKey{}, c)
		c.failed.start = time.Now()
		g.flying.Go(func() { g.fly(flight, key, c, run) })
	}
	return c
}

// callKey is the key of a flight's context for its call.
type callKey struct{}

// Detach lets the flight whose context this is go on when nobody waits for it any
// more.
func (g *Group[K, V]) Detach(ctx context.Context) {
	c, ok := ctx.Value(callKey{}).(*call[V])
	if !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.waiters > 0 {
		c.waiters++ // and nobody leaves for it
	}
}

// begin starts a call; the caller holds the lock.
func (g *Group[K, V]) begin(key K, c *call[V]) {
	g.calls[key] = c
	c.start()
	c.start = nil
}

func (g *Group[K, V]) fly(ctx context.Context, key K, c *call[V], run Run[V]) {
	defer func() {
		if p := recover(); p != nil {
			c.err = fault.FromPanic(g.log, p)
		}
		c.cancel()
		g.mu.Lock()
		g.forget(key, c)
		g.mu.Unlock()
		close(c.done)
	}()
	// What stays if run ends the goroutine instead of returning.
	c.err = fault.New(fault.Unavailable, "the fetch ended without a result").Permanently()
	c.value, c.err = run(ctx, func(err error) {
		g.mu.Lock()
		c.failed.last = err
		c.failed.count++
		g.mu.Unlock()
	})
}

// Wait returns what the flight brings, or leaves it when ctx ends.
func (w Waiter[K, V]) Wait(ctx context.Context) (V, error) {
	var none V
	if w.call == nil {
		return none, closed()
	}
	select {
	case <-w.call.done:
		w.leave()
		return w.call.value, w.call.err
	case <-ctx.Done():
		return none, gaveUp(w.leave(), ctx.Err())
	}
}

// leave gives the place up and returns what is known of failed attempts. The last
// one out ends the flight, and nobody joins it any more.
func (w Waiter[K, V]) leave() attempts {
	g, c := w.group, w.call
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.waiters--; c.waiters == 0 {
		if before := g.calls[w.key]; before != nil && before.next == c {
			before.next = nil
		}
		c.cancel()
		g.forget(w.key, c)
	}
	return c.failed
}

// forget takes c off the map and starts the one after it; the caller holds the
// lock.
func (g *Group[K, V]) forget(key K, c *call[V]) {
	if g.calls[key] != c {
		return
	}
	delete(g.calls, key)
	if next := c.next; next != nil && !g.closed {
		g.begin(key, next)
	}
}

// Close ends all flights and returns when they have landed.
func (g *Group[K, V]) Close() {
	g.end()
	g.flying.Wait()
}

func (g *Group[K, V]) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, c := range g.calls {
		c.cancel()
		if next := c.next; next != nil {
			c.next = nil
			next.err = closed()
			close(next.done)
		}
	}
}

func closed() error { return fault.AlreadyClosed("Resolver") }

func gaveUp(failed attempts, cause error) error {
	effort := ""
	switch {
	case failed.last == nil:
		return fault.New(fault.Unavailable, "no answer before the caller's context ended").WithCause(cause)
	case failed.count > 1:
		effort = ": " + fault.Effort(failed.count, time.Since(failed.start))
	}
	return fault.New(fault.Unavailable, "no answer before the caller's context ended%s; the last attempt said: %s", effort, failed.last).WithCause(cause)
}
