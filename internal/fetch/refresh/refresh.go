// Package refresh keeps values up to date in the background.
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
	// minInterval is the time between two refreshes of a value, however short its
	// TTL is.
	minInterval = 100 * time.Millisecond

	// batchTimeout limits how long some values can delay the refresh of the others.
	batchTimeout = 10 * time.Second

	// After a failed refresh the next one waits, longer each time.
	initialBackoff = time.Second
	maxBackoff     = time.Minute

	// minSweep is the number of values below which the list is not searched for
	// values that are no longer in use.
	minSweep = 64
)

// Resolve resolves references.
type Resolve func(ctx context.Context, refs []ref.Reference, mode cache.Mode) []fetch.Result

// Refresher refreshes all watched values in one goroutine, which runs while there
// are any. It holds them weakly: a value that was closed, or that the program no
// longer refers to, is not refreshed. It is safe for concurrent use.
type Refresher struct {
	resolve Resolve
	changed <-chan struct{}
	every   time.Duration // the interval for versions without a Renew time
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	wake    chan struct{}

	failing failing // used only by run

	mu      sync.Mutex
	watched []*watched
	added   []*watched // the part of watched that was not compared with memory yet
	sweepAt int        // the length of watched at which it is swept
	started bool
	running sync.WaitGroup
}

// watched is the schedule of a Value.
type watched struct {
	refs    []ref.Reference
	value   func() updater // returns nil if it is no longer in use
	due     time.Time
	backoff time.Duration
}

// updater is a Value of any type.
type updater interface {
	// apply updates the value. It returns for each reference why its result is not
	// used, or nil.
	apply(results []fetch.Result) []error
}

// New returns a Refresher. A token in changed makes it compare all values with
// memory. Secrets that are not kept in memory are refreshed at the interval every.
func New(
	resolve Resolve, changed <-chan struct{}, every time.Duration, log *slog.Logger,
) *Refresher {
	r := &Refresher{resolve: resolve, changed: changed, every: every, log: log,
		wake: make(chan struct{}, 1), sweepAt: minSweep}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close ends the refreshes and waits for them. The values remain.
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

// notify wakes the goroutine of the Refresher.
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
		case <-r.wake: // catch up on changes made between resolving and registering
			r.renewBatch(r.takeAdded(), cache.PeekOnly)
		case <-r.changed:
			r.renewBatch(r.all(), cache.PeekOnly)
		case <-timer.C:
			r.renewBatch(r.due(), cache.RefreshIfDue)
		}
	}
}

// next returns the time until the next refresh is due. It reports false if no value
// is left; the next watch starts another goroutine.
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

// renewBatch resolves the references of some values together, so that all of them
// see the same version of a secret.
func (r *Refresher) renewBatch(some []*watched, mode cache.Mode) {
	var refs []ref.Reference
	var values []updater // keeps them reachable
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
	ctx, cancel := context.WithTimeout(r.ctx, batchTimeout)
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
		unused = append(unused, values[i].apply(own)...)
		if mode != cache.PeekOnly {
			w.schedule(own, r.every)
		}
	}
	if mode != cache.PeekOnly {
		r.report(refs, results, unused)
	}
}

// schedule sets when the next refresh is due, after one with these results.
func (w *watched) schedule(results []fetch.Result, every time.Duration) {
	failed := func(r fetch.Result) bool { return cmp.Or(r.Err, r.Stale) != nil }
	if slices.ContainsFunc(results, failed) {
		w.backoff = min(max(initialBackoff, 2*w.backoff), maxBackoff, max(every, minInterval))
		w.due = time.Now().Add(w.backoff)
		return
	}
	w.backoff, w.due = 0, time.Now().Add(every)
	for _, r := range results {
		if renew := r.Version.Renew; !renew.IsZero() && renew.Before(w.due) {
			w.due = renew
		}
	}
	if earliest := time.Now().Add(minInterval); w.due.Before(earliest) {
		w.due = earliest
	}
}
