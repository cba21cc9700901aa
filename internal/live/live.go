// Package live keeps values up to date in the background.
package live

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed74218947/secretref/internal/cache"
	"github.com/seed74218947/secretref/internal/coord"
	"github.com/seed74218947/secretref/internal/pipeline"
)

const (
	// leastEvery is between two renewals of a value, however short its TTL.
	leastEvery = 100 * time.Millisecond

	// passing is how long some values may hold the others up.
	passing = 10 * time.Second

	// After a renewal that failed the next one waits, longer each time.
	firstPause = time.Second
	mostPause  = time.Minute
)

// Resolve is how a Refresher gets at values.
type Resolve func(ctx context.Context, refs []coord.Reference, mode cache.Mode) []pipeline.Result

// Refresher renews all that it watches, in one goroutine that the first of them
// starts. It is safe for concurrent use.
type Refresher struct {
	resolve Resolve
	changed <-chan struct{}
	every   time.Duration // for what has no time of its own
	ctx     context.Context
	cancel  context.CancelFunc
	added   chan struct{}

	mu      sync.Mutex
	watched []*watched
	running sync.WaitGroup
}

// watched is what a Refresher knows of a Value.
type watched struct {
	refs   []coord.Reference
	update func([]pipeline.Result)
	due    time.Time
	pause  time.Duration
}

// New returns a Refresher. changed tells it to look at what is in memory, and
// every is how often it renews what is not kept there.
func New(resolve Resolve, changed <-chan struct{}, every time.Duration) *Refresher {
	r := &Refresher{resolve: resolve, changed: changed, every: every, added: make(chan struct{}, 1)}
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
	if r.watched = append(r.watched, w); len(r.watched) == 1 {
		r.running.Go(r.run)
	}
	select {
	case r.added <- struct{}{}:
	default:
	}
}

func (r *Refresher) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(r.wait())
		select {
		case <-r.ctx.Done():
			return
		case <-r.added: // what has changed since it was resolved it has not heard of
			r.pass(r.all(), cache.Present)
		case <-r.changed:
			r.pass(r.all(), cache.Present)
		case <-timer.C:
			r.pass(r.due(), cache.Renewed)
		}
	}
}

