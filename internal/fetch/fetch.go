// Package pipeline takes references to their secrets: it plans what has to be
// fetched, fetches each group once, side by side, and extracts the values.
package fetch

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/batch"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/fetch/retry"
	"github.com/seed74218947/secretref/internal/ref"
)

const (
	// perBackend is how many fetches of one backend run at a time.
	perBackend = 50

	// patience is how long a fetch may take that is not worth waiting for long:
	// there is a good value in hand, or nobody waits.
	patience = 3 * time.Second

	// leastAttempt is what is left of that for an attempt, however long it had to
	// wait for its turn.
	leastAttempt = time.Second
)

// Document is what one fetch brings.
type Document struct {
	// Text is the secret: for AWS its whole text, for Vault the JSON object of
	// its keys.
	Text string

	// Values, unless nil, has the values by pointer or key instead, as a fake was
	// told them, and Later finds one that it has been told since.
	Values map[string]string
	Later  func(key string) (string, bool)
}

// Backend makes one attempt to fetch a group.
type Backend interface {
	Fetch(ctx context.Context, g ref.Target) (Document, error)
}

// BatchBackend fetches several groups of one region and endpoint with one call,
// and has a result for each, in order. It bounds by itself how many calls run
// at a time.
type BatchBackend interface {
	FetchBatch(ctx context.Context, groups []ref.Target) []batch.Result[Document]
}

// Version is what one fetch brought.
type Version = cache.Version[Document]

// Settings say how a Pipeline works.
type Settings struct {
	// Timeout is how long a fetch, with all its attempts, may take; the wait for
	// its turn does not count, which is unbounded unless there is a good value.
	Timeout time.Duration

	// TTL and MaxStale say how long what was fetched is used; see package cache.
	TTL, MaxStale time.Duration

	// Batch, unless nil, fetches the groups of AWS in place of their Backend.
	Batch BatchBackend

	Known   cache.Persister[ref.Target, Document] // may be nil
	Log     *slog.Logger
	OnFetch func(Event) // may be nil
}

// most is how many secrets are kept in memory.
const most = 4096

// Fetcher is safe for concurrent use.
type Fetcher struct {
	Settings
	backends map[ref.Kind]Backend
	limits   map[ref.Kind]*semaphore.Weighted
	batches  batches
	cache    *cache.Cache[ref.Target, Document]
}

// New returns a Pipeline over the backends.
func New(backends map[ref.Kind]Backend, s Settings) *Fetcher {
	p := &Fetcher{Settings: s, backends: backends, limits: make(map[ref.Kind]*semaphore.Weighted, len(backends)),
		batches: batches{backend: s.Batch, log: s.Log, open: map[lane]*batch.Batcher[ref.Target, tried]{}, watching: map[ref.Target]*watcher{}}}
	for kind := range backends {
		p.limits[kind] = semaphore.NewWeighted(perBackend)
	}
	p.cache = cache.New(cache.Settings[ref.Target, Document]{
		TTL: s.TTL, MaxStale: s.MaxStale, MaxEntries: most, Persister: s.Known, Log: s.Log,
		Keep:  func(g ref.Target) bool { return g.Kind != ref.Keyring && g.Kind != ref.CipherFile }, // they are as near as memory
		Equal: func(a, b Document) bool { return a.Text == b.Text && maps.Equal(a.Values, b.Values) },
		Name:  ref.Target.Reference,
	}, p.fly)
	return p
}

// Close ends all fetches and returns when they have ended.
func (p *Fetcher) Close() {
	p.cache.Close()
	p.batches.close()
}

// Changed gets a token when what is in memory has changed.
func (p *Fetcher) Changed() <-chan struct{} { return p.cache.Changed }

// Result is the outcome for one reference.
type Result struct {
	Text string
	Err  error

	Version *Version // which the text was taken from; nil with an Err
	Stale   error    // why the text is not newer; nil if it is as it should be
}

