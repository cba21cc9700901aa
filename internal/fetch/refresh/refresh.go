// Package live keeps values up to date in the background.
package refresh

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/ref"
)

const (
	// minInterval is between two renewals of a value, however short its TTL.
	minInterval = 100 * time.Millisecond

	// passTimeout is how long some values may delay the renewal of the others.
	passTimeout = 10 * time.Second

	// After a renewal that failed the next one waits, longer each time.
	initialBackoff = time.Second
	maxBackoff     = time.Minute

	// minSweep is how many values are watched at least before the list is searched
	// for those that are no longer in use.
	minSweep = 64
)

// Resolve is how a Refresher gets at values.
type Resolve func(ctx context.Context, refs []ref.Reference, mode cache.Mode) []fetch.Result

// Refresher renews all values that it watches, in one goroutine that runs as
// long as there are any. It holds them weakly: one that nothing else refers to,
// or that was closed, is renewed no more. It is safe for concurrent use.
type Refresher struct {
	resolve Resolve
	changed <-chan struct{}
	every   time.Duration // for what has no time of its own
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	wake    chan struct{}

	failing failing // used by run only

	mu      sync.Mutex
	watched []*watched
	added   []*watched // those of watched that no pass has seen
	sweepAt int        // the number of watched values at which the list is swept
	started bool
	running sync.WaitGroup
}

// watched is what a Refresher knows of a Value.
type watched struct {
	refs  []ref.Reference
	value func() updater // nil: it is no longer in use
	due   time.Time
	pause time.Duration
}

// updater is a Value of any type.
type updater interface {
	// take takes results in. It returns for each ref why its result is not used,
	// or nil.
	take(results []fetch.Result) []error
}

// New returns a Refresher. A token in changed makes it look at what is in memory,
// and every is how often it renews what is not kept there.
func New(resolve Resolve, changed <-chan struct{}, every time.Duration, log *slog.Logger) *Refresher {
	r := &Refresher{resolve: resolve, changed: changed, every: every, log: log, wake: make(chan struct{}, 1), sweepAt: minSweep}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close ends the renewals and waits for them. The values stay.
func (r *Refresher) Close() {
	r.mu.Lock()
	r.cancel()
	r.mu.Unlock()
	r.running.Wait()
}

func (r *Refresher) watch(w *watched) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	if len(r.watched) >= r.sweepAt {
		r.sweep()
		r.sweepAt = max(minSweep, 2*len(r.watched))
	}
	r.watched, r.added = append(r.watched, w), append(r.added, w)
	if !r.started {
		r.started = true
		r.running.Go(r.run)
	}
	r.notify()
}

// notify makes the Refresher look at its values.
func (r *Refresher) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// sweep removes the values that are no longer in use; the caller holds the lock.
func (r *Refresher) sweep() {
	r.watched = slices.DeleteFunc(r.watched, func(w *watched) bool { return w.value() == nil })
}

func (r *Refresher) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, ok := r.next()
		if !ok {
			return
		}
		timer.Reset(wait)
		select {
		case <-r.ctx.Done():
			return
		case <-r.wake: // a value may have been resolved before the latest change, and watched after it
			r.pass(r.takeAdded(), cache.PeekOnly)
		case <-r.changed:
			r.pass(r.all(), cache.PeekOnly)
		case <-timer.C:
			r.pass(r.due(), cache.RefreshIfDue)
		}
	}
}

// next returns how long no renewal is due. Not ok: there is nothing to renew any
// more, and the next watch starts another goroutine.
func (r *Refresher) next() (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.watched)
	r.sweep()
	if len(r.watched) < before {
		r.failing.prune(r.watched)
	}
	if len(r.watched) == 0 {
		r.started = false
		return 0, false
	}
	first := slices.MinFunc(r.watched, func(a, b *watched) int { return a.due.Compare(b.due) })
	return max(0, time.Until(first.due)), true
}

func (r *Refresher) takeAdded() (added []*watched) {
	r.mu.Lock()
	defer r.mu.Unlock()
	added, r.added = r.added, nil
	return added
}

func (r *Refresher) all() []*watched {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.watched)
}

func (r *Refresher) due() []*watched {
	now := time.Now()
	return slices.DeleteFunc(r.all(), func(w *watched) bool { return w.due.After(now) })
}

// pass gets all that some values need together: of each secret they see one
// version.
func (r *Refresher) pass(some []*watched, mode cache.Mode) {
	var refs []ref.Reference
	var values []updater // from here on they stay reachable
	some = slices.DeleteFunc(some, func(w *watched) bool {
		v := w.value()
		if v != nil {
			refs, values = append(refs, w.refs...), append(values, v)
		}
		return v == nil
	})
	if len(some) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, passTimeout)
	defer cancel()
	results := r.resolve(ctx, refs, mode)
	if r.ctx.Err() != nil {
		return
	}
	var unused []error
	rest := results
	for i, w := range some {
		own := rest[:len(w.refs)]
		rest = rest[len(w.refs):]
		unused = append(unused, values[i].take(own)...)
		if mode != cache.PeekOnly {
			w.schedule(own, r.every)
		}
	}
	if mode != cache.PeekOnly {
		r.report(refs, results, unused)
	}
}

// schedule says when the next renewal is due after one with these results.
func (w *watched) schedule(results []fetch.Result, every time.Duration) {
	failed := func(r fetch.Result) bool { return cmp.Or(r.Err, r.Stale) != nil }
	if slices.ContainsFunc(results, failed) {
		w.pause = min(max(initialBackoff, 2*w.pause), maxBackoff, max(every, minInterval))
		w.due = time.Now().Add(w.pause)
		return
	}
	w.pause, w.due = 0, time.Now().Add(every)
	for _, r := range results {
		if renew := r.Version.Renew; !renew.IsZero() && renew.Before(w.due) {
			w.due = renew
		}
	}
	if soonest := time.Now().Add(minInterval); w.due.Before(soonest) {
		w.due = soonest
	}
}