// wait returns how long nothing is due.
func (r *Refresher) wait() time.Duration {
	first := slices.MinFunc(r.all(), func(a, b *watched) int { return a.due.Compare(b.due) })
	return max(0, time.Until(first.due))
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

// pass gets all that some Values need together: of each secret they see one
// version.
func (r *Refresher) pass(some []*watched, mode cache.Mode) {
	var refs []coord.Reference
	for _, w := range some {
		refs = append(refs, w.refs...)
	}
	ctx, cancel := context.WithTimeout(r.ctx, passing)
	defer cancel()
	results := r.resolve(ctx, refs, mode)
	if r.ctx.Err() != nil {
		return
	}
	for _, w := range some {
		own := results[:len(w.refs)]
		results = results[len(w.refs):]
		w.update(own)
		if mode != cache.Present {
			w.schedule(own, r.every)
		}
	}
}

// schedule says when the next renewal is due after one with these results.
func (w *watched) schedule(results []pipeline.Result, every time.Duration) {
	failed := func(r pipeline.Result) bool { return cmp.Or(r.Err, r.Stale) != nil }
	if slices.ContainsFunc(results, failed) {
		w.pause = min(max(firstPause, 2*w.pause), mostPause, max(every, leastEvery))
		w.due = time.Now().Add(w.pause)
		return
	}
	w.pause, w.due = 0, time.Now().Add(every)
	for _, r := range results {
		if renew := r.Version.Renew; !renew.IsZero() && renew.Before(w.due) {
			w.due = renew
		}
	}
	if soonest := time.Now().Add(leastEvery); w.due.Before(soonest) {
		w.due = soonest
	}
}

// Check looks at the result for the ref of an index: whether its text may be
// used, and what there is to say about it. If it was seen before there is
// nothing new to warn of.
type Check func(i int, r pipeline.Result, seen bool) (usable bool, err error)

// Value is a value that is built from secrets and kept up to date.
type Value[T any] struct {
	r      *Refresher
	refs   []coord.Reference
	groups []int // of each of refs: the first that is of the same group
	check  Check
	build  func(texts []string) T

	state atomic.Pointer[State[T]]

	mu   sync.Mutex // held by whoever replaces state
	last []held
	errs []error // of each of refs, what was last wrong with it
}

// held is what a Value has of a ref. Its text is where printers that follow
// pointers cannot look.
type held struct {
	version *pipeline.Version // nil: nothing yet
	text    func() string
}

// State is what there is to say of a Value at one time.
type State[T any] struct {
	Value   T
	Fetched time.Time // the oldest of its secrets
	Err     error     // why it is not newer; nil if it is as it should be
	Serial  int       // of the value: states with equal ones have the same
	next    chan struct{}
}

// Watch resolves refs and returns the Value that build makes of their texts,
// which is kept up to date until the Refresher is closed.
func Watch[T any](ctx context.Context, r *Refresher, refs []coord.Reference, check Check, build func([]string) T) (*Value[T], error) {
	v := &Value[T]{r: r, refs: refs, check: check, build: build, last: make([]held, len(refs)), errs: make([]error, len(refs))}
	for i := range refs {
		v.groups = append(v.groups, slices.IndexFunc(refs, func(o coord.Reference) bool { return o.Group() == refs[i].Group() }))
	}
	results := r.resolve(ctx, refs, cache.Cached)
	if err := v.update(results); v.state.Load() == nil {
		return nil, err
	}
	w := &watched{refs: refs, update: func(results []pipeline.Result) { _ = v.update(results) }}
	w.schedule(results, r.every)
	if len(refs) > 0 {
		r.watch(w)
	}
	return v, nil
}

// State returns the present one.
func (v *Value[T]) State() *State[T] { return v.state.Load() }

// Refresh fetches all secrets anew, and returns the state after it.
func (v *Value[T]) Refresh(ctx context.Context) (*State[T], error) {
	err := v.update(v.r.resolve(ctx, v.refs, cache.Fresh))
	return v.state.Load(), err
}

// Next waits until s is no longer the state. It reports false if ctx ends
// first, or there will be no other.
func (v *Value[T]) Next(ctx context.Context, s *State[T]) (*State[T], bool) {
	select {
	case <-s.next:
		return v.state.Load(), true
	case <-ctx.Done():
	case <-v.r.ctx.Done():
	}
	return nil, false
}

// update takes in results and returns what is wrong with them. Those of one
// group are taken together or not at all, so that a user name and its password
// are of one version.
func (v *Value[T]) update(results []pipeline.Result) error {
	errs := make([]error, len(results))
	bad := make([]bool, len(results)) // by group
	for i, r := range results {
		usable := false
		if r.Version != nil || r.Err != nil { // else nothing is known of it at the moment
			usable, errs[i] = v.check(i, r, v.holds(i, r.Version))
		}
		bad[v.groups[i]] = bad[v.groups[i]] || !usable
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	changed := false
	for i, r := range results {
		if r.Version != nil || r.Err != nil {
			v.errs[i] = errs[i]
		}
		last := &v.last[i]
		if bad[v.groups[i]] || last.version != nil && r.Version.Fetched.Before(last.version.Fetched) {
			continue
		}
		changed = changed || last.version == nil || last.text() != r.Text
		*last = held{r.Version, func() string { return r.Text }}
	}
	v.replace(changed, errors.Join(v.errs...))
	return errors.Join(errs...)
}

// holds reports whether a version is the one that is held of a ref.
func (v *Value[T]) holds(i int, version *pipeline.Version) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return version != nil && v.last[i].version == version
}

// replace makes the state that follows from last; the caller holds the lock.
func (v *Value[T]) replace(changed bool, err error) {
	now := &State[T]{Fetched: time.Now(), Err: err, next: make(chan struct{})}
	texts := make([]string, len(v.last))
	for i, last := range v.last {
		if last.version == nil {
			return // it is not all there yet
		}
		texts[i] = last.text()
		if last.version.Fetched.Before(now.Fetched) {
			now.Fetched = last.version.Fetched
		}
	}
	old := v.state.Load()
	switch {
	case old == nil:
		now.Value = v.build(texts)
	case changed:
		now.Value, now.Serial = v.build(texts), old.Serial+1
	default:
		if now.Value, now.Serial = old.Value, old.Serial; same(old.Err, err) {
			now.next = old.next
		}
	}
	v.state.Store(now)
	if old != nil && old.next != now.next {
		close(old.next)
	}
}

// same reports whether two failures are one as far as anybody is told.
func same(a, b error) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Error() == b.Error()
}
