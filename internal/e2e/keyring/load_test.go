package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// slot is a name that one writer owns. Its writes are numbered, and every fifth deletes.
type slot struct {
	name           string
	begun, written atomic.Int64
}

func newSlots(n int) []*slot {
	slots := make([]*slot, n)
	for i := range slots {
		slots[i] = &slot{name: fmt.Sprintf("slot-%d", i)}
	}
	return slots
}

// next makes the next write. It repeats it while the store is unavailable, if failed is not
// nil.
func (s *slot) next(ctx context.Context, k *secretref.Keyring, failed func()) error {
	n := s.begun.Add(1)
	text := secretref.NewSecret(fmt.Sprintf("%s%s %d %s", canary, s.name, n,
		strings.Repeat(".", rand.IntN(5000))))
	for {
		var err error
		if deletes(n) {
			err = k.Delete(ctx, s.name)
		} else {
			err = k.Put(ctx, s.name, text)
		}
		switch {
		case failed != nil && errors.Is(output.keep(err), secretref.ErrUnavailable):
			failed()
			time.Sleep(10 * time.Millisecond)
			continue
		// an earlier attempt succeeded
		case failed != nil && deletes(n) && errors.Is(err, secretref.ErrNotFound):
		case err != nil:
			return output.keep(err)
		}
		s.written.Store(n)
		return nil
	}
}

func deletes(n int64) bool { return n%5 == 0 }

// read checks that the secret is the one that was written last, or one that is being
// written meanwhile.
func (s *slot) read(ctx context.Context, k *secretref.Keyring) error {
	oldest := s.written.Load()
	secret, err := k.Get(ctx, s.name)
	newest := s.begun.Load()
	if errors.Is(output.keep(err), secretref.ErrNotFound) {
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
	field := strings.Fields(secret.Reveal() + " ? ?")
	if n, err := strconv.ParseInt(field[1], 10,
		64); err != nil || field[0] != canary+s.name || n < oldest || n > newest || deletes(n) {
		return fmt.Errorf("%s is %q %q, want a write from %d to %d", s.name, field[0], field[1],
			oldest, newest)
	}
	return nil
}

func TestRotate_concurrentNodes(t *testing.T) {
	const writers, rotators, slotsPerWriter = 4, 2, 5
	minWrites, minRotations := int64(1000), int64(30)
	if testing.Short() {
		minWrites, minRotations = 100, 6
	}
	onEach(t, func(t *testing.T, s server) {
		p := newCluster(t, s)
		kept := fill(t, p.node(t), 1)
		slots := newSlots(writers * slotsPerWriter)
		var reads, writes, rotations, refused atomic.Int64
		more := func() bool {
			return (writes.Load() < minWrites || rotations.Load() < minRotations) && !t.Failed()
		}
		var nodes sync.WaitGroup
		for w := range writers {
			k, mine := p.node(t), slots[w*slotsPerWriter:][:slotsPerWriter]
			nodes.Go(func() {
				for more() {
					s := mine[rand.IntN(slotsPerWriter)]
					assert.NoError(t, s.next(t.Context(), k, nil))
					assert.NoError(t, s.read(t.Context(), k), "a writer reads its own write")
					assert.NoError(t, slots[rand.IntN(len(slots))].read(t.Context(), k))
					writes.Add(1)
					reads.Add(2)
				}
			})
		}
		for range rotators {
			k := p.node(t)
			nodes.Go(func() {
				for more() {
					_, err := k.Rotate(t.Context())
					if errors.Is(output.keep(err), secretref.ErrRotationInProgress) {
						refused.Add(1)
						time.Sleep(time.Millisecond)
						continue
					}
					assert.NoError(t, err)
					rotations.Add(1)
					_, err = k.DeleteInactive(t.Context())
					assert.NoError(t, output.keep(err))
				}
			})
		}
		nodes.Wait()
		t.Logf("%d rotations, %d refused, %d writes, %d reads", rotations.Load(), refused.Load(),
			writes.Load(), reads.Load())
		k := p.node(t)
		for _, s := range slots {
			require.NoError(t, s.read(t.Context(), k))
		}
		kept.checkIntact(t, k)
		for _, s := range slots {
			require.NoError(t, s.read(t.Context(), k))
		}
	})
}
