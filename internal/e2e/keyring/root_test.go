package keyring_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestChangeRootKey_concurrentNodes(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		p := newCluster(t, s)
		late := p.node(t) // opened with the old root key only
		kept := fill(t, late, 10)
		old, next := p.root, newRoot()
		both := secretref.KeyringOptions{RootKey: next, PreviousRootKey: old}
		first, second := p.nodeWith(t, both), p.nodeWith(t, both)

		slots := newSlots(4)
		done, cancel := context.WithCancel(t.Context())
		defer cancel()
		var nodes sync.WaitGroup
		var writes atomic.Int64
		for i, k := range []*secretref.Keyring{first, second} {
			mine := slots[2*i:][:2]
			nodes.Go(func() {
				for done.Err() == nil && !t.Failed() {
					assert.NoError(t, mine[rand.IntN(2)].next(t.Context(), k, nil))
					assert.NoError(t, slots[rand.IntN(4)].read(t.Context(), k))
					writes.Add(1)
				}
			})
		}
		more := func() {
			t.Helper()
			for until := writes.Load() + 20; writes.Load() < until && !t.Failed(); {
				time.Sleep(time.Millisecond)
			}
		}
		more()
		require.NoError(t, output.keep(first.ChangeRootKey(t.Context(), next)))
		more()

		// A node that has only the old root key continues with the keys that it has loaded, and
		// fails when it has to load keys.
		kept.checkSecrets(t, late)
		_, err := late.Rotate(t.Context())
		require.ErrorIs(t, output.keep(err), secretref.ErrRootKey)
		require.ErrorIs(t, output.keep(late.Verify(t.Context())), secretref.ErrRootKey)
		kept.checkSecrets(t, late)

		_, err = second.Rotate(t.Context()) // it has not loaded the keys since the change
		require.NoError(t, output.keep(err))
		for name := range kept {
			_, err := late.Get(t.Context(), name)
			require.ErrorIs(t, output.keep(err), secretref.ErrRootKey, "never a wrong value")
		}
		require.ErrorIs(t, output.keep(late.Put(t.Context(), "secret-0",
			secretref.NewSecret(canary+"late"))), secretref.ErrRootKey)
		more()
		cancel()
		nodes.Wait()

		_, err = secretref.OpenKeyring(t.Context(), secretref.SQLStore(p.Open(t), s.dialect),
			&secretref.KeyringOptions{RootKey: old})
		require.ErrorIs(t, output.keep(err), secretref.ErrRootKey)
		p.root = next
		k := p.node(t)
		for _, s := range slots {
			require.NoError(t, s.read(t.Context(), k))
		}
		kept.checkIntact(t, k)
	})
}
