package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// Concurrency ends after this many rotations and writes.
const minRotations, minWrites = 5, 60

// Concurrency runs writers, readers and rotators, each with a Store of its own, on one
// place, and checks that
//
//   - after Activate has returned, no Put under an older key succeeds;
//   - no record is lost, reverts to an older text, or reappears after it was deleted;
//   - each record is under the key that it was encrypted under, which exists;
//   - only one caller has the lease.
func Concurrency(t *testing.T, open Opener) {
	const writers, readers, rotators = 4, 4, 2
	f := &concurrency{t: t}
	s := open(t)
	made, err := s.Create(t.Context(), root1, newKey(f.key(0)), event("create"))
	require.NoError(t, err)
	require.True(t, made)
	for i := range f.names {
		f.names[i].name = fmt.Sprintf("name %02d", i)
		put(t, s, f.key(0), f.names[i].name, f.record(0, 0, f.names[i].name))
	}

	var wg sync.WaitGroup
	for i := range writers {
		s := open(t)
		wg.Go(func() { f.write(s, i, writers) })
	}
	for range readers {
		s := open(t)
		wg.Go(func() { f.read(s) })
	}
	for range rotators {
		s := open(t)
		wg.Go(func() { f.rotate(s) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}

	known := states(t, s)
	assert.Equal(t, map[seal.KeyID]store.State{f.key(f.generation.Load()): store.Active},
		activeOf(known))
	f.checkRecords(s, known)
	for i := range f.names {
		got, err := s.Get(t.Context(), f.names[i].name)
		require.NoError(t, err)
		assert.Equal(t, f.names[i].version.Load(), f.version(got))
	}
}

func activeOf(states map[seal.KeyID]store.State) map[seal.KeyID]store.State {
	active := make(map[seal.KeyID]store.State)
	for id, state := range states {
		if state == store.Active {
			active[id] = state
		}
	}
	return active
}

// concurrency is the state that writers, readers and rotators share.
type concurrency struct {
	t *testing.T

	generation atomic.Int64 // of the newest key that is known to have been activated
	held       atomic.Int32 // how many rotators have a lease
	rotations  atomic.Int32
	writes     atomic.Int32
	names      [12]struct {
		name    string
		version atomic.Int64 // the last that was certainly stored
	}
}

// done reports whether there were enough rotations and writes, or a failure.
func (c *concurrency) done() bool {
	return c.t.Failed() || c.rotations.Load() >= minRotations && c.writes.Load() >= minWrites
}

// key returns the id of the key of a generation. The ids are not ordered.
func (c *concurrency) key(generation int64) seal.KeyID {
	return seal.KeyID(uint64(generation+1) * 0x9e37_79b9_7f4a_7c15)
}

func (c *concurrency) record(generation, version int64, name string) []byte {
	return recordUnder(c.key(generation), fmt.Sprintf("%09d %s", version, name))
}

func (c *concurrency) version(record []byte) (version int64) {
	_, err := fmt.Sscanf(textOf(record), "%d", &version)
	assert.NoError(c.t, err)
	return version
}

// write stores ever newer versions under its own names, and checks that they stay.
func (c *concurrency) write(s store.Store, first, step int) {
	ctx := c.t.Context()
	temporary := fmt.Sprintf("temporary %d", first)
	for version := int64(1); !c.done(); version++ {
		for i := first; i < len(c.names) && !c.done(); i += step {
			n := &c.names[i]
			if !c.put(s, version, n.name) {
				return
			}
			n.version.Store(version)
			c.writes.Add(1)
			got, err := s.Get(ctx, n.name)
			if !assert.NoError(c.t, err) || !assert.Equal(c.t, version, c.version(got),
				"%s differs from what was just stored", n.name) {
				return
			}
		}
		if !c.put(s, version, temporary) || !assert.NoError(c.t, s.Delete(ctx, temporary)) {
			return
		}
		_, err := s.Get(ctx, temporary)
		if !assert.ErrorIs(c.t, err, fault.NotFound, "it was deleted") {
			return
		}
	}
}

// put stores a version under the active key. It sometimes tries older and newer keys
// first.
func (c *concurrency) put(s store.Store, version int64, name string) bool {
	for {
		known := c.generation.Load()
		generation := max(0, known+rand.Int64N(3)-1) // too old, or perhaps not activated yet
		err := s.Put(c.t.Context(), c.key(generation), name, c.record(generation, version, name))
		switch {
		case err == nil:
			return assert.GreaterOrEqual(c.t, generation, known, "a Put under an older key succeeded")
		case !assert.ErrorIs(c.t, err, store.ErrNotActive):
			return false
		case c.t.Failed():
			return false
		}
	}
}

// read checks that records are there, and in no older version than before.
func (c *concurrency) read(s store.Store) {
	ctx := c.t.Context()
	for !c.done() {
		n := &c.names[rand.N(len(c.names))]
		least := n.version.Load()
		got, err := s.Get(ctx, n.name)
		if !assert.NoError(c.t, err) || !assert.GreaterOrEqual(c.t, c.version(got), least,
			"%s reverted to an older version", n.name) {
			return
		}
		if !c.checkRecords(s, nil) {
			return
		}
	}
}

// checkRecords reads all records and checks that none is missing and that each is under its
// key. If known is not nil, it must contain the keys.
func (c *concurrency) checkRecords(s store.Store, known map[seal.KeyID]store.State) bool {
	var least [len(c.names)]int64
	for i := range c.names {
		least[i] = c.names[i].version.Load()
	}
	found := make(map[string]int64)
	for r := (store.Range{Limit: 5, Bytes: 1 << 20}); ; {
		page, err := s.Records(c.t.Context(), r)
		if !assert.NoError(c.t, err) {
			return false
		}
		if len(page) == 0 {
			break
		}
		for _, b := range page {
			found[b.Name], r.After = c.version(b.Sealed), b.Name
			expected := recordUnder(b.Key, textOf(b.Sealed))
			if !assert.Equal(c.t, expected, b.Sealed, "%s is not under its key", b.Name) ||
				!assert.True(c.t, strings.HasSuffix(textOf(b.Sealed), b.Name),
					"%s has the record of another name", b.Name) ||
				known != nil && !assert.Contains(c.t, known, b.Key) {
				return false
			}
		}
	}
	for i := range c.names {
		version, ok := found[c.names[i].name]
		if !assert.True(c.t, ok, "%s is lost", c.names[i].name) ||
			!assert.GreaterOrEqual(c.t, version, least[i]) {
			return false
		}
	}
	return true
}

// rotate rotates again and again when it gets the lease.
func (c *concurrency) rotate(s store.Store) {
	ctx := c.t.Context()
	for !c.done() {
		l, err := s.Acquire(ctx)
		if errors.Is(err, fault.RotationInProgress) {
			continue
		}
		if !assert.NoError(c.t, err) {
			return
		}
		assert.EqualValues(c.t, 1, c.held.Add(1), "two rotators have the lease")
		ok := c.rotateOnce(s, l)
		c.held.Add(-1)
		l.Release(ctx)
		if !ok {
			return
		}
		c.rotations.Add(1)
	}
}

func (c *concurrency) rotateOnce(s store.Store, l store.Lease) bool {
	ctx := c.t.Context()
	generation := c.generation.Load()
	from, to := c.key(generation), c.key(generation+1)
	if !assert.NoError(c.t, l.Activate(ctx, root1, from, newKey(to), event("activate"))) {
		return false
	}
	c.generation.Store(generation + 1)
	if !assert.NoError(c.t, moveAll(c.t, s, l, from, to)) || !assert.NoError(c.t,
		l.Retire(ctx, from, event("retire"))) {
		return false
	}
	under, err := s.Records(ctx, store.Range{Key: from, Limit: 1, Bytes: 1})
	if !assert.NoError(c.t, err) || !assert.Empty(c.t, under, "records are under an inactive key") {
		return false
	}
	if rand.N(2) == 0 {
		_, err := s.DeleteInactive(ctx, event("delete"))
		return assert.NoError(c.t, err)
	}
	return true
}
