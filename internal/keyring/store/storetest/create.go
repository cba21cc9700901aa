package storetest

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

var createTests = []test{
	{"Load returns ErrEmpty without a keyring", func(t *testing.T, open Opener) {
		s := open(t)
		for range 2 {
			_, err := s.Load(t.Context())
			require.ErrorIs(t, err, store.ErrEmpty)
		}
		_, err := open(t).Load(t.Context())
		require.ErrorIs(t, err, store.ErrEmpty)
	}},

	{"the first key is active in every Store", func(t *testing.T, open Opener) {
		early := open(t)
		_, err := early.Load(t.Context())
		require.ErrorIs(t, err, store.ErrEmpty)

		first := newKey(key1)
		first.Encryptions = 5
		made, err := open(t).Create(t.Context(), root1, first, event("create"))
		require.NoError(t, err)
		require.True(t, made)

		for _, s := range []store.Store{early, open(t)} {
			keys := load(t, s)
			assert.Equal(t, root1, keys.Root)
			require.Len(t, keys.Keys, 1)
			k := keys.Active()
			require.NotNil(t, k)
			assert.Equal(t, key1, k.ID)
			assert.Equal(t, wrapped(key1, root1), k.Wrapped)
			assert.EqualValues(t, 5, k.Encryptions)
			checkRecent(t, keys.Now, k.Created)
			checkRecent(t, keys.Now, k.Activated)
			assert.True(t, k.Deactivated.IsZero())
			assert.Nil(t, keys.Retiring())
			assert.Equal(t, []string{"create"}, actions(t, s))
		}
	}},

	{"Create does not replace a keyring", func(t *testing.T, open Opener) {
		s := created(t, open)
		put(t, s, key1, "name", []byte("record"))
		for _, s := range []store.Store{s, open(t)} {
			made, err := s.Create(t.Context(), root2, newKey(key2), event("again"))
			require.NoError(t, err)
			assert.False(t, made)
		}
		keys := load(t, s)
		assert.Equal(t, root1, keys.Root)
		assert.Equal(t, map[seal.KeyID]store.State{key1: store.Active}, states(t, s))
		assert.Equal(t, []string{"create"}, actions(t, s))
		checkStored(t, s, "name", []byte("record"))
	}},

	{"one of many concurrent Creates succeeds", func(t *testing.T, open Opener) {
		const n = 12
		var wg sync.WaitGroup
		var made [n]bool
		var errs [n]error
		for i := range n {
			s := open(t)
			wg.Go(func() {
				id := seal.KeyID(i + 1)
				made[i], errs[i] = s.Create(t.Context(), seal.Fingerprint{byte(i)}, newKey(id), event("create"))
			})
		}
		wg.Wait()

		winner := 0
		for i := range n {
			require.NoError(t, errs[i])
			if made[i] {
				require.Zero(t, winner, "two calls created it")
				winner = i + 1
			}
		}
		require.NotZero(t, winner, "no call created it")
		s := open(t)
		keys := load(t, s)
		assert.Equal(t, seal.Fingerprint{byte(winner - 1)}, keys.Root)
		assert.Equal(t, map[seal.KeyID]store.State{seal.KeyID(winner): store.Active}, states(t, s))
		assert.Equal(t, []string{"create"}, actions(t, s))
	}},

	{"Create works under the caller's lease", func(t *testing.T, open Opener) {
		s := open(t)
		l := acquire(t, s)
		made, err := s.Create(t.Context(), root1, newKey(key1), event("create"))
		require.NoError(t, err)
		assert.True(t, made)
		require.NoError(t, l.Renew(t.Context()))
	}},

	{"Create works under the lease of another", func(t *testing.T, open Opener) {
		acquire(t, open(t))
		made, err := open(t).Create(t.Context(), root1, newKey(key1), event("create"))
		require.NoError(t, err)
		assert.True(t, made)
	}},

	{"a new keyring has no records", func(t *testing.T, open Opener) {
		s := created(t, open)
		_, err := s.Get(t.Context(), "name")
		require.ErrorIs(t, err, fault.NotFound)
		assert.Empty(t, names(t, s, 10))
		records, err := s.Records(t.Context(), store.Range{Limit: 10, Bytes: 1000})
		require.NoError(t, err)
		assert.Empty(t, records)
		count, err := s.Count(t.Context())
		require.NoError(t, err)
		assert.Empty(t, count)
	}},
}
