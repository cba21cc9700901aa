// Package singleflight lets many callers share one fetch without sharing their
// fates: a flight has its own context, so a caller that leaves does not cancel
// it, and it is canceled when its last caller leaves.
package singleflight

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
)

// Group has at most one flight per key at a time; a flight without callers does
// not count. It is safe for concurrent use.
type Group[K comparable, V any] struct {
	timeout time.Duration
	log     *slog.Logger

	mu      sync.Mutex
	flights map[K]*Flight[K, V]
	closed  bool
	running sync.WaitGroup
}

// New returns a Group. If timeout is positive, flights are canceled after it.
func New[K comparable, V any](timeout time.Duration, log *slog.Logger) *Group[K, V] {
	return &Group[K, V]{timeout: timeout, log: log, flights: map[K]*Flight[K, V]{}}
}

// Flight is one fetch. Callers call Result or Wait, each exactly once. The caller
// that got started == true must run the flight, in a goroutine of its own:
//
//	defer func() { flight.Land(recover()) }()
//	if ctx, ok := flight.Begin(); ok {
//		flight.Return(fetch(ctx))
//	}
type Flight[K comparable, V any] struct {
	group  *Group[K, V]
	key    K
	ctx    context.Context
	cancel context.CancelFunc
	stop   context.CancelFunc // of the timeout; may be nil
	turn   chan struct{}      // closed when the flight may begin
	done   chan struct{}      // closed when value and err are set

	waiters int           // guarded by Group.mu
	failed  attempts      // guarded by Group.mu
	next    *Flight[K, V] // guarded by Group.mu: begins when this one has ended

	value V
	err   error
}

// attempts counts the failed attempts of a flight.
type attempts struct {
	last  error
	count int
	start time.Time // of the flight
}

// Do joins the flight for key, or starts one. A flight has the values of the
// context that started it, but does not end with it.
func (g *Group[K, V]) Do(ctx context.Context, key K) (f *Flight[K, V], started bool) {
	return g.join(ctx, key, false)
}

// DoFresh is like Do, but never joins a flight that has begun. While there is one,
// all callers share the flight that begins after it.
func (g *Group[K, V]) DoFresh(ctx context.Context, key K) (f *Flight[K, V], started bool) {
	return g.join(ctx, key, true)
}

func (g *Group[K, V]) join(ctx context.Context, key K, fresh bool) (f *Flight[K, V], started bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		f = &Flight[K, V]{group: g, key: key, cancel: func() {}, waiters: 1,
			done: make(chan struct{}), err: closed()}
		close(f.done)
		return f, false
	}
	current := g.flights[key]
	switch {
	case current == nil:
		f, started = g.prepare(ctx, key), true
		g.flights[key] = f
		close(f.turn)
	case !fresh:
		f = current
	case current.next == nil:
		f, started = g.prepare(ctx, key), true
		current.next = f
	default:
		f = current.next
	}
	f.waiters++
	return f, started
}

