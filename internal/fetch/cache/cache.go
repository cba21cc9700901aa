// Package cache keeps what was fetched: for a time without asking again, and
// for longer where asking fails because a backend is unavailable.
package cache

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/singleflight"
)

const (
	// loading is how long Known may take to say what it has.
	loading = time.Second

	// maxClockSkew is how far ahead of this machine's clock a value from Known may
	// be dated, and warnClockSkew from where on the log is warned.
	maxClockSkew  = 5 * time.Minute
	warnClockSkew = time.Minute

	// After an attempt that failed the next one waits, longer each time.
	firstPause = time.Second
	mostPause  = time.Minute
)

// Settings say what is kept, and for how long.
type Settings[K comparable, V any] struct {
	// TTL is how long a value is handed out without being fetched again.
	TTL time.Duration

	// MaxStale is how old a value may be that is handed out because a fetch
	// finds its backend unavailable. Zero or less: none is.
	MaxStale time.Duration

	// MaxEntries is how many values are kept.
	MaxEntries int

	// Keep says of which keys. Of others nothing is.
	Keep func(K) bool

	// Equal says whether two values are the same.
	Equal func(a, b V) bool

	// Persister are values of an earlier process. It may be nil.
	Persister Persister[K, V]

	// Name is what the log calls a key.
	Name func(K) string

	Log *slog.Logger
}

// Fetch gets a value, with as many attempts as are worth it for who asks. What
// it tells failed is for those who do not wait for its end.
type Fetch[K comparable, V any] func(ctx context.Context, key K, ask FetchHint, failed func(error)) (V, error)

// FetchHint is what a fetch is for.
type FetchHint struct {
	Forced        bool // somebody wants it now, whatever is in hand
	Background    bool // nobody waits for it, so that one attempt is enough
	HasStale      bool // there is a good value in hand
	StaleFromDisk bool // which is of an earlier process
}

// SingleAttempt reports whether one attempt is enough.
func (a FetchHint) SingleAttempt() bool { return a.Background || a.HasStale && !a.StaleFromDisk }

// Short reports whether the fetch is not worth waiting for long.
func (a FetchHint) Short() bool { return a.Background || a.HasStale }

// Version is a value as it was fetched once.
type Version[V any] struct {
	open    func() V // into which printers that follow pointers cannot look
	Fetched time.Time
	Renew   time.Time // when to fetch it again so that nobody has to wait for it
	*Life
}

// Value returns the value.
func (v *Version[V]) Value() V { return v.open() }

// Life tells how long a version may be used. It does not hold the value.
type Life struct {
	fresh, used atomic.Bool
}

// Fresh reports whether the version is the latest and young enough to be used
// without asking. It costs next to nothing.
func (l *Life) Fresh() bool {
	if !l.fresh.Load() {
		return false
	}
	if !l.used.Load() { // whoever only reads does not take the line from other cores
		l.used.Store(true)
	}
	return true
}

// Got is what a caller gets.
type Got[V any] struct {
	Version *Version[V] // nil: there is none
	Err     error       // why there is none, or why it is not a newer one

	renewal bool // more attempts might have brought one
}

// Cache is safe for concurrent use.
type Cache[K comparable, V any] struct {
	Settings[K, V]
	fetch   Fetch[K, V]
	flights *singleflight.Group[K, Got[V]]
	outbox  *outbox[K, V]

	// Changed gets a token when a version has been replaced.
	Changed chan struct{}

	mu      sync.Mutex
	closed  bool
	entries map[K]*entry[K, V]
	ring    []*entry[K, V] // of the entries, to evict in turn
	hand    int
}

// entry is what is known of a key. Its fields are guarded by Cache.mu.
type entry[K comparable, V any] struct {
	key     K
	version *Version[V] // the last good one
	expiry  *time.Timer
	saved   time.Time // when Known got it
	known   bool      // the version is from there
	flying  int       // flights that are under way
	hurried bool      // a caller could not wait for them

	pause time.Duration // zero: the latest attempt was good
	again time.Time     // when the next one may be made
	why   error         // what the latest one said
}

// New returns an empty Cache over fetch.
func New[K comparable, V any](s Settings[K, V], fetch Fetch[K, V]) *Cache[K, V] {
	c := &Cache[K, V]{Settings: s, fetch: fetch, flights: singleflight.New[K, Got[V]](0, s.Log),
		entries: map[K]*entry[K, V]{}, Changed: make(chan struct{}, 1)}
	c.outbox = newOutbox(s.Persister, s.Log)
	return c
}

