package refresh

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/ref"
)

// Check looks at the result for the ref of an index: whether its text may be
// used, and what there is to say about it. If it was seen before there is
// nothing new to warn of.
type Check func(i int, r fetch.Result, seen bool) (usable bool, err error)

// Value is a value that is built from secrets and kept up to date.
type Value[T any] struct {
	r      *Refresher
	refs   []ref.Reference
	groups []int // of each of refs: the first that is of the same group
	check  Check
	build  func(texts []string) T

	state  atomic.Pointer[State[T]]
	logins logins[T]

	once   sync.Once
	closed chan struct{}

	mu   sync.Mutex // held during a replacement of state
	last []held
	errs []error // of each of refs, what was last wrong with it
}

// held is what a Value has of a ref. Its text is where printers that follow
// pointers cannot look.
type held struct {
	version *fetch.Version // nil: nothing yet
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
// which is kept up to date until it or the Refresher is closed, or nothing refers
// to it any more.
func Watch[T any](ctx context.Context, r *Refresher, refs []ref.Reference, check Check, build func([]string) T) (*Value[T], error) {
	v := &Value[T]{r: r, refs: refs, check: check, build: build, closed: make(chan struct{}),
		logins: logins[T]{turn: make(chan struct{}, 1)}, last: make([]held, len(refs)), errs: make([]error, len(refs))}
	for i := range refs {
		v.groups = append(v.groups, slices.IndexFunc(refs, func(o ref.Reference) bool { return o.Target() == refs[i].Target() }))
	}
	results := r.resolve(ctx, refs, cache.UseCached)
	if err := v.update(results); v.state.Load() == nil {
		return nil, err
	}
	if len(refs) > 0 {
		w := &watched{refs: refs, value: inUse(v)}
		w.schedule(results, r.every)
		r.watch(w)
	}
	return v, nil
}

// inUse returns how to get at v as long as it is in use, and does not keep it in
// use itself.
func inUse[T any](v *Value[T]) func() updater {
	held := weak.Make(v)
	return func() updater {
		if v := held.Value(); v != nil && !v.isClosed() {
			return v
		}
		return nil
	}
}

// State returns the present one.
func (v *Value[T]) State() *State[T] { return v.state.Load() }

// Close ends the renewals of v. The state stays.
func (v *Value[T]) Close() {
	v.once.Do(func() { close(v.closed) })
	v.r.notify()
}

func (v *Value[T]) isClosed() bool {
	select {
	case <-v.closed:
		return true
	default:
		return false
	}
}

// Refresh fetches all secrets anew, and returns the state after it.
func (v *Value[T]) Refresh(ctx context.Context) (*State[T], error) {
	if v.isClosed() {
		return v.state.Load(), fault.New(fault.Closed, "the Handle is no longer refreshed").Permanently()
	}
	results := v.r.resolve(ctx, v.refs, cache.ForceFetch)
	errs, _ := v.accept(results, ctx.Err() != nil)
	return v.state.Load(), errors.Join(errs...)
}

// Next waits until s is no longer the state. It reports false if ctx ends
// first, or there will be no other.
func (v *Value[T]) Next(ctx context.Context, s *State[T]) (*State[T], bool) {
	if v.isClosed() {
		return nil, false
	}
	select {
	case <-s.next:
		return v.state.Load(), true
	case <-ctx.Done():
	case <-v.closed:
	case <-v.r.ctx.Done():
	}
	return nil, false
}

// update takes results in and returns what is wrong with them.
func (v *Value[T]) update(results []fetch.Result) error {
	errs, _ := v.accept(results, false)
	return errors.Join(errs...)
}

// take implements updater.
func (v *Value[T]) take(results []fetch.Result) []error {
	errs, usable := v.accept(results, false)
	for i := range errs {
		if usable[i] {
			errs[i] = nil
		}
	}
	return errs
}

// accept takes results in. It returns what is wrong with each, and whether it can
// be used all the same. Those of one group are taken together or not at all, so
// that a user name and its password are of one version. What is wrong for a caller
// who left is no part of the state: it may be the caller's own hurry.
func (v *Value[T]) accept(results []fetch.Result, left bool) (errs []error, usable []bool) {
	errs, usable = make([]error, len(results)), make([]bool, len(results))
	bad := make([]bool, len(results)) // by group
	for i, r := range results {
		if r.Version != nil || r.Err != nil { // else nothing is known of it at the moment
			usable[i], errs[i] = v.check(i, r, v.holds(i, r.Version))
		}
		bad[v.groups[i]] = bad[v.groups[i]] || !usable[i]
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	changed := false
	for i, r := range results {
		if (r.Version != nil || r.Err != nil) && (errs[i] == nil || !left) {
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
	return errs, usable
}

// holds reports whether a version is the one that is held of a ref.
func (v *Value[T]) holds(i int, version *fetch.Version) bool {
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

// same reports whether two failures read the same.
func same(a, b error) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Error() == b.Error()
}
