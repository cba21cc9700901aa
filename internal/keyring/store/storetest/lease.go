package storetest

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

var leaseTests = []test{
	{"only one caller has the lease", func(t *testing.T, open Opener) {
		s, other := created(t, open), open(t)
		l := acquire(t, s)
		for _, s := range []store.Store{s, other} {
			_, err := s.Acquire(t.Context())
			require.ErrorIs(t, err, fault.RotationInProgress)
		}
		require.NoError(t, l.Renew(t.Context()))
		l.Release(t.Context())
		l = acquire(t, other)
		_, err := s.Acquire(t.Context())
		require.ErrorIs(t, err, fault.RotationInProgress)
		require.NoError(t, l.Renew(t.Context()))
	}},

	{"one of many concurrent Acquires succeeds", func(t *testing.T, open Opener) {
		created(t, open)
		const n = 8
		var wg sync.WaitGroup
		var leases [n]store.Lease
		var errs [n]error
		for i := range n {
			s := open(t)
			wg.Go(func() { leases[i], errs[i] = s.Acquire(t.Context()) })
		}
		wg.Wait()
		got := 0
		for i := range n {
			if errs[i] == nil {
				got++
				defer leases[i].Release(t.Context())
			} else {
				assert.ErrorIs(t, errs[i], fault.RotationInProgress)
			}
		}
		assert.Equal(t, 1, got)
	}},

	{"Acquire works before Create", func(t *testing.T, open Opener) {
		l := acquire(t, open(t))
		_, err := open(t).Acquire(t.Context())
		require.ErrorIs(t, err, fault.RotationInProgress)
		l.Release(t.Context())
		acquire(t, open(t))
	}},

	{"others can read and write under a lease", func(t *testing.T, open Opener) {
		s, _ := rotating(t, open, "a")
		other := open(t)
		checkStored(t, other, "a", recordUnder(key1, "a"))
		put(t, other, key2, "b", recordUnder(key2, "b"))
		require.NoError(t, other.ReserveEncryptions(t.Context(), key2, 1))
		require.NoError(t, other.Delete(t.Context(), "a"))
		_, err := other.RecordEvent(t.Context(), event("note"))
		require.NoError(t, err)
		_, err = s.DeleteInactive(t.Context(), event("delete"))
		require.NoError(t, err)
	}},

	{"a released lease changes nothing", func(t *testing.T, open Opener) {
		s, l := rotating(t, open, "a")
		l.Release(t.Context())
		l.Release(t.Context())
		everyCall(t, l, func(err error) { assert.Error(t, err) })
		other := acquire(t, open(t))
		everyCall(t, l, func(err error) { assert.ErrorIs(t, err, fault.RotationInProgress) })
		require.NoError(t, other.Renew(t.Context()), "the released lease does not affect the new one")
		l.Release(t.Context())
		require.NoError(t, other.Renew(t.Context()), "nor does releasing it again")

		assert.Equal(t, map[seal.KeyID]store.State{key1: store.Retiring, key2: store.Active},
			states(t, s))
		assert.Equal(t, root1, load(t, s).Root)
		checkStored(t, s, "a", recordUnder(key1, "a"))
		assert.Equal(t, []string{"create", "activate"}, actions(t, s))
	}},

	{"Release works after the context has ended", func(t *testing.T, open Opener) {
		s := created(t, open)
		l, err := s.Acquire(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		l.Release(ctx)
		acquire(t, open(t))
	}},

	{"an abandoned rotation is finished under another lease", func(t *testing.T, open Opener) {
		_, l := rotating(t, open, "a", "b")
		_, err := l.Move(t.Context(), key1, key2, []store.Swap{swap("a")})
		require.NoError(t, err)
		l.Release(t.Context())

		s := open(t)
		l = acquire(t, s)
		require.Equal(t, key1, load(t, s).Retiring().ID)
		require.NoError(t, moveAll(t, s, l, key1, key2))
		require.NoError(t, l.Retire(t.Context(), key1, event("retire")))
		checkStored(t, s, "a", recordUnder(key2, "a"))
		checkStored(t, s, "b", recordUnder(key2, "b"))
	}},
}

// everyCall makes all calls of l, on a store from rotating with a record a, and passes each
// error to check.
func everyCall(t *testing.T, l store.Lease, check func(error)) {
	ctx := t.Context()
	check(l.Renew(ctx))
	check(l.Activate(ctx, root1, key2, newKey(key3), event("x")))
	_, err := l.Move(ctx, key1, key2, []store.Swap{swap("a")})
	check(err)
	check(l.Retire(ctx, key1, event("x")))
	check(l.Rewrap(ctx, root1, root2, map[seal.KeyID][]byte{
		key1: wrapped(key1, root2), key2: wrapped(key2, root2),
	}, event("x")))
}
