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
func (f *concurrency) done() bool {
	return f.t.Failed() || f.rotations.Load() >= minRotations && f.writes.Load() >= minWrites
}

// key returns the id of the key of a generation. The ids are not ordered.
func (f *concurrency) key(generation int64) seal.KeyID {
	return seal.KeyID(uint64(generation+1) * 0x9e37_79b9_7f4a_7c15)
}

func (f *concurrency) record(generation, version int64, name string) []byte {
	return recordUnder(f.key(generation), fmt.Sprintf("%09d %s", version, name))
}

func (f *concurrency) version(record []byte) (version int64) {
	_, err := fmt.Sscanf(textOf(record), "%d", &version)
	assert.NoError(f.t, err)
	return version
}

// write stores ever newer versions under its own names, and checks that they stay.
func (f *concurrency) write(s store.Store, first, step int) {
	ctx := f.t.Context()
	temporary := fmt.Sprintf("temporary %d", first)
	for version := int64(1); !f.done(); version++ {
		for i := first; i < len(f.names) && !f.done(); i += step {
			n := &f.names[i]
			if !f.put(s, version, n.name) {
				return
			}
			n.version.Store(version)
			f.writes.Add(1)
			got, err := s.Get(ctx, n.name)
			if !assert.NoError(f.t, err) || !assert.Equal(f.t, version, f.version(got),
				"%s differs from what was just stored", n.name) {
				return
			}
		}
		if !f.put(s, version, temporary) || !assert.NoError(f.t, s.Delete(ctx, temporary)) {
			return
		}
		_, err := s.Get(ctx, temporary)
		if !assert.ErrorIs(f.t, err, fault.NotFound, "it was deleted") {
			return
		}
	}
}

// put stores a version under the active key. It sometimes tries older and newer keys
// first.
func (f *concurrency) put(s store.Store, version int64, name string) bool {
	for {
		known := f.generation.Load()
		generation := max(0, known+rand.Int64N(3)-1) // too old, or perhaps not activated yet
		err := s.Put(f.t.Context(), f.key(generation), name, f.record(generation, version, name))
		switch {
		case err == nil:
			return assert.GreaterOrEqual(f.t, generation, known, "a Put under an older key succeeded")
		case !assert.ErrorIs(f.t, err, store.ErrNotActive):
			return false
		case f.t.Failed():
			return false
		}
	}
}

// read checks that records are there, and in no older version than before.
func (f *concurrency) read(s store.Store) {
	ctx := f.t.Context()
	for !f.done() {
		n := &f.names[rand.N(len(f.names))]
		least := n.version.Load()
		got, err := s.Get(ctx, n.name)
		if !assert.NoError(f.t, err) || !assert.GreaterOrEqual(f.t, f.version(got), least,
			"%s reverted to an older version", n.name) {
			return
		}
		if !f.checkRecords(s, nil) {
			return
		}
	}
}

// checkRecords reads all records and checks that none is missing and that each is under its
// key. If known is not nil, it must contain the keys.
func (f *concurrency) checkRecords(s store.Store, known map[seal.KeyID]store.State) bool {
	var least [len(f.names)]int64
	for i := range f.names {
		least[i] = f.names[i].version.Load()
	}
	found := make(map[string]int64)
	for r := (store.Range{Limit: 5, Bytes: 1 << 20}); ; {
		page, err := s.Records(f.t.Context(), r)
		if !assert.NoError(f.t, err) {
			return false
		}
		if len(page) == 0 {
			break
		}
		for _, b := range page {
			found[b.Name], r.After = f.version(b.Sealed), b.Name
			expected := recordUnder(b.Key, textOf(b.Sealed))
			if !assert.Equal(f.t, expected, b.Sealed, "%s is not under its key", b.Name) ||
				!assert.True(f.t, strings.HasSuffix(textOf(b.Sealed), b.Name),
					"%s has the record of another name", b.Name) ||
				known != nil && !assert.Contains(f.t, known, b.Key) {
				return false
			}
		}
	}
	for i := range f.names {
		version, ok := found[f.names[i].name]
		if !assert.True(f.t, ok, "%s is lost", f.names[i].name) ||
			!assert.GreaterOrEqual(f.t, version, least[i]) {
			return false
		}
	}
	return true
}

// rotate rotates again and again when it gets the lease.
func (f *concurrency) rotate(s store.Store) {
	ctx := f.t.Context()
	for !f.done() {
		l, err := s.Acquire(ctx)
		if errors.Is(err, fault.RotationInProgress) {
			continue
		}
		if !assert.NoError(f.t, err) {
			return
		}
		assert.EqualValues(f.t, 1, f.held.Add(1), "two rotators have the lease")
		ok := f.rotateOnce(s, l)
		f.held.Add(-1)
		l.Release(ctx)
		if !ok {
			return
		}
		f.rotations.Add(1)
	}
}

func (f *concurrency) rotateOnce(s store.Store, l store.Lease) bool {
	ctx := f.t.Context()
	generation := f.generation.Load()
	from, to := f.key(generation), f.key(generation+1)
	if !assert.NoError(f.t, l.Activate(ctx, root1, from, newKey(to), event("activate"))) {
		return false
	}
	f.generation.Store(generation + 1)
	if !assert.NoError(f.t, moveAll(f.t, s, l, from, to)) || !assert.NoError(f.t,
		l.Retire(ctx, from, event("retire"))) {
		return false
	}
	under, err := s.Records(ctx, store.Range{Key: from, Limit: 1, Bytes: 1})
	if !assert.NoError(f.t, err) || !assert.Empty(f.t, under, "records are under an inactive key") {
		return false
	}
	if rand.N(2) == 0 {
		_, err := s.DeleteInactive(ctx, event("delete"))
		return assert.NoError(f.t, err)
	}
	return true
}
