package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/singleflight"
)

// Fetch is one fetch, shared by all callers that wait for its key. The caller that
// got it from Ask runs it, in a goroutine of its own:
//
//	defer func() { f.Land(recover()) }()
//	if ctx, hint, ok := f.Begin(); ok {
//		f.Store(ctx, fetch(ctx, f.Key, hint))
//	}
type Fetch[K comparable, V any] struct {
	Key K
	*singleflight.Flight[K, Got[V]]

	cache *Cache[K, V]
	mode  Mode
	keep  bool
	entry *entry[K, V] // that counts this fetch; may be nil
	start time.Time
	stale *Version[V]   // usable during an outage; may be nil
	age   time.Duration // of a value from the Persister that is too old
}

// Begin waits until the fetch may begin. It reports false if no caller waits for it
// any more.
func (f *Fetch[K, V]) Begin() (ctx context.Context, hint FetchHint, ok bool) {
	if ctx, ok = f.Flight.Begin(); !ok {
		return ctx, hint, false
	}
	hint = FetchHint{Forced: f.mode == ForceFetch, Background: f.mode == RefreshIfDue}
	if f.keep {
		f.stale, hint.StaleFromDisk, f.age = f.cache.usable(ctx, f.Key)
		hint.HasStale = f.stale != nil
		f.entry = f.cache.begin(f.Key)
	}
	if hint.HasStale {
		f.Detach() // later callers benefit from the result, too
	}
	f.start = time.Now() // after usable, which dates a value from the Persister
	return ctx, hint, true
}

// Land ends the fetch. If it panicked, the panic becomes its error.
func (f *Fetch[K, V]) Land(panicked any) {
	f.cache.end(f.entry)
	f.Flight.Land(panicked)
}

// Store keeps the outcome and hands it to the callers.
func (f *Fetch[K, V]) Store(ctx context.Context, value V, err error) {
	f.Return(f.outcome(ctx, value, err), nil)
}

func (f *Fetch[K, V]) outcome(ctx context.Context, value V, err error) Got[V] {
	c := f.cache
	failed := Got[V]{Err: err, background: f.mode == RefreshIfDue}
	switch {
	case err == nil && f.keep:
		return Got[V]{Version: c.put(ctx, f.Key, value, f.start)}
	case err == nil:
		return Got[V]{Version: c.version(value, time.Now())}
	case ctx.Err() != nil: // all callers have left
		return Got[V]{Err: c.canceled(err)}
	case !f.keep:
	case fault.AllowsStale(err):
		if f.age > 0 {
			c.Log.WarnContext(ctx, "the last known secret is too old to be used, by this machine's clock",
				"reference", c.Name(f.Key), "age", f.age.Round(time.Second), "max_stale", c.MaxStale)
		}
		failed.Version = c.serveStale(ctx, f.Key, f.stale, err)
	case fault.ForbidsStale(err):
		c.drop(f.Key)
	default:
		c.fail(f.Key, err)
	}
	return failed
}

