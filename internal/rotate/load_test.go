package rotate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
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
	"github.com/seed74218947/secretref/internal/keystore/bolt"
	"github.com/seed74218947/secretref/internal/ring"
	"github.com/seed74218947/secretref/internal/rootfile"
	"github.com/seed74218947/secretref/internal/rotate"
)

// slot is a name that one writer owns. What he writes is numbered; every fifth
// time he deletes.
type slot struct {
	name           string
	begun, written atomic.Int64
}

func (s *slot) next(ctx context.Context, r *ring.Ring) error {
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
func (s *slot) read(ctx context.Context, r *ring.Ring) error {
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
	var nodes sync.WaitGroup
	for w := range writers {
		r, mine := p.ring(nil), slots[w*own:][:own]
		nodes.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
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
		to := rotate.Rotator{Ring: p.ring(nil)}.Paged(4)
		nodes.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
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
	assert.Greater(t, rotations.Load(), int64(rotators))
	assert.Greater(t, writes.Load(), int64(10*writers))
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
func openFile(ctx context.Context, path string) (*ring.Ring, error) {
	return ring.Open(ctx, ring.Settings{Store: bolt.New(path), Roots: ring.File{File: rootfile.New(path + ".key"), Log: slog.New(slog.DiscardHandler)}, Log: slog.New(slog.DiscardHandler)})
}

// A rotation takes the same memory however many secrets there are.
func BenchmarkRotateFileStore(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			r := filled(b, n)
			to := rotate.Rotator{Ring: r}
			for b.Loop() {
				done, err := to.Rotate(b.Context())
				b.StopTimer()
				require.NoError(b, err)
				require.Equal(b, n, done.Moved)
				_, err = to.DeleteInactive(b.Context())
				require.NoError(b, err)
				b.StartTimer()
			}
			start := liveHeap()
			peak := start
			to.Progress = func(int, int) { peak = max(peak, liveHeap()) } // while the next page is read
			_, err := to.Rotate(b.Context())
			require.NoError(b, err)
			b.ReportMetric((float64(peak)-float64(start))/(1<<20), "MiB-live")
		})
	}
}

// filled returns a keyring with n secrets of 32 bytes. They are stored where
// nobody waits for a disk, and then copied to one.
func filled(b *testing.B, n int) *ring.Ring {
	fast, err := os.MkdirTemp("/dev/shm", "secretref")
	if err != nil {
		fast = b.TempDir()
	}
	defer func() { _ = os.RemoveAll(fast) }()
	r, err := openFile(b.Context(), filepath.Join(fast, "secrets.db"))
	require.NoError(b, err)
	for i := range n {
		require.NoError(b, r.Put(b.Context(), fmt.Sprintf("application/%06d/password", i), make([]byte, 32)))
	}
	dir := b.TempDir()
	for _, file := range []string{"secrets.db", "secrets.db.key"} {
		content, err := os.ReadFile(filepath.Join(fast, file))
		require.NoError(b, err)
		require.NoError(b, os.WriteFile(filepath.Join(dir, file), content, 0o600))
	}
	r, err = openFile(b.Context(), filepath.Join(dir, "secrets.db"))
	require.NoError(b, err)
	return r
}

// liveHeap returns the size of the heap without its garbage.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what was in a pool outlives the first
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	return now.HeapAlloc
}