// Resolve returns a result for each reference, in order. References into one
// group see one version of it. One that comes alone waits a moment for those of
// other callers, where a call may bring several groups.
func (p *Fetcher) Resolve(ctx context.Context, refs []ref.Reference, mode cache.Mode) []Result {
	return p.resolve(ctx, refs, mode, len(refs) > 1)
}

// ResolveAll is Resolve for a caller who has all the references there are.
func (p *Fetcher) ResolveAll(ctx context.Context, refs []ref.Reference, mode cache.Mode) []Result {
	return p.resolve(ctx, refs, mode, true)
}

func (p *Fetcher) resolve(ctx context.Context, refs []ref.Reference, mode cache.Mode, together bool) []Result {
	results := make([]Result, len(refs))
	groups, of := plan(refs)
	fetched := p.fetch(ctx, groups, mode, together)
	for i := range results {
		r, got := &results[i], fetched[of[i]]
		if got.Version == nil {
			r.Err = got.Err
			continue
		}
		r.Version, r.Stale = got.Version, got.Err
		r.Text, r.Err = p.extract(got.Version.Value(), refs[i], mode == cache.PeekOnly)
	}
	return results
}

// plan groups the references by what has to be fetched, in order of first use.
// of has for each reference the index of its group.
func plan(refs []ref.Reference) (groups []ref.Target, of []int) {
	at := make(map[ref.Target]int, len(refs))
	groups, of = make([]ref.Target, 0, len(refs)), make([]int, len(refs))
	for i, r := range refs {
		g := r.Target()
		n, known := at[g]
		if !known {
			n = len(groups)
			at[g] = n
			groups = append(groups, g)
		}
		of[i] = n
	}
	return groups, of
}

// fetch gets all groups side by side; callers who ask for the same group at
// the same time share its flight.
func (p *Fetcher) fetch(ctx context.Context, groups []ref.Target, mode cache.Mode, together bool) []cache.Got[Document] {
	out := make([]cache.Got[Document], len(groups))
	for i, w := range p.ask(ctx, groups, mode, together) {
		out[i] = w.Wait(ctx)
	}
	return out
}

// ask starts what has to be fetched. Those who come together are a party, so
// that the call that brings them waits for them and for nobody else.
func (p *Fetcher) ask(ctx context.Context, groups []ref.Target, mode cache.Mode, together bool) []cache.Waiter[ref.Target, Document] {
	waiters := make([]cache.Waiter[ref.Target, Document], len(groups))
	if p.Batch == nil || !together {
		for i, g := range groups {
			waiters[i] = p.cache.Ask(ctx, g, mode)
		}
		return waiters
	}
	var missing []int // a seat is for what may have to be fetched
	for i, g := range groups {
		var ready bool
		if waiters[i], ready = p.cache.Peek(g, mode); !ready {
			missing = append(missing, i)
		}
	}
	var party batch.Party
	defer party.Seat().Leave()
	for _, i := range missing {
		g, seat := groups[i], party.Seat()
		waiters[i] = p.cache.Ask(batch.WithSeat(ctx, seat), g, mode)
		if !p.inBatches(g) || !waiters[i].Started() {
			seat.Leave()
		}
	}
	return waiters
}

func (p *Fetcher) inBatches(g ref.Target) bool { return g.Kind == ref.AWS && p.Batch != nil }

// fly is one flight: all attempts to fetch one group.
func (p *Fetcher) fly(ctx context.Context, g ref.Target, ask cache.FetchHint, failed func(error)) (Document, error) {
	arrived := time.Now()
	get, settle, err := p.way(ctx, g, ask.HasStale)
	if err != nil {
		return Document{}, err
	}
	defer settle()
	timeout := p.Timeout
	switch {
	case ask.HasStale:
		timeout = min(timeout, max(patience-time.Since(arrived), leastAttempt))
	case ask.Short():
		timeout = min(timeout, patience)
	}
	attempt, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	event := Event{Group: g, Ask: ask, Start: time.Now()}
	if p.Log.Enabled(ctx, slog.LevelDebug) {
		p.Log.DebugContext(ctx, "fetch begins", "backend", event.Backend(), "reference", g.Reference())
	}
	got, err := p.guarded(func() (tried, error) {
		return get(attempt, ask.SingleAttempt(), func(n int, err error, pause time.Duration) {
			failed(err)
			p.reportAttempt(ctx, g, n, err, pause)
		})
	})
	event.Duration, event.Attempts, event.Err = time.Since(event.Start), max(1, got.attempts), err
	event.Left = err != nil && ctx.Err() != nil
	p.report(ctx, event)
	return got.payload, err
}

