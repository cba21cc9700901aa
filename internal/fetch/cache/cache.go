// Package cache keeps fetched values: within their TTL they are used without a
// fetch, and for longer while a backend is unavailable.
package cache

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/singleflight"
)

const (
	// maxClockSkew limits how far in the future a value from the Persister may be
	// dated; from warnClockSkew on the log is warned.
	maxClockSkew  = 5 * time.Minute
	warnClockSkew = time.Minute

	// After a failed fetch the next one waits, longer each time.
	initialBackoff = time.Second
	maxBackoff     = time.Minute
)

// Settings of a Cache.
type Settings[K comparable, V any] struct {
	// TTL limits how long a value is used before it is fetched again.
	TTL time.Duration

	// MaxStale limits the age of a value that is used while its backend is
	// unavailable. If zero or less, no such value is used.
	MaxStale time.Duration

	// MaxEntries limits how many values are kept.
	MaxEntries int

	// Keep reports whether values of a key are kept at all.
	Keep func(K) bool

	// Equal reports whether two values are the same.
	Equal func(a, b V) bool

	// Persister stores values across restarts. It may be nil.
	Persister Persister[K, V]

	// Name returns a key's name for the log.
	Name func(K) string

	Log *slog.Logger
}

// FetchHint says what a fetch is for.
type FetchHint struct {
	Forced        bool // a caller needs a value fetched after its call
	Background    bool // no caller waits, so one attempt is enough
	HasStale      bool // there is a value that can be used instead
	StaleFromDisk bool // that value is from an earlier process
}

// SingleAttempt reports whether one attempt is enough.
func (f FetchHint) SingleAttempt() bool { return f.Background || f.HasStale && !f.StaleFromDisk }

// Short reports whether the fetch has to end soon.
func (f FetchHint) Short() bool { return f.Background || f.HasStale }

// Version is a value as it was fetched once.
type Version[V any] struct {
	open    func() V // hides the value from printers that follow pointers
	Fetched time.Time
	Renew   time.Time // when a background refresh is due
	*Life
}

// Value returns the value.
func (v *Version[V]) Value() V { return v.open() }

// Life says whether a version may still be used. It does not hold the value.
type Life struct {
	fresh, used atomic.Bool
}

// Fresh reports whether the version is the latest one and within its TTL. It costs
// a few nanoseconds.
func (l *Life) Fresh() bool {
	if !l.fresh.Load() {
		return false
	}
	if !l.used.Load() { // a load only, so that readers on many cores share the cache line
		l.used.Store(true)
	}
	return true
}

// Got is the outcome for one caller.
type Got[V any] struct {
	Version *Version[V] // nil if there is none
	Err     error       // why there is none, or no newer one

	background bool // of a fetch with a single attempt; more might succeed
}

// Cache is safe for concurrent use.
type Cache[K comparable, V any] struct {
	Settings[K, V]
	flights *singleflight.Group[K, Got[V]]
	outbox  *outbox[K, V]

	// Changed gets a token when a value has been replaced or dropped.
	Changed chan struct{}

	mu      sync.Mutex
	closed  bool
	entries map[K]*entry[K, V]
	ring    []*entry[K, V] // the entries, for eviction in turn
	hand    int
}

// entry is the state of one key. Its fields are guarded by Cache.mu.
type entry[K comparable, V any] struct {
	key       K
	version   *Version[V] // the last good one
	expiry    *time.Timer
	saved     time.Time // when the Persister got it
	fromDisk  bool      // the version came from the Persister
	inFlight  int       // number of running fetches
	impatient bool      // a caller's deadline passed before they ended

	backoff time.Duration // zero if the latest fetch succeeded
	retryAt time.Time     // when the next fetch may begin
	err     error         // of the latest fetch
}

// New returns an empty Cache.
func New[K comparable, V any](s Settings[K, V]) *Cache[K, V] {
	return &Cache[K, V]{Settings: s, flights: singleflight.New[K, Got[V]](0, s.Log),
		outbox: newOutbox(s.Persister, s.Log), entries: map[K]*entry[K, V]{},
		Changed: make(chan struct{}, 1)}
}