// Close ends all fetches, and what is kept is handed out no more.
func (c *Cache[K, V]) Close() {
	c.mu.Lock()
	c.closed = true
	for _, e := range c.entries {
		e.end()
	}
	clear(c.entries)
	c.ring = nil
	c.mu.Unlock()
	c.flights.Close()
	c.outbox.close()
}

// Waiter is a caller's place where a value will be.
type Waiter[K comparable, V any] struct {
	cache  *Cache[K, V]
	key    K
	mode   Mode
	got    Got[V] // without a flight
	flight singleflight.Waiter[K, Got[V]]
	flies  bool
	keeps  bool
}

// Started reports whether a fetch began with this Waiter.
func (w Waiter[K, V]) Started() bool { return w.flies && w.flight.Started() }

// Mode is how new a value has to be.
type Mode int

const (
	// UseCached is one from memory if it is young enough.
	UseCached Mode = iota
	// RefreshIfDue is one from memory only if its time to be renewed has not come.
	RefreshIfDue
	// ForceFetch is one that is fetched after the call.
	ForceFetch
	// PeekOnly is the one in memory, whatever its age; nothing is fetched.
	PeekOnly
)

// Peek returns a Waiter for the value of key if that needs no fetch.
func (c *Cache[K, V]) Peek(key K, mode Mode) (Waiter[K, V], bool) {
	w := Waiter[K, V]{cache: c, key: key, mode: mode, keeps: c.TTL > 0 && c.Keep(key)}
	ready := mode == PeekOnly
	if w.keeps && mode != ForceFetch {
		var ok bool
		w.got, ok = c.inHand(key, mode)
		ready = ready || ok
	}
	return w, ready
}

// Ask starts to get the value of key, unless it is there. Every Waiter must be
// waited for.
func (c *Cache[K, V]) Ask(ctx context.Context, key K, mode Mode) Waiter[K, V] {
	w, ready := c.Peek(key, mode)
	if ready {
		return w
	}
	w.flies = true
	run := func(ctx context.Context, failed func(error)) (Got[V], error) {
		if !w.keeps {
			return c.direct(ctx, key, mode, failed), nil
		}
		return c.fly(ctx, key, mode, failed), nil
	}
	if mode == ForceFetch {
		w.flight = c.flights.DoFresh(ctx, key, run)
	} else {
		w.flight = c.flights.Do(ctx, key, run)
	}
	return w
}

// Wait returns the value, or why there is none. A caller whose context ends
// gets the one in hand, if it may be used.
func (w Waiter[K, V]) Wait(ctx context.Context) Got[V] {
	if !w.flies {
		return w.got
	}
	got, err := w.flight.Wait(ctx)
	if err == nil && got.Version == nil && got.renewal && w.mode != RefreshIfDue && fault.KindIs(got.Err, fault.Unavailable) {
		return w.cache.Ask(ctx, w.key, w.mode).Wait(ctx)
	}
	if err == nil {
		return got
	}
	if !w.keeps || ctx.Err() == nil {
		return Got[V]{Err: err}
	}
	return w.cache.left(ctx, w.key, err)
}

// inHand returns what may be used without a fetch.
func (c *Cache[K, V]) inHand(key K, mode Mode) (Got[V], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return Got[V]{}, false
	}
	waits := e.flying > 0 && e.hurried || e.pause > 0 && time.Now().Before(e.again)
	switch {
	case mode == PeekOnly:
		return Got[V]{Version: e.version, Err: e.why}, true
	case mode == UseCached && e.version.Fresh(), mode == RefreshIfDue && e.version.Fresh() && time.Now().Before(e.version.Renew):
		return Got[V]{Version: e.version}, true
	case waits && (e.version.Fresh() || c.stale(e.version)):
		return Got[V]{Version: e.version, Err: e.why}, true
	}
	return Got[V]{}, false
}

// stale reports whether a version that is no longer fresh may still be used
// where there is no newer one.
func (c *Cache[K, V]) stale(v *Version[V]) bool { return time.Since(v.Fetched) <= c.MaxStale }

// direct is a flight for what is not kept.
func (c *Cache[K, V]) direct(ctx context.Context, key K, mode Mode, failed func(error)) Got[V] {
	value, err := c.fetch(ctx, key, FetchHint{Forced: mode == ForceFetch, Background: mode == RefreshIfDue}, failed)
	switch {
	case err == nil:
		return Got[V]{Version: c.version(value, time.Now())}
	case ctx.Err() != nil:
		return Got[V]{Err: c.abandoned(err)}
	}
	return Got[V]{Err: err, renewal: mode == RefreshIfDue}
}

