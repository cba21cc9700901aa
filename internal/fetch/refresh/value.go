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

// Check examines the result for the reference with index i. It reports whether its
// text can be used, and returns the error to show. If seen, the same version was
// checked before, and the log was warned of it.
type Check func(i int, r fetch.Result, seen bool) (usable bool, err error)

// Value is a value that is built from secrets and kept up to date.
type Value[T any] struct {
	r       *Refresher
	refs    []ref.Reference
	targets []int // for each of refs, the index of the first with the same target
	check   Check
	build   func(texts []string) T

	state atomic.Pointer[State[T]]

	once   sync.Once
	closed chan struct{}

	mu   sync.Mutex // held while state is replaced
	last []snapshot
	errs []error // the latest error of each of refs
}

// snapshot is the latest good text of a reference. The text is hidden from printers
// that follow pointers.
type snapshot struct {
	version *fetch.Version // nil if there is none yet
	text    func() string
}

// State is the content of a Value at one time.
type State[T any] struct {
	Value   T
	Fetched time.Time // when the oldest of its secrets was fetched
	Err     error     // why the value is not newer; nil if it is fresh
	Serial  int       // grows with each change of Value
	next    chan struct{}
}

// Watch resolves refs and returns the Value that build makes of their texts. It is
// kept up to date until it or the Refresher is closed, or the program no longer
// refers to it.
func Watch[T any](
	ctx context.Context, r *Refresher, refs []ref.Reference, check Check, build func([]string) T,
) (*Value[T], error) {
	v := &Value[T]{r: r, refs: refs, check: check, build: build, closed: make(chan struct{}),
		last: make([]snapshot, len(refs)), errs: make([]error, len(refs))}
	for i := range refs {
		sameTarget := func(o ref.Reference) bool { return o.Target() == refs[i].Target() }
		v.targets = append(v.targets, slices.IndexFunc(refs, sameTarget))
	}
	results := r.resolve(ctx, refs, cache.UseCached)
	if err := v.update(results); v.state.Load() == nil {
		return nil, err
	}
	if len(refs) > 0 {
		w := &watched{refs: refs, value: weakly(v)}
		w.schedule(results, r.every)
		r.watch(w)
	}
	return v, nil
}

// weakly returns a function that returns v, or nil if v is closed or the program no
// longer refers to it.
func weakly[T any](v *Value[T]) func() updater {
	pointer := weak.Make(v)
	return func() updater {
		if v := pointer.Value(); v != nil && !v.Closed() {
			return v
		}
		return nil
	}
}

// State returns the current State.
func (v *Value[T]) State() *State[T] { return v.state.Load() }

// Close ends the refreshes of v. Its state remains.
func (v *Value[T]) Close() {
	v.once.Do(func() { close(v.closed) })
	v.r.notify()
}

// Closed reports whether Close was called.
func (v *Value[T]) Closed() bool {
	select {
	case <-v.closed:
		return true
	default:
		return false
	}
}

// Refresh fetches all secrets again and returns the state after that.
func (v *Value[T]) Refresh(ctx context.Context) (*State[T], error) {
	if v.Closed() {
		return v.state.Load(), fault.New(fault.Closed,
			"the Live is closed and no longer refreshed").Permanently()
	}
	results := v.r.resolve(ctx, v.refs, cache.ForceFetch)
	errs, _ := v.accept(results, ctx.Err() != nil)
	return v.state.Load(), errors.Join(errs...)
}

// Next waits until the state is no longer s. It reports false if ctx ends first, or
// v or the Refresher is closed.
func (v *Value[T]) Next(ctx context.Context, s *State[T]) (*State[T], bool) {
	if v.Closed() {
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

// update accepts results and returns their errors.
func (v *Value[T]) update(results []fetch.Result) error {
	errs, _ := v.accept(results, false)
	return errors.Join(errs...)
}

// apply implements updater.
func (v *Value[T]) apply(results []fetch.Result) []error {
	errs, usable := v.accept(results, false)
	for i := range errs {
		if usable[i] {
			errs[i] = nil
		}
	}
	return errs
}

// accept updates the state. It returns the error of each result, and whether the
// result can be used nevertheless. Results of one target are accepted together or
// not at all, so that a user name and its password are of one version. If the
// caller left, errors are not part of the state: its deadline may be the cause.
func (v *Value[T]) accept(results []fetch.Result, left bool) (errs []error, usable []bool) {
	errs, usable = make([]error, len(results)), make([]bool, len(results))
	bad := make([]bool, len(results)) // by target
	for i, r := range results {
		if r.Version != nil || r.Err != nil { // otherwise it was evicted from memory
			usable[i], errs[i] = v.check(i, r, v.hasVersion(i, r.Version))
		}
		bad[v.targets[i]] = bad[v.targets[i]] || !usable[i]
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	changed := false
	for i, r := range results {
		if (r.Version != nil || r.Err != nil) && (errs[i] == nil || !left) {
			v.errs[i] = errs[i]
		}
		last := &v.last[i]
		if bad[v.targets[i]] || last.version != nil && r.Version.Fetched.Before(last.version.Fetched) {
			continue
		}
		changed = changed || last.version == nil || last.text() != r.Text
		*last = snapshot{r.Version, func() string { return r.Text }}
	}
	v.publish(changed, errors.Join(v.errs...))
	return errs, usable
}

// hasVersion reports whether the snapshot of a reference is of version.
func (v *Value[T]) hasVersion(i int, version *fetch.Version) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return version != nil && v.last[i].version == version
}

// publish replaces the state by the content of last; the caller holds the lock.
func (v *Value[T]) publish(changed bool, err error) {
	now := &State[T]{Fetched: time.Now(), Err: err, next: make(chan struct{})}
	texts := make([]string, len(v.last))
	for i, last := range v.last {
		if last.version == nil {
			return // some secrets were never resolved
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
		if now.Value, now.Serial = old.Value, old.Serial; sameText(old.Err, err) {
			now.next = old.next
		}
	}
	v.state.Store(now)
	if old != nil && old.next != now.next {
		close(old.next)
	}
}

// sameText reports whether two errors have the same text.
func sameText(a, b error) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Error() == b.Error()
}
