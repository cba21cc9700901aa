// Package fetch turns references into secrets. It groups references by the target
// that has to be fetched, fetches each target once, and extracts the values.
package fetch

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/ref"
)

const (
	// maxPerBackend limits how many fetches of one backend run at a time.
	maxPerBackend = 50

	// staleFetchTimeout limits a fetch that is not worth waiting for long: there is
	// a stale value, or no caller waits.
	staleFetchTimeout = 3 * time.Second

	// minAttemptTimeout is the part of staleFetchTimeout that is left for an attempt
	// however long it waited for its turn.
	minAttemptTimeout = time.Second

	// maxCachedSecrets limits how many secrets are kept in memory.
	maxCachedSecrets = 4096
)

// Version is the result of one fetch.
type Version = cache.Version[backend.Document]

// Settings of a Fetcher.
type Settings struct {
	// Timeout limits a fetch with all its attempts. It does not include the wait for
	// a turn, which has no limit unless there is a stale value. The wait in the queue
	// of a backend.Queuer is part of an attempt.
	Timeout time.Duration

	// TTL and MaxStale limit how long a fetched secret is used; see package cache.
	TTL, MaxStale time.Duration

	Persister cache.Persister[ref.Target, backend.Document] // may be nil
	Log       *slog.Logger
	OnFetch   func(Event) // may be nil
}

// Fetcher is safe for concurrent use.
type Fetcher struct {
	Settings
	backends map[ref.Kind]backend.Backend
	limits   map[ref.Kind]*semaphore.Weighted // none for a backend.Queuer
	cache    *cache.Cache[ref.Target, backend.Document]
}

// New returns a Fetcher over the backends.
func New(backends map[ref.Kind]backend.Backend, s Settings) *Fetcher {
	f := &Fetcher{Settings: s, backends: backends, limits: map[ref.Kind]*semaphore.Weighted{}}
	for kind, b := range backends {
		if _, ok := b.(backend.Queuer); !ok {
			f.limits[kind] = semaphore.NewWeighted(maxPerBackend)
		}
	}
	f.cache = cache.New(cache.Settings[ref.Target, backend.Document]{
		TTL: s.TTL, MaxStale: s.MaxStale, MaxEntries: maxCachedSecrets,
		Persister: s.Persister, Log: s.Log,
		Keep:  isCached,
		Equal: func(a, b backend.Document) bool { return a.Text == b.Text },
		Name:  ref.Target.Reference,
	})
	return f
}

// isCached excludes secrets that are cheap to read.
func isCached(t ref.Target) bool { return t.Kind != ref.Keyring && t.Kind != ref.CipherFile }

// Close cancels all fetches and waits for them.
func (f *Fetcher) Close() { f.cache.Close() }

// Changed gets a token when a secret in memory has changed.
func (f *Fetcher) Changed() <-chan struct{} { return f.cache.Changed }

// Result is the outcome for one reference.
type Result struct {
	Text string
	Err  error

	Version *Version // that Text was extracted from; nil with an Err
	Stale   error    // why Text is not newer; nil if it is fresh
}

// Resolve returns one result for each reference, in order. References to the same
// target see the same version of it.
func (f *Fetcher) Resolve(ctx context.Context, refs []ref.Reference, mode cache.Mode) []Result {
	results := make([]Result, len(refs))
	targets, indexes := group(refs)
	fetched := f.fetch(ctx, targets, mode)
	for i := range results {
		r, got := &results[i], fetched[indexes[i]]
		if got.Version == nil {
			r.Err = got.Err
			continue
		}
		r.Version, r.Stale = got.Version, got.Err
		r.Text, r.Err = f.extract(got.Version.Value(), refs[i], mode == cache.PeekOnly)
	}
	return results
}

// group returns the targets of the references, in order of first use, and for each
// reference the index of its target.
func group(refs []ref.Reference) (targets []ref.Target, indexes []int) {
	seen := make(map[ref.Target]int, len(refs))
	targets, indexes = make([]ref.Target, 0, len(refs)), make([]int, len(refs))
	for i, r := range refs {
		target := r.Target()
		index, ok := seen[target]
		if !ok {
			index = len(targets)
			seen[target] = index
			targets = append(targets, target)
		}
		indexes[i] = index
	}
	return targets, indexes
}

// fetch returns the version of each target, from memory or from a fetch. All
// fetches run side by side. Callers that need a target at the same time share one.
func (f *Fetcher) fetch(ctx context.Context, targets []ref.Target, mode cache.Mode) []got {
	waiters := make([]waiter, len(targets))
	var lead []*flight
	for i, target := range targets {
		var started *flight
		if waiters[i], started = f.cache.Ask(ctx, target, mode); started != nil {
			lead = append(lead, started)
		}
	}
	f.start(ctx, lead)
	results := make([]got, len(targets))
	for i := range waiters {
		results[i] = f.wait(ctx, waiters[i], targets[i], mode)
	}
	return results
}

type (
	got    = cache.Got[backend.Document]
	waiter = cache.Waiter[ref.Target, backend.Document]
	flight = cache.Fetch[ref.Target, backend.Document]
)

func (f *Fetcher) wait(ctx context.Context, w waiter, target ref.Target, mode cache.Mode) got {
	if done := w.Done(); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	result, again := w.Got(ctx)
	if again {
		return f.fetch(ctx, []ref.Target{target}, mode)[0]
	}
	return result
}

// start runs each flight in a goroutine. The targets of a backend that can fetch
// several with one call are queued together before.
func (f *Fetcher) start(ctx context.Context, flights []*flight) {
	if len(flights) == 0 {
		return
	}
	queued := make(map[ref.Target]backend.Pending)
	for kind, b := range f.backends {
		queuer, ok := b.(backend.Queuer)
		if !ok {
			continue
		}
		var targets []ref.Target
		for _, fl := range flights {
			if fl.Key.Kind == kind && fl.Ready() {
				targets = append(targets, fl.Key)
			}
		}
		if len(targets) == 0 {
			continue
		}
		for i, pending := range queuer.Queue(ctx, targets) {
			queued[targets[i]] = pending
		}
	}
	jitter := rand.Float64() // targets of one failed call repeat it together
	for _, fl := range flights {
		go f.run(fl, queued[fl.Key], jitter)
	}
}

// run runs a flight. If queued is not nil, it is the first attempt, and jitter is the
// random part of the waits before further ones.
func (f *Fetcher) run(fl *flight, queued backend.Pending, jitter float64) {
	defer func() {
		panicked := recover()
		if queued != nil { // it was not waited for
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			_, _ = queued.Wait(ended)
		}
		fl.Land(panicked)
	}()
	if ctx, hint, ok := fl.Begin(); ok {
		document, err := f.fetchOnce(ctx, fl, hint, &queued, jitter)
		fl.Store(ctx, document, err)
	}
}