// abandoned returns the error of a fetch that was ended before it had an answer:
// err, unless Close ended it.
func (c *Cache[K, V]) abandoned(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return fault.AlreadyClosed("Resolver")
	}
	return err
}

func (c *Cache[K, V]) version(value V, fetched time.Time) *Version[V] {
	return &Version[V]{open: func() V { return value }, Fetched: fetched, Life: &Life{}}
}

// fly is a flight for what is kept.
func (c *Cache[K, V]) fly(ctx context.Context, key K, mode Mode, failed func(error)) Got[V] {
	good, known, tooOld := c.good(ctx, key)
	defer c.depart(key)()
	if good != nil {
		// It brings something for those to come, also when nobody can wait for it.
		c.flights.Detach(ctx)
	}
	start := time.Now()
	value, err := c.fetch(ctx, key, FetchHint{Forced: mode == ForceFetch, Background: mode == RefreshIfDue, HasStale: good != nil, StaleFromDisk: known}, failed)
	switch {
	case err == nil:
		return Got[V]{Version: c.put(ctx, key, value, start)}
	case ctx.Err() != nil: // nobody waits for it any more
		return Got[V]{Err: c.abandoned(err)}
	case fault.AllowsStale(err):
		if tooOld > 0 {
			c.Log.WarnContext(ctx, "the last known secret is too old to be used, by this machine's clock", "reference", c.Name(key),
				"age", tooOld.Round(time.Second), "max_stale", c.MaxStale)
		}
		return c.cover(ctx, key, good, err, mode == RefreshIfDue)
	case fault.ForbidsStale(err):
		c.drop(key)
	default:
		c.fail(key, err)
	}
	return Got[V]{Err: err, renewal: mode == RefreshIfDue}
}

// depart notes that a flight is under way, until what it returns is called.
func (c *Cache[K, V]) depart(key K) (land func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return func() {}
	}
	e.flying++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.flying--; e.flying == 0 {
			e.hurried = false
		}
	}
}

// good returns a version that may be used if the fetch finds its backend
// unavailable, or nil, and whether it is of an earlier process. If that one is too
// old, tooOld is its age.
func (c *Cache[K, V]) good(ctx context.Context, key K) (v *Version[V], known bool, tooOld time.Duration) {
	c.mu.Lock()
	if e := c.entries[key]; e != nil {
		defer c.mu.Unlock()
		if e.version.fresh.Load() || c.stale(e.version) {
			return e.version, e.known, 0
		}
		return nil, false, 0
	}
	c.mu.Unlock()
	if c.Persister == nil || c.MaxStale <= 0 {
		return nil, false, 0
	}
	value, fetched, ok := c.outbox.load(ctx, key)
	if !ok {
		return nil, false, 0
	}
	age := time.Since(fetched)
	if -age >= warnClockSkew {
		c.Log.WarnContext(ctx, "the last known secret is dated in the future: is the clock of this machine or of another one wrong?",
			"reference", c.Name(key), "ahead", -age.Round(time.Second), "usable", -age <= maxClockSkew)
	}
	switch {
	case -age > maxClockSkew:
		return nil, false, 0
	case age > c.MaxStale:
		return nil, false, age
	}
	v = c.version(value, time.Now().Add(-max(0, age))) // from here on the clock that only goes forward counts
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.entries[key] != nil {
		return v, true, 0
	}
	e := c.add(key)
	e.version, e.known = v, true
	return v, true, 0
}

// put keeps what was fetched.
func (c *Cache[K, V]) put(ctx context.Context, key K, value V, start time.Time) *Version[V] {
	v := c.version(value, start)
	life := c.TTL - rand.N(c.TTL/10+1)
	v.Renew = start.Add(life - rand.N(life/10+1))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || ctx.Err() != nil { // who left may have been followed by one who was told otherwise
		return v
	}
	e := c.entries[key]
	changed := e == nil || !c.Equal(e.version.Value(), value)
	if e == nil {
		e = c.add(key)
	} else if e.version.Fetched.After(start) {
		return v // a flight that began later has landed before this one
	}
	e.end()
	v.fresh.Store(true)
	v.used.Store(e.version.used.Load()) // what is used once and never again goes first
	e.version, e.known, e.pause, e.why = v, false, 0, nil
	e.expiry = time.AfterFunc(life-time.Since(start), func() { v.fresh.Store(false) })
	if c.Persister != nil && c.MaxStale > 0 && (changed || time.Since(e.saved) >= min(time.Hour, c.MaxStale/2)) {
		e.saved = start
		c.outbox.put(key, note[V]{value: value, fetched: start})
	}
	if changed {
		c.signal()
	}
	return v
}

