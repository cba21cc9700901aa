// Package batch lets many callers, who each want one thing, share calls that
// bring several.
package batch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
)

// grace is how much longer than its deadline a caller waits for a call that
// has about the same one.
const grace = 100 * time.Millisecond

// Result is the outcome for one key.
type Result[V any] struct {
	Value V
	Err   error
}

// Batcher gathers the keys of its callers into calls. It is safe for
// concurrent use.
type Batcher[K comparable, V any] struct {
	size          int
	quiet, linger time.Duration // how long a call gathers without a new key, and with a party on its way
	log           *slog.Logger
	ask           func(ctx context.Context, keys []K) []Result[V]

	mu      sync.Mutex
	next    *call[K, V]              // still gathers; nil: the next key begins a call
	calls   map[*call[K, V]]struct{} // that have not ended
	closed  bool
	running sync.WaitGroup
}

type call[K comparable, V any] struct {
	cancel   context.CancelFunc
	keys     []K           // guarded by Batcher.mu until the call goes out
	places   map[K]int     // guarded by Batcher.mu: where in keys
	waiters  int           // guarded by Batcher.mu
	deadline time.Time     // guarded by Batcher.mu: the latest of its callers
	endless  bool          // guarded by Batcher.mu: one of them has none
	parties  []*Party      // guarded by Batcher.mu: some of whom have come
	ready    chan struct{} // closed when nobody else has to be waited for
	done     chan struct{} // closed when results and err are set
	results  []Result[V]
	err      error // of all keys
}

// New returns a Batcher. A call goes out when it has size keys; when all of the
// parties of which one has come are complete, for which it waits no longer than
// linger; or, without any, when no key has come for the time of quiet, of which
// it waits three at most. It returns a result for each key, in order. Calls do
// not wait for each other.
func New[K comparable, V any](size int, quiet, linger time.Duration, log *slog.Logger, ask func(ctx context.Context, keys []K) []Result[V]) *Batcher[K, V] {
	return &Batcher[K, V]{size: size, quiet: quiet, linger: linger, log: log, ask: ask, calls: map[*call[K, V]]struct{}{}}
}

// Do returns what a call brings for key, or leaves it when ctx ends. The call
// keeps the values of the context that began it and has the last deadline of
// all; it ends when all of its callers have left. Those who want the same key
// of one call share a result.
func (b *Batcher[K, V]) Do(ctx context.Context, key K) (V, error) {
	var none V
	seat := seatOf(ctx)
	if err := ctx.Err(); err != nil {
		seat.Leave()
		return none, gaveUp(err)
	}
	c, place := b.join(ctx, key, seat)
	seat.Leave()
	if c == nil {
		return none, closed()
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if !b.ends(ctx, c) {
			b.leave(c)
			return none, gaveUp(ctx.Err())
		}
	}
	if c.err != nil {
		return none, c.err
	}
	return c.results[place].Value, c.results[place].Err
}

// join puts key into the call that gathers; nil: the Batcher is closed.
func (b *Batcher[K, V]) join(ctx context.Context, key K, seat *Seat) (c *call[K, V], place int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, 0
	}
	if b.next == nil {
		b.begin(ctx)
	}
	c = b.next
	c.waiters++
	if deadline, ok := ctx.Deadline(); !ok {
		c.endless = true
	} else if deadline.After(c.deadline) {
		c.deadline = deadline
	}
	place, known := c.places[key]
	if !known {
		place = len(c.keys)
		c.places[key] = place
		c.keys = append(c.keys, key)
	}
	b.expect(c, seat)
	if len(c.keys) >= b.size {
		b.release(c)
	}
	return c, place
}

// expect lets c wait for the party of a seat; the caller holds the lock.
func (b *Batcher[K, V]) expect(c *call[K, V], seat *Seat) {
	party := seat.of()
	if party == nil || slices.Contains(c.parties, party) {
		return
	}
	waits := party.whenHere(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !slices.ContainsFunc(c.parties, (*Party).waits) {
			b.release(c)
		}
	})
	if waits {
		c.parties = append(c.parties, party)
	}
}

// release lets c go out; the caller holds the lock.
func (b *Batcher[K, V]) release(c *call[K, V]) {
	if b.next == c {
		b.next = nil
		close(c.ready)
	}
}