// canceled returns the error of a fetch that was canceled: err, unless Close
// canceled it.
func (c *Cache[K, V]) canceled(err error) error {
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

// begin counts a running fetch and returns the entry that counts it, if any.
func (c *Cache[K, V]) begin(key K) *entry[K, V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e != nil {
		e.inFlight++
	}
	return e
}

func (c *Cache[K, V]) end(e *entry[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e == nil {
		return
	}
	if e.inFlight--; e.inFlight == 0 {
		e.impatient = false
	}
}

// usable returns the version that can be used if the backend is unavailable, or
// nil, and whether it is from an earlier process. If that one is too old, tooOld is
// its age.
func (c *Cache[K, V]) usable(
	ctx context.Context, key K,
) (v *Version[V], fromDisk bool, tooOld time.Duration) {
	c.mu.Lock()
	if e := c.entries[key]; e != nil {
		defer c.mu.Unlock()
		if e.version.fresh.Load() || c.stale(e.version) {
			return e.version, e.fromDisk, 0
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
		c.Log.WarnContext(ctx, "the last known secret is dated in the future: "+
			"is the clock of this machine or of another one wrong?",
			"reference", c.Name(key), "ahead", -age.Round(time.Second), "usable", -age <= maxClockSkew)
	}
	switch {
	case -age > maxClockSkew:
		return nil, false, 0
	case age > c.MaxStale:
		return nil, false, age
	}
	v = c.version(value, time.Now().Add(-max(0, age))) // measured by the monotonic clock from here on
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.entries[key] != nil {
		return v, true, 0
	}
	e := c.add(key)
	e.version, e.fromDisk = v, true
	return v, true, 0
}

// put keeps a fetched value.
func (c *Cache[K, V]) put(ctx context.Context, key K, value V, start time.Time) *Version[V] {
	v := c.version(value, start)
	life := c.TTL - rand.N(c.TTL/10+1)
	v.Renew = start.Add(life - rand.N(life/10+1))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || ctx.Err() != nil { // a newer fetch may already have stored a different result
		return v
	}
	e := c.entries[key]
	changed := e == nil || !c.Equal(e.version.Value(), value)
	if e == nil {
		e = c.add(key)
	} else if e.version.Fetched.After(start) {
		return v // a fetch that began later has ended before this one
	}
	e.expire()
	v.fresh.Store(true)
	v.used.Store(e.version.used.Load()) // values that are never used again are evicted first
	e.version, e.fromDisk, e.backoff, e.err = v, false, 0, nil
	e.expiry = time.AfterFunc(life-time.Since(start), func() { v.fresh.Store(false) })
	save := changed || time.Since(e.saved) >= min(time.Hour, c.MaxStale/2)
	if save && c.Persister != nil && c.MaxStale > 0 {
		e.saved = start
		c.outbox.put(key, write[V]{value: value, fetched: start})
	}
	if changed {
		c.signal()
	}
	return v
}

// signal puts a token into Changed.
func (c *Cache[K, V]) signal() {
	select {
	case c.Changed <- struct{}{}:
	default:
	}
}

// expire ends the TTL of e's version.
func (e *entry[K, V]) expire() {
	if e.expiry != nil {
		e.expiry.Stop()
	}
	e.version.fresh.Store(false)
}

// serveStale returns the version to use although its backend is unavailable, or
// nil, and puts off the next fetch.
func (c *Cache[K, V]) serveStale(
	ctx context.Context, key K, stale *Version[V], err error,
) *Version[V] {
	c.mu.Lock()
	if c.closed || stale == nil {
		c.mu.Unlock()
		return nil
	}
	e := c.entries[key]
	if e == nil { // it was evicted in the meantime
		e = c.add(key)
		e.version = stale
	}
	e.backOff(err)
	served, backoff := e.version, e.backoff
	c.mu.Unlock()
	c.Log.WarnContext(ctx, "the last good value is used, since there is no newer one",
		"reference", c.Name(key), "age", time.Since(served.Fetched).Round(time.Second),
		"pause", backoff, "error", err.Error())
	return served
}

// backOff puts off the next fetch.
func (e *entry[K, V]) backOff(err error) {
	retryAfter, _ := fault.Transient(err)
	e.backoff = min(max(initialBackoff, 2*e.backoff), maxBackoff)
	e.retryAt = time.Now().Add(max(e.backoff/2+rand.N(e.backoff/2), min(retryAfter, maxBackoff)))
	e.err = err
}

// onDeadline serves the stale value to a caller whose deadline passed before the
// fetch ended. Later callers get it, too, until the fetch ends.
func (c *Cache[K, V]) onDeadline(ctx context.Context, key K, err error) Got[V] {
	stale, first := c.markImpatient(ctx, key, err)
	if first {
		c.Log.WarnContext(ctx, "the last good value is used, since a newer one takes too long",
			"reference", c.Name(key), "age", time.Since(stale.Fetched).Round(time.Second),
			"error", err.Error())
	}
	return Got[V]{Version: stale, Err: err}
}

// markImpatient returns the stale version, or nil, and whether this caller is the
// first that did not wait for the running fetch.
func (c *Cache[K, V]) markImpatient(
	ctx context.Context, key K, err error,
) (stale *Version[V], first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	usable := e != nil && (e.version.fresh.Load() || c.stale(e.version))
	if c.closed || !usable || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, false
	}
	if e.inFlight > 0 {
		first = !e.impatient
		e.impatient, e.err = true, err
	}
	return e.version, first
}

// fail records a failure that is neither an outage nor a verdict on the secret,
// such as credentials that are not accepted. Callers get the error. The last good
// value is kept for the next outage. A pause that an earlier outage began ends,
// since during it that value would be used.
func (c *Cache[K, V]) fail(key K, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		e.err, e.backoff = err, 0
	}
}

// drop removes a value that was denied or deleted.
func (c *Cache[K, V]) drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		c.remove(e)
		c.signal()
	}
	if c.Persister != nil && !c.closed {
		c.outbox.put(key, write[V]{remove: true})
	}
}

// add makes an entry, and evicts another one if the Cache is full; the caller holds
// the lock.
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

// remove removes an entry; the caller holds the lock.
func (c *Cache[K, V]) remove(e *entry[K, V]) {
	e.expire()
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