// Close cancels all fetches, waits for them, and drops all values.
func (c *Cache[K, V]) Close() {
	c.mu.Lock()
	c.closed = true
	for _, e := range c.entries {
		e.expire()
	}
	clear(c.entries)
	c.ring = nil
	c.mu.Unlock()
	c.flights.Close()
	c.outbox.close()
}

// Mode says how new a value has to be.
type Mode int

const (
	// UseCached accepts a kept value within its TTL.
	UseCached Mode = iota
	// RefreshIfDue accepts a kept value whose background refresh is not due.
	RefreshIfDue
	// ForceFetch accepts only a value that is fetched after the call.
	ForceFetch
	// PeekOnly returns the kept value, whatever its age, and never fetches.
	PeekOnly
)

// Waiter is one caller's share of a lookup. If Done returns nil, Got returns at
// once; else Got has to be called after Done is closed or the caller's context has
// ended.
type Waiter[K comparable, V any] struct {
	cache  *Cache[K, V]
	key    K
	mode   Mode
	keep   bool
	got    Got[V]
	flight *singleflight.Flight[K, Got[V]] // nil if got is the result
}

// Ask looks up the value of key. If it has to be fetched, the Waiter shares a
// fetch with other callers; a Fetch that is not nil is that one, and has to be run
// by the caller.
func (c *Cache[K, V]) Ask(ctx context.Context, key K, mode Mode) (Waiter[K, V], *Fetch[K, V]) {
	w := Waiter[K, V]{cache: c, key: key, mode: mode, keep: c.TTL > 0 && c.Keep(key)}
	usable := mode == PeekOnly
	if w.keep && mode != ForceFetch {
		var ok bool
		w.got, ok = c.lookup(key, mode)
		usable = usable || ok
	}
	if usable {
		return w, nil
	}
	var started bool
	if mode == ForceFetch {
		w.flight, started = c.flights.DoFresh(ctx, key)
	} else {
		w.flight, started = c.flights.Do(ctx, key)
	}
	if !started {
		return w, nil
	}
	return w, &Fetch[K, V]{Key: key, Flight: w.flight, cache: c, mode: mode, keep: w.keep}
}

// Done returns the channel that is closed when the fetch has ended, or nil if there
// is none.
func (w Waiter[K, V]) Done() <-chan struct{} {
	if w.flight == nil {
		return nil
	}
	return w.flight.Done()
}

// Got returns the value, or why there is none. A caller whose deadline has passed
// gets the stale value, if there is one. If again is true the caller has joined a
// background refresh that failed after one attempt, and has to ask again.
func (w Waiter[K, V]) Got(ctx context.Context) (got Got[V], again bool) {
	if w.flight == nil {
		return w.got, false
	}
	got, err := w.flight.Result(ctx)
	switch {
	case err == nil:
		again = got.Version == nil && got.background && w.mode != RefreshIfDue
		return got, again && fault.KindIs(got.Err, fault.Unavailable)
	case !w.keep || ctx.Err() == nil:
		return Got[V]{Err: err}, false
	}
	return w.cache.onDeadline(ctx, w.key, err), false
}

// lookup returns the value that may be used without a fetch.
func (c *Cache[K, V]) lookup(key K, mode Mode) (Got[V], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return Got[V]{}, false
	}
	waits := e.inFlight > 0 && e.impatient || e.backoff > 0 && time.Now().Before(e.retryAt)
	switch {
	case mode == PeekOnly:
		return Got[V]{Version: e.version, Err: e.err}, true
	case mode == UseCached && e.version.Fresh(),
		mode == RefreshIfDue && e.version.Fresh() && time.Now().Before(e.version.Renew):
		return Got[V]{Version: e.version}, true
	case waits && (e.version.Fresh() || c.stale(e.version)):
		return Got[V]{Version: e.version, Err: e.err}, true
	}
	return Got[V]{}, false
}

// stale reports whether a version past its TTL may be used if there is no newer
// one.
func (c *Cache[K, V]) stale(v *Version[V]) bool { return time.Since(v.Fetched) <= c.MaxStale }