// begin starts a call that gathers; the caller holds the lock.
func (b *Batcher[K, V]) begin(ctx context.Context) {
	c := &call[K, V]{places: map[K]int{}, ready: make(chan struct{}), done: make(chan struct{})}
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	b.next = c
	b.calls[c] = struct{}{}
	b.running.Go(func() { b.run(ctx, c) })
}

func (b *Batcher[K, V]) run(ctx context.Context, c *call[K, V]) {
	defer func() {
		c.cancel()
		b.mu.Lock()
		delete(b.calls, c)
		b.mu.Unlock()
		close(c.done)
	}()
	b.gather(ctx, c)
	ctx, cancel := b.depart(ctx, c)
	defer cancel()
	if ctx.Err() != nil {
		c.err = b.unasked(ctx.Err())
		return
	}
	c.err = lost() // what stays if ask ends the goroutine instead of returning
	c.results, c.err = guarded(b.log, func() ([]Result[V], error) { return b.ask(ctx, c.keys), nil })
	if c.err == nil && len(c.results) != len(c.keys) {
		c.err = fault.New(fault.Unavailable, "the call brought %d results for %d keys", len(c.results), len(c.keys)).Permanently()
	}
}

// gather waits for those who come along.
func (b *Batcher[K, V]) gather(ctx context.Context, c *call[K, V]) {
	tick, last := time.NewTicker(b.quiet), time.NewTimer(b.linger)
	defer tick.Stop()
	defer last.Stop()
	for before, ticks := 1, 1; ; ticks++ {
		select {
		case <-c.ready:
			return
		case <-ctx.Done():
			return
		case <-last.C:
			return
		case <-tick.C:
			keys, parties := b.came(c)
			if !parties && (keys == before || ticks >= 3) {
				return
			}
			before = keys
		}
	}
}

// came returns how many keys have come, and whether there are parties among
// them.
func (b *Batcher[K, V]) came(c *call[K, V]) (keys int, parties bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(c.keys), len(c.parties) > 0
}

// depart ends the gathering. The call has the last deadline of its callers.
func (b *Batcher[K, V]) depart(ctx context.Context, c *call[K, V]) (context.Context, context.CancelFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(c)
	if c.endless {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, c.deadline)
}

// ends reports whether the call ends with its caller, at about one deadline: it
// knows better why nothing came, so that the caller waits for it a moment.
func (b *Batcher[K, V]) ends(ctx context.Context, c *call[K, V]) bool {
	b.mu.Lock()
	soon := !c.endless && time.Until(c.deadline) < grace
	b.mu.Unlock()
	if !soon || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return false
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.done:
		return true
	case <-timer.C:
		return false
	}
}

// leave gives a place up. The last one out ends the call, and nobody joins it
// any more.
func (b *Batcher[K, V]) leave(c *call[K, V]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.waiters--; c.waiters == 0 {
		c.cancel()
		b.forget(c)
	}
}

// forget lets nobody join c any more; the caller holds the lock.
func (b *Batcher[K, V]) forget(c *call[K, V]) {
	if b.next == c {
		b.next = nil
	}
}

// Close ends all calls and returns when they have ended.
func (b *Batcher[K, V]) Close() {
	b.mu.Lock()
	b.closed = true
	for c := range b.calls {
		c.cancel()
	}
	b.mu.Unlock()
	b.running.Wait()
}

// Each gets every key by itself, side by side: what a call may do where there
// is no better way.
func Each[K, V any](log *slog.Logger, keys []K, one func(K) (V, error)) []Result[V] {
	results := make([]Result[V], len(keys))
	var all sync.WaitGroup
	for i, key := range keys {
		results[i].Err = lost()
		all.Go(func() {
			results[i].Value, results[i].Err = guarded(log, func() (V, error) { return one(key) })
		})
	}
	all.Wait()
	return results
}

// guarded makes an error of a panic.
func guarded[V any](log *slog.Logger, f func() (V, error)) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.FromPanic(log, p)
		}
	}()
	return f()
}

// unasked says why a call never went out.
func (b *Batcher[K, V]) unasked(cause error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return closed()
	}
	return gaveUp(cause)
}

func lost() error {
	return fault.New(fault.Unavailable, "the fetch ended without a result").Permanently()
}

func closed() error { return fault.AlreadyClosed("Resolver") }

func gaveUp(cause error) error {
	return fault.New(fault.Unavailable, "no answer before the caller's context ended").WithCause(cause)
}