// signal says that something has changed.
func (c *Cache[K, V]) signal() {
	select {
	case c.Changed <- struct{}{}:
	default:
	}
}

// end stops handing out e's version as fresh.
func (e *entry[K, V]) end() {
	if e.expiry != nil {
		e.expiry.Stop()
	}
	e.version.fresh.Store(false)
}

// cover answers a fetch whose backend is unavailable.
func (c *Cache[K, V]) cover(ctx context.Context, key K, good *Version[V], err error, renewal bool) Got[V] {
	got, pause := c.covered(key, good, err)
	got.renewal = renewal
	if got.Version != nil {
		c.Log.WarnContext(ctx, "the last good value is used, since there is no newer one", "reference", c.Name(key),
			"age", time.Since(got.Version.Fetched).Round(time.Second), "pause", pause, "error", err.Error())
	}
	return got
}

func (c *Cache[K, V]) covered(key K, good *Version[V], err error) (Got[V], time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || good == nil {
		return Got[V]{Err: err}, 0
	}
	e := c.entries[key]
	if e == nil { // it was evicted meanwhile
		e = c.add(key)
		e.version = good
	}
	e.wait(err)
	return Got[V]{Version: e.version, Err: err}, e.pause
}

// wait puts the next attempt off.
func (e *entry[K, V]) wait(err error) {
	asked, _ := fault.Transient(err)
	e.pause = min(max(firstPause, 2*e.pause), mostPause)
	e.again = time.Now().Add(max(e.pause/2+rand.N(e.pause/2), min(asked, mostPause)))
	e.why = err
}

// left is for a caller whose time was up before the flight ended: the value in
// hand has to do, for all who come until the flight has ended.
func (c *Cache[K, V]) left(ctx context.Context, key K, err error) Got[V] {
	got, first := c.hurry(ctx, key, err)
	if first {
		c.Log.WarnContext(ctx, "the last good value is used, since a newer one takes too long", "reference", c.Name(key),
			"age", time.Since(got.Version.Fetched).Round(time.Second), "error", err.Error())
	}
	return got
}

func (c *Cache[K, V]) hurry(ctx context.Context, key K, err error) (got Got[V], first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	usable := e != nil && (e.version.fresh.Load() || c.stale(e.version))
	if c.closed || !usable || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return Got[V]{Err: err}, false
	}
	if e.flying > 0 {
		first = !e.hurried
		e.hurried, e.why = true, err
	}
	return Got[V]{Version: e.version, Err: err}, first
}

// fail notes a failure that is neither an outage nor a verdict on the secret,
// such as credentials that are not accepted. Callers get the error. The last good
// value is kept for the next outage; a pause that an earlier outage began ends,
// since during it that value would be handed out.
func (c *Cache[K, V]) fail(key K, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		e.why, e.pause = err, 0
	}
}

// drop forgets what nobody may have any more.
func (c *Cache[K, V]) drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		c.remove(e)
		c.signal()
	}
	if c.Persister != nil && !c.closed {
		c.outbox.put(key, note[V]{remove: true})
	}
}

// add makes an entry, and room for it; the caller holds the lock.
func (c *Cache[K, V]) add(key K) *entry[K, V] {
	for len(c.ring) >= c.MaxEntries {
		c.hand %= len(c.ring)
		e := c.ring[c.hand]
		if e.version.used.Swap(false) {
			c.hand++
			continue
		}
		c.remove(e)
	}
	e := &entry[K, V]{key: key, version: &Version[V]{Life: &Life{}}}
	c.entries[key] = e
	c.ring = append(c.ring, e)
	return e
}

// remove takes an entry out; the caller holds the lock.
func (c *Cache[K, V]) remove(e *entry[K, V]) {
	e.end()
	delete(c.entries, e.key)
	for i, other := range c.ring {
		if other == e {
			last := len(c.ring) - 1
			c.ring[i], c.ring[last] = c.ring[last], nil
			c.ring = c.ring[:last]
			return
		}
	}
}