// prepare returns a flight that has not begun; the caller holds the lock.
func (g *Group[K, V]) prepare(ctx context.Context, key K) *Flight[K, V] {
	f := &Flight[K, V]{group: g, key: key, turn: make(chan struct{}), done: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	// This error remains if the flight's goroutine exits before Return.
	f.err = fault.New(fault.Unavailable, "the fetch ended without a result").Permanently()
	g.running.Add(1)
	return f
}

// Ready reports whether Begin would not block.
func (f *Flight[K, V]) Ready() bool {
	select {
	case <-f.turn:
		return true
	default:
		return false
	}
}

// Begin waits until the flight before this one has ended. It reports false if all
// callers left before that, or the Group was closed.
func (f *Flight[K, V]) Begin() (ctx context.Context, ok bool) {
	if !f.Ready() {
		select {
		case <-f.turn:
		case <-f.ctx.Done():
			return f.ctx, false
		}
	}
	f.group.mu.Lock()
	f.failed.start = time.Now()
	f.group.mu.Unlock()
	ctx = f.ctx
	if f.group.timeout > 0 {
		ctx, f.stop = context.WithTimeout(ctx, f.group.timeout)
	}
	return ctx, true
}

// Failed records a failed attempt, for callers that leave before the flight ends.
func (f *Flight[K, V]) Failed(err error) {
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	f.failed.last = err
	f.failed.count++
}

// Detach lets the flight go on after its last caller has left.
func (f *Flight[K, V]) Detach() {
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	if f.waiters > 0 {
		f.waiters++ // it is never taken back
	}
}

// Return sets the result of the flight.
func (f *Flight[K, V]) Return(value V, err error) { f.value, f.err = value, err }

// Land ends the flight. If it panicked, the panic becomes its error.
func (f *Flight[K, V]) Land(panicked any) {
	g := f.group
	if panicked != nil {
		f.err = fault.FromPanic(g.log, panicked)
	}
	f.cancel()
	if f.stop != nil {
		f.stop()
	}
	g.mu.Lock()
	if g.closed && !f.Ready() {
		f.err = closed()
	}
	g.forget(f)
	g.mu.Unlock()
	close(f.done)
	g.running.Done()
}

// Done returns a channel that is closed when the flight has ended.
func (f *Flight[K, V]) Done() <-chan struct{} { return f.done }

// Result returns the result of the flight. If the flight has not ended, the caller
// leaves it, and err has ctx's error as cause.
func (f *Flight[K, V]) Result(ctx context.Context) (value V, err error) {
	select {
	case <-f.done:
		f.leave()
		return f.value, f.err
	default:
		return value, gaveUp(f.leave(), ctx.Err())
	}
}

// Wait waits for the result, or leaves the flight when ctx ends.
func (f *Flight[K, V]) Wait(ctx context.Context) (V, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
	}
	return f.Result(ctx)
}

// Call is Do and Wait for callers that need only a result. Run gets the function
// Failed of its flight.
func (g *Group[K, V]) Call(
	ctx context.Context, key K, run func(ctx context.Context, failed func(error)) (V, error),
) (V, error) {
	f, started := g.Do(ctx, key)
	if started {
		go func() {
			defer func() { f.Land(recover()) }()
			if ctx, ok := f.Begin(); ok {
				f.Return(run(ctx, f.Failed))
			}
		}()
	}
	return f.Wait(ctx)
}

// leave removes a caller and returns the failed attempts so far. After the last
// caller has left, the flight is canceled and cannot be joined.
func (f *Flight[K, V]) leave() attempts {
	g := f.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		if current := g.flights[f.key]; current != nil && current.next == f {
			current.next = nil
		}
		f.cancel()
		g.forget(f)
	}
	return f.failed
}

// forget removes f and lets the flight after it begin; the caller holds the lock.
func (g *Group[K, V]) forget(f *Flight[K, V]) {
	if g.flights[f.key] != f {
		return
	}
	delete(g.flights, f.key)
	if next := f.next; next != nil && !g.closed {
		g.flights[f.key] = next
		close(next.turn)
	}
}

// Close cancels all flights and waits until they have ended.
func (g *Group[K, V]) Close() {
	g.mu.Lock()
	g.closed = true
	for _, f := range g.flights {
		f.cancel()
		if f.next != nil {
			f.next.cancel()
		}
	}
	g.mu.Unlock()
	g.running.Wait()
}

func closed() error { return fault.AlreadyClosed("Resolver") }

func gaveUp(failed attempts, cause error) error {
	text := "no answer before the caller's context ended"
	if failed.count > 1 {
		text += ": " + fault.Effort(failed.count, time.Since(failed.start))
	}
	if failed.last != nil {
		text += "; the last attempt said: " + failed.last.Error()
	}
	return fault.New(fault.Unavailable, "%s", text).WithCause(cause)
}