// guarded makes an error of a panic in a caller's own store.
func (p *Fetcher) guarded(get func() (tried, error)) (got tried, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fault.FromPanic(p.Log, v)
		}
	}()
	return get()
}

// tried is what came of one or more attempts.
type tried struct {
	payload  Document
	attempts int
	spent    bool // on as many attempts as were worth it
}

// way returns how a group is fetched, once it is its turn. Where there is a good
// value in hand nobody waits for a turn longer than for a fetch: those before it
// may all hang.
func (p *Fetcher) way(ctx context.Context, g ref.Target, covered bool) (get func(ctx context.Context, once bool, failed retry.Failed) (tried, error), settle func(), err error) {
	if p.inBatches(g) {
		return func(ctx context.Context, once bool, failed retry.Failed) (tried, error) {
			return p.batches.get(ctx, g, once, failed)
		}, func() {}, nil
	}
	backend := p.backends[g.Kind]
	if backend == nil {
		return nil, nil, fault.New(fault.Unsupported, "no %s store is configured", g.Kind)
	}
	limit, turn := p.limits[g.Kind], ctx
	if covered {
		var cancel context.CancelFunc
		turn, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	if err := limit.Acquire(turn, 1); err != nil {
		if ctx.Err() == nil {
			return nil, nil, fault.New(fault.Unavailable, "its turn did not come within %v: all of the %d fetches at a time take long", patience, perBackend).WithCause(err)
		}
		return nil, nil, fault.New(fault.Unavailable, "nobody waited for its turn among the %d fetches at a time", perBackend).WithCause(err)
	}
	return func(ctx context.Context, once bool, failed retry.Failed) (got tried, err error) {
		got.attempts, err = attempts(ctx, once, func(ctx context.Context) (err error) {
			got.payload, err = backend.Fetch(ctx, g)
			return err
		}, failed)
		return got, err
	}, func() { limit.Release(1) }, nil
}

// attempts makes one attempt, or as many as are worth it.
func attempts(ctx context.Context, once bool, attempt func(context.Context) error, failed retry.Failed) (int, error) {
	if !once {
		return retry.Observe(ctx, attempt, failed)
	}
	err := attempt(ctx)
	if err != nil {
		failed(1, err, 0)
	}
	return 1, err
}

// reportAttempt logs an attempt that failed. After the last one the pause is zero.
func (p *Fetcher) reportAttempt(ctx context.Context, g ref.Target, n int, err error, pause time.Duration) {
	if p.Log.Enabled(ctx, slog.LevelDebug) {
		p.Log.DebugContext(ctx, "fetch attempt failed", "backend", Event{Group: g}.Backend(), "reference", g.Reference(),
			"attempt", n, "error", err.Error(), "pause", pause.Round(time.Millisecond))
	}
}

func (p *Fetcher) report(ctx context.Context, e Event) {
	if p.Log.Enabled(ctx, slog.LevelDebug) {
		attrs := []any{"backend", e.Backend(), "reference", e.Group.Reference(), "outcome", e.Outcome(), "cache", e.Cache(), "stale", e.Stale(),
			"duration", e.Duration, "attempts", e.Attempts}
		if e.Err != nil {
			attrs = append(attrs, "error", e.Err.Error())
		}
		p.Log.DebugContext(ctx, "fetch", attrs...)
	}
	if p.OnFetch == nil {
		return
	}
	defer func() { // who only looks on must not cost the secret
		if v := recover(); v != nil {
			p.Log.Error("OnFetch panicked", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
		}
	}()
	p.OnFetch(e)
}
