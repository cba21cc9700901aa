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
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
)

// slot is a name that one writer owns. What he writes is numbered; every fifth
// time he deletes.
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
		err = r.Put(ctx, s.name, []byte(fmt.Sprintf("%s %d %s", s.name, n, strings.Repeat(".", rand.IntN(5000)))))
	}
	s.written.Store(n)
	return err
}

func deletes(n int64) bool { return n%5 == 0 }

// read proves that the secret is what was written last, or what is being written
// meanwhile.
func (s *slot) read(ctx context.Context, r *keyring.Keyring) error {
	oldest := s.written.Load()
	text, err := r.Get(ctx, s.name)
	newest := s.begun.Load()
	if errors.Is(err, fault.NotFound) {
		for n := oldest; n <= newest; n++ {
			if deletes(n) { // number 0 is that nothing was written yet
				return nil
			}
		}
		return fmt.Errorf("%s is not there, and nobody deleted it between %d and %d", s.name, oldest, newest)
	}
	if err != nil {
		return err
	}
	field := strings.Fields(string(text) + " ? ?")
	if n, err := strconv.ParseInt(field[1], 10, 64); err != nil || field[0] != s.name || n < oldest || n > newest || deletes(n) {
		return fmt.Errorf("%s is %q %q, and must be between %d and %d", s.name, field[0], field[1], oldest, newest)
	}
	return nil
}

func TestNodesReadAndWriteWhileOthersRotate(t *testing.T) {
	t.Parallel()
	const writers, rotators, own = 4, 2, 5
	p := newPlace(t)
	p.fill(p.ring(nil), 1)
	s := stored{"secret 0": "text 0"}
	var slots []*slot
	for i := range writers * own {
		slots = append(slots, &slot{name: fmt.Sprintf("slot-%d", i)})
	}
	duration := 10 * time.Second
	if testing.Short() {
		duration = 2 * time.Second
	}
	end := time.Now().Add(duration)
	var reads, writes, rotations, refused atomic.Int64
	// On a busy machine it takes longer until there is something to look at.
	goOn := func() bool {
		busy := rotations.Load() <= rotators || writes.Load() <= 10*writers
		return (busy || time.Now().Before(end)) && !t.Failed()
	}
	var nodes sync.WaitGroup
	for w := range writers {
		r, mine := p.ring(nil), slots[w*own:][:own]
		nodes.Go(func() {
			for goOn() {
				s := mine[rand.IntN(own)]
				assert.NoError(t, s.next(t.Context(), r))
				assert.NoError(t, s.read(t.Context(), r), "a writer reads his own")
				assert.NoError(t, slots[rand.IntN(len(slots))].read(t.Context(), r))
				writes.Add(1)
				reads.Add(2)
			}
		})
	}
	for range rotators {
		to := rotate.Rotator{Keyring: p.ring(nil)}.Paged(4)
		nodes.Go(func() {
			for goOn() {
				_, err := to.Rotate(t.Context())
				if errors.Is(err, fault.RotationInProgress) {
					refused.Add(1)
					time.Sleep(time.Millisecond)
					continue
				}
				assert.NoError(t, err)
				rotations.Add(1)
				_, err = to.DeleteInactive(t.Context())
				assert.NoError(t, err)
			}
		})
	}
	nodes.Wait()
	t.Logf("%d rotations, %d refused, %d writes, %d reads", rotations.Load(), refused.Load(), writes.Load(), reads.Load())
	r := p.ring(nil)
	for _, s := range slots {
		require.NoError(t, s.read(t.Context(), r))
	}
	p.whole(s)
	for _, s := range slots {
		require.NoError(t, s.read(t.Context(), r), "a node that has slept")
	}
}

// openFile opens the keyring at path, in whatever process.
func openFile(ctx context.Context, path string) (*keyring.Keyring, error) {
	return keyring.Open(ctx, keyring.Settings{Store: boltstore.New(path), Roots: rootkey.NewFile(path+".key", discard), Log: discard})
}

// What is in memory is some pages, and the names of the keys.
func TestARotationTakesTheSameMemoryHoweverManySecretsThereAre(t *testing.T) {
	const page = 200
	p := newPlace(t)
	r := p.ring(nil)
	peaks := map[int]int64{}
	for _, pages := range []int{5, 50} {
		for i := range pages * page {
			require.NoError(t, r.Put(t.Context(), fmt.Sprintf("application/%06d/password", i), make([]byte, 32)))
		}
		start := liveHeap()
		to := rotate.Rotator{Keyring: r, Progress: func(int, int) { // while the next page is read
			peaks[pages] = max(peaks[pages], liveHeap()-start)
		}}.Paged(page)
		done, err := to.Rotate(t.Context())
		require.NoError(t, err)
		require.Equal(t, pages*page, done.Moved)
	}
	t.Logf("bytes in use: %v", peaks)
	require.Less(t, peaks[50], peaks[5]+256<<10, "45 pages more are about a MiB")
}

// liveHeap returns the size of the heap without its garbage.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what was in a pool outlives the first
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	return int64(now.HeapAlloc)
}
