package rotate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/rootkey"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// slot is a name that one writer owns. Its writes are numbered, and every fifth deletes.
type slot struct {
	name           string
	begun, written atomic.Int64
}

func (s *slot) next(ctx context.Context, r *keyring.Keyring) error {
	n := s.begun.Add(1)
	var err error
	if deletes(n) {
		err = r.Delete(ctx, s.name)
	} else {
		err = r.Put(ctx, s.name,
			[]byte(fmt.Sprintf("%s %d %s", s.name, n, strings.Repeat(".", rand.IntN(5000)))))
	}
	s.written.Store(n)
	return err
}

func deletes(n int64) bool { return n%5 == 0 }

// read checks that the secret is the one that was written last, or one that is being
// written meanwhile.
func (s *slot) read(ctx context.Context, r *keyring.Keyring) error {
	oldest := s.written.Load()
	text, err := r.Get(ctx, s.name)
	newest := s.begun.Load()
	if errors.Is(err, fault.NotFound) {
		for n := oldest; n <= newest; n++ {
			if deletes(n) { // 0 counts as a deletion: nothing was written yet
				return nil
			}
		}
		return fmt.Errorf("%s is missing, but was not deleted by any write from %d to %d", s.name,
			oldest, newest)
	}
	if err != nil {
		return err
	}
	field := strings.Fields(string(text) + " ? ?")
	if n, err := strconv.ParseInt(field[1], 10, 64); err != nil || field[0] != s.name || n < oldest ||
		n > newest || deletes(n) {
		return fmt.Errorf("%s is %q %q, want a write from %d to %d", s.name, field[0], field[1],
			oldest, newest)
	}
	return nil
}

// Several nodes write and read while others rotate.
func TestRotate_concurrentNodes(t *testing.T) {
	t.Parallel()
	const writers, rotators, slotsPerWriter = 4, 2, 5
	minWrites, minRotations := int64(400), int64(20)
	if testing.Short() {
		minWrites, minRotations = 60, 4
	}
	p := newKeyringFile(t)
	p.fill(p.keyring(nil), 1)
	s := stored{"secret 0": "text 0"}
	var slots []*slot
	for i := range writers * slotsPerWriter {
		slots = append(slots, &slot{name: fmt.Sprintf("slot-%d", i)})
	}
	var reads, writes, rotations, refused atomic.Int64
	more := func() bool {
		return (rotations.Load() < minRotations || writes.Load() < minWrites) && !t.Failed()
	}
	var nodes sync.WaitGroup
	for w := range writers {
		r, own := p.keyring(nil), slots[w*slotsPerWriter:][:slotsPerWriter]
		nodes.Go(func() {
			for more() {
				s := own[rand.IntN(slotsPerWriter)]
				assert.NoError(t, s.next(t.Context(), r))
				assert.NoError(t, s.read(t.Context(), r), "a writer reads its own write")
				assert.NoError(t, slots[rand.IntN(len(slots))].read(t.Context(), r))
				writes.Add(1)
				reads.Add(2)
			}
		})
	}
	for range rotators {
		rotator := rotate.Rotator{Keyring: p.keyring(nil)}.Paged(4)
		nodes.Go(func() {
			for more() {
				_, err := rotator.Rotate(t.Context())
				if errors.Is(err, fault.RotationInProgress) {
					refused.Add(1)
					time.Sleep(time.Millisecond)
					continue
				}
				assert.NoError(t, err)
				rotations.Add(1)
				_, err = rotator.DeleteInactive(t.Context())
				assert.NoError(t, err)
			}
		})
	}
	idle := p.keyring(nil)
	nodes.Wait()
	t.Logf("%d rotations, %d refused, %d writes, %d reads", rotations.Load(), refused.Load(),
		writes.Load(), reads.Load())
	for _, s := range slots {
		require.NoError(t, s.read(t.Context(), idle), "a node that was idle")
	}
	r := p.keyring(nil)
	for _, s := range slots {
		require.NoError(t, s.read(t.Context(), r))
	}
	p.checkIntact(s)
	for _, s := range slots {
		require.NoError(t, s.read(t.Context(), r))
	}
}

// openAt opens the keyring at path in the given store, in this process or a victim.
func openAt(ctx context.Context, path string, s store.Store) (*keyring.Keyring, error) {
	return keyring.Open(ctx, keyring.Settings{Store: s, Roots: rootkey.NewFile(path+".key", discard),
		Log: discard})
}

// The memory that a rotation uses does not grow with the number of secrets: it holds some
// pages and the ids of the keys.
func TestRotate_memory(t *testing.T) {
	const pageRecords, size = 25, 1024
	few, many := 3, 24
	if testing.Short() {
		many = 12
	}
	p := newKeyringFile(t)
	r := p.keyring(nil)
	peaks := map[int]int64{}
	for _, pages := range []int{few, many} {
		for i := range pages * pageRecords {
			require.NoError(t,
				r.Put(t.Context(), fmt.Sprintf("application/%06d/password", i), make([]byte, size)))
		}
		start := liveHeap()
		rotator := rotate.Rotator{Keyring: r, Progress: func(int, int) { // while the next page is read
			peaks[pages] = max(peaks[pages], liveHeap()-start)
		}}.Paged(pageRecords)
		done, err := rotator.Rotate(t.Context())
		require.NoError(t, err)
		require.Equal(t, pages*pageRecords, done.Moved)
	}
	growth := int64(many-few) * pageRecords * size // if all pages were kept
	t.Logf("bytes in use: %v; all pages have %d more", peaks, growth)
	require.Less(t, peaks[many], peaks[few]+growth/2)
}

// liveHeap returns the size of the heap without garbage.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // the content of a sync.Pool survives the first
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
