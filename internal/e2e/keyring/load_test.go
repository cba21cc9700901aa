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

// slot is a name that one writer owns. What he writes is numbered; every fifth
// time he deletes.
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

// next writes until the store is there.
func (s *slot) next(ctx context.Context, k *secretref.Keyring, failed func()) error {
	n := s.begun.Add(1)
	text := secretref.NewSecret(fmt.Sprintf("%s%s %d %s", canary, s.name, n, strings.Repeat(".", rand.IntN(5000))))
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
		case failed != nil && deletes(n) && errors.Is(err, secretref.ErrNotFound): // it had happened
		case err != nil:
			return output.keep(err)
		}
		s.written.Store(n)
		return nil
	}
}

func deletes(n int64) bool { return n%5 == 0 }

// read proves that the secret is what was written last, or what is being written
// meanwhile.
func (s *slot) read(ctx context.Context, k *secretref.Keyring) error {
	oldest := s.written.Load()
	secret, err := k.Get(ctx, s.name)
	newest := s.begun.Load()
	if errors.Is(output.keep(err), secretref.ErrNotFound) {
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
	field := strings.Fields(secret.Reveal() + " ? ?")
	if n, err := strconv.ParseInt(field[1], 10, 64); err != nil || field[0] != canary+s.name || n < oldest || n > newest || deletes(n) {
		return fmt.Errorf("%s is %q %q, and must be between %d and %d", s.name, field[0], field[1], oldest, newest)
	}
	return nil
}

func TestNodesReadAndWriteWhileOthersRotate(t *testing.T) {
	const writers, rotators, own = 4, 2, 5
	onEach(t, func(t *testing.T, s server) {
		p := newPlace(t, s)
		kept := fill(t, p.node(t), 1)
		slots := newSlots(writers * own)
		duration := 10 * time.Second
		if testing.Short() {
			duration = 2 * time.Second
		}
		end := time.Now().Add(duration)
		var reads, writes, rotations, refused atomic.Int64
		var nodes sync.WaitGroup
		for w := range writers {
			k, mine := p.node(t), slots[w*own:][:own]
			nodes.Go(func() {
				for time.Now().Before(end) && !t.Failed() {
					s := mine[rand.IntN(own)]
					assert.NoError(t, s.next(t.Context(), k, nil))
					assert.NoError(t, s.read(t.Context(), k), "a writer reads his own")
					assert.NoError(t, slots[rand.IntN(len(slots))].read(t.Context(), k))
					writes.Add(1)
					reads.Add(2)
				}
			})
		}
		for range rotators {
			k := p.node(t)
			nodes.Go(func() {
				for time.Now().Before(end) && !t.Failed() {
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
		t.Logf("%d rotations, %d refused, %d writes, %d reads", rotations.Load(), refused.Load(), writes.Load(), reads.Load())
		assert.Greater(t, rotations.Load(), int64(rotators))
		assert.Greater(t, writes.Load(), int64(10*writers))
		k := p.node(t)
		for _, s := range slots {
			require.NoError(t, s.read(t.Context(), k))
		}
		kept.whole(t, k)
		for _, s := range slots {
			require.NoError(t, s.read(t.Context(), k))
		}
	})
}
