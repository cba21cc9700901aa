package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// Concurrency lets writers, readers and rotators, each with a Store of its own,
// loose on one place for a second, and checks all the while that
//
//   - once Activate has returned, no Put under an older key succeeds;
//   - no record is lost, nor goes back to an older text, nor comes back once it was
//     deleted;
//   - each record is under the key that it was sealed with, which exists;
//   - one at a time has the lease.
func Concurrency(t *testing.T, open Place) {
	const writers, readers, rotators = 4, 4, 2
	f := &fray{t: t, end: time.Now().Add(time.Second), last: time.Now().Add(time.Minute)}
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
	assert.Equal(t, map[seal.KeyID]store.State{f.key(f.generation.Load()): store.Active}, activeOf(known))
	f.look(s, known)
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

// fray is what all who take part know.
type fray struct {
	t         *testing.T
	end, last time.Time

	generation atomic.Int64 // of the key of which it is known that it is, or was, active
	held       atomic.Int32 // how many believe that they have the lease
	rotations  atomic.Int32
	names      [12]struct {
		name    string
		version atomic.Int64 // the last that was stored for certain
	}
}

// over reports whether there was enough to see, or an error.
func (f *fray) over() bool {
	now := time.Now()
	return f.t.Failed() || now.After(f.last) || now.After(f.end) && f.rotations.Load() >= 3
}

// key returns the id of a generation, in no order.
func (f *fray) key(generation int64) seal.KeyID {
	return seal.KeyID(uint64(generation+1) * 0x9e37_79b9_7f4a_7c15)
}

func (f *fray) record(generation, version int64, name string) []byte {
	return recordUnder(f.key(generation), fmt.Sprintf("%09d %s", version, name))
}

func (f *fray) version(record []byte) (version int64) {
	_, err := fmt.Sscanf(textOf(record), "%d", &version)
	assert.NoError(f.t, err)
	return version
}

// write stores ever newer versions under the names that are its own, and checks
// that nobody else does.
func (f *fray) write(s store.Store, first, step int) {
	ctx := f.t.Context()
	passing := fmt.Sprintf("passing %d", first)
	for version := int64(1); !f.over(); version++ {
		for i := first; i < len(f.names) && !f.over(); i += step {
			n := &f.names[i]
			if !f.put(s, version, n.name) {
				return
			}
			n.version.Store(version)
			got, err := s.Get(ctx, n.name)
			if !assert.NoError(f.t, err) || !assert.Equal(f.t, version, f.version(got), "%s is not as it was just stored", n.name) {
				return
			}
		}
		if !f.put(s, version, passing) || !assert.NoError(f.t, s.Delete(ctx, passing)) {
			return
		}
		_, err := s.Get(ctx, passing)
		if !assert.ErrorIs(f.t, err, fault.NotFound, "it was deleted") {
			return
		}
	}
}

// put stores a version, under the active key in the end. It tries older ones at
// times.
func (f *fray) put(s store.Store, version int64, name string) bool {
	for {
		known := f.generation.Load()
		generation := max(0, known+rand.Int64N(3)-1) // one too old, or one that may not exist yet
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

// read checks that what was there is there, in no older version.
func (f *fray) read(s store.Store) {
	ctx := f.t.Context()
	for !f.over() {
		n := &f.names[rand.N(len(f.names))]
		least := n.version.Load()
		got, err := s.Get(ctx, n.name)
		if !assert.NoError(f.t, err) || !assert.GreaterOrEqual(f.t, f.version(got), least, "%s went back", n.name) {
			return
		}
		if !f.look(s, nil) {
			return
		}
	}
}

// look reads all records, which are complete, and under keys that are known
// unless known is nil.
func (f *fray) look(s store.Store, known map[seal.KeyID]store.State) bool {
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
			whole := recordUnder(b.Key, textOf(b.Sealed))
			if !assert.Equal(f.t, whole, b.Sealed, "%s is not under its key", b.Name) ||
				!assert.True(f.t, strings.HasSuffix(textOf(b.Sealed), b.Name), "%s has another's record", b.Name) ||
				known != nil && !assert.Contains(f.t, known, b.Key) {
				return false
			}
		}
	}
	for i := range f.names {
		version, ok := found[f.names[i].name]
		if !assert.True(f.t, ok, "%s is lost", f.names[i].name) || !assert.GreaterOrEqual(f.t, version, least[i]) {
			return false
		}
	}
	return true
}

// rotate rotates again and again, whenever it gets the lease.
func (f *fray) rotate(s store.Store) {
	ctx := f.t.Context()
	for !f.over() {
		l, err := s.Acquire(ctx)
		if errors.Is(err, fault.RotationInProgress) {
			continue
		}
		if !assert.NoError(f.t, err) {
			return
		}
		assert.EqualValues(f.t, 1, f.held.Add(1), "two have the lease")
		ok := f.once(s, l)
		f.held.Add(-1)
		l.Release(ctx)
		if !ok {
			return
		}
		f.rotations.Add(1)
	}
}

// once rotates once.
func (f *fray) once(s store.Store, l store.Lease) bool {
	ctx := f.t.Context()
	generation := f.generation.Load()
	from, to := f.key(generation), f.key(generation+1)
	if !assert.NoError(f.t, l.Activate(ctx, root1, from, newKey(to), event("activate"))) {
		return false
	}
	f.generation.Store(generation + 1)
	if !assert.NoError(f.t, moveAll(f.t, s, l, from, to)) || !assert.NoError(f.t, l.Retire(ctx, from, event("retire"))) {
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
