package storetest

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

var keyTests = []test{
	{"reserved encryptions add up", func(t *testing.T, open Opener) {
		s := created(t, open)
		require.NoError(t, s.ReserveEncryptions(t.Context(), key1, 1000))
		require.NoError(t, open(t).ReserveEncryptions(t.Context(), key1, 1))
		require.NoError(t, s.ReserveEncryptions(t.Context(), key1, 0))
		assert.EqualValues(t, 1001, load(t, s).Active().Encryptions)
	}},

	{"ReserveEncryptions stops at MaxEncryptions", func(t *testing.T, open Opener) {
		s := created(t, open)
		require.NoError(t, s.ReserveEncryptions(t.Context(), key1, seal.MaxEncryptions-10))
		require.ErrorIs(t, s.ReserveEncryptions(t.Context(), key1, 11), store.ErrKeyExhausted)
		require.ErrorIs(t, s.ReserveEncryptions(t.Context(), key1, math.MaxUint64), store.ErrKeyExhausted,
			"the sum overflows")
		assert.Equal(t, uint64(seal.MaxEncryptions-10), load(t, s).Active().Encryptions)
		require.NoError(t, s.ReserveEncryptions(t.Context(), key1, 10))
		assert.Equal(t, uint64(seal.MaxEncryptions), load(t, s).Active().Encryptions)
		require.ErrorIs(t, s.ReserveEncryptions(t.Context(), key1, 1), store.ErrKeyExhausted)
	}},

	{"ReserveEncryptions requires the active key", func(t *testing.T, open Opener) {
		s, l := rotating(t, open)
		require.ErrorIs(t, s.ReserveEncryptions(t.Context(), key1, 1), store.ErrNotActive, "retiring")
		require.ErrorIs(t, s.ReserveEncryptions(t.Context(), key3, 1), store.ErrNotActive, "unknown")
		require.NoError(t, l.Retire(t.Context(), key1, event("retire")))
		require.ErrorIs(t, s.ReserveEncryptions(t.Context(), key1, 1), store.ErrNotActive, "inactive")
		require.NoError(t, s.ReserveEncryptions(t.Context(), key2, 1))
	}},

	{"Activate makes the next key active and the old one retiring", func(t *testing.T, open Opener) {
		s := created(t, open)
		next := newKey(key2)
		next.Encryptions = 7
		require.NoError(t, acquire(t, s).Activate(t.Context(), root1, key1, next, event("activate")))

		keys := load(t, open(t))
		require.Len(t, keys.Keys, 2)
		from, to := keys.Retiring(), keys.Active()
		require.NotNil(t, from)
		require.NotNil(t, to)
		assert.Equal(t, key1, from.ID)
		assert.Equal(t, key2, to.ID)
		assert.Equal(t, wrapped(key2, root1), to.Wrapped)
		assert.EqualValues(t, 7, to.Encryptions)
		checkRecent(t, keys.Now, to.Created)
		checkRecent(t, keys.Now, to.Activated)
		checkRecent(t, keys.Now, from.Deactivated)
		assert.True(t, to.Deactivated.IsZero())
		assert.False(t, from.Activated.IsZero())
		assert.False(t, from.Created.After(to.Created))
		assert.Equal(t, []string{"create", "activate"}, actions(t, s))
	}},

	{"Activate refuses another root key, active key or rotation", func(t *testing.T, open Opener) {
		s := created(t, open)
		l := acquire(t, s)
		require.ErrorIs(t, l.Activate(t.Context(), root2, key1, newKey(key2), event("x")),
			store.ErrChanged, "another root")
		require.ErrorIs(t, l.Activate(t.Context(), root1, key3, newKey(key2), event("x")),
			store.ErrChanged, "unknown")
		assert.Equal(t, map[seal.KeyID]store.State{key1: store.Active}, states(t, s))

		require.NoError(t, l.Activate(t.Context(), root1, key1, newKey(key2), event("activate")))
		require.ErrorIs(t, l.Activate(t.Context(), root1, key2, newKey(key3), event("x")),
			store.ErrChanged, "a key is retiring")
		require.NoError(t, l.Retire(t.Context(), key1, event("retire")))
		require.ErrorIs(t, l.Activate(t.Context(), root1, key1, newKey(key3), event("x")),
			store.ErrChanged, "inactive")
		assert.Equal(t, map[seal.KeyID]store.State{key1: store.Inactive, key2: store.Active},
			states(t, s))
		assert.Equal(t, []string{"create", "activate", "retire"}, actions(t, s),
			"a refused call stores no event")
	}},

	{"Retire ends the rotation when no record is under the key", func(t *testing.T, open Opener) {
		s, l := rotating(t, open, "a")
		require.ErrorIs(t, l.Retire(t.Context(), key1, event("x")), store.ErrInUse)
		assert.Equal(t, store.Retiring, states(t, s)[key1])

		swap := store.Swap{Name: "a", Head: head(recordUnder(key1, "a")), Sealed: recordUnder(key2, "a")}
		moved, err := l.Move(t.Context(), key1, key2, []store.Swap{swap})
		require.NoError(t, err)
		require.Equal(t, 1, moved)
		deactivated := load(t, s).Retiring().Deactivated
		require.NoError(t, l.Retire(t.Context(), key1, event("retire")))

		keys := load(t, s)
		assert.Nil(t, keys.Retiring())
		assert.Equal(t, map[seal.KeyID]store.State{key1: store.Inactive, key2: store.Active},
			states(t, s))
		for _, k := range keys.Keys {
			if k.ID == key1 {
				assert.True(t, deactivated.Equal(k.Deactivated), "it was deactivated when the rotation began")
			}
		}
		assert.Equal(t, []string{"create", "activate", "retire"}, actions(t, s))
	}},

	{"Retire refuses a key that is not retiring", func(t *testing.T, open Opener) {
		s, l := retired(t, open)
		for _, id := range []seal.KeyID{key1, key2, key3} {
			require.ErrorIs(t, l.Retire(t.Context(), id, event("x")), store.ErrChanged)
		}
		assert.Equal(t, []string{"create", "activate", "retire"}, actions(t, s))
	}},

	{"Load returns keys in order of creation", func(t *testing.T, open Opener) {
		s, l := retired(t, open)
		require.NoError(t, l.Activate(t.Context(), root1, key2, newKey(key3), event("activate")))
		var ids []seal.KeyID
		for _, k := range load(t, s).Keys {
			ids = append(ids, k.ID)
		}
		assert.Equal(t, []seal.KeyID{key1, key2, key3}, ids)
	}},

	{"DeleteInactive removes and returns the inactive keys", func(t *testing.T, open Opener) {
		s, l := retired(t, open)
		require.NoError(t, l.Activate(t.Context(), root1, key2, newKey(key3), event("activate")))
		deleted, err := open(t).DeleteInactive(t.Context(), event("delete"))
		require.NoError(t, err)
		require.Len(t, deleted, 1)
		assert.Equal(t, key1, deleted[0].ID)
		assert.Equal(t, store.Inactive, deleted[0].State)
		assert.False(t, deleted[0].Deactivated.IsZero())
		assert.Equal(t, map[seal.KeyID]store.State{key2: store.Retiring, key3: store.Active},
			states(t, s))

		events := log(t, s)
		last := events[len(events)-1]
		assert.Equal(t, "delete", last.Action)
		assert.Equal(t, []seal.KeyID{key1}, last.Keys)
	}},

	{"DeleteInactive is recorded even if it deletes nothing", func(t *testing.T, open Opener) {
		s, _ := rotating(t, open, "a")
		deleted, err := s.DeleteInactive(t.Context(), event("delete"))
		require.NoError(t, err)
		assert.Empty(t, deleted)
		assert.Len(t, states(t, s), 2)
		events := log(t, s)
		assert.Equal(t, "delete", events[len(events)-1].Action)
		assert.Empty(t, events[len(events)-1].Keys)
	}},

	{"Rewrap replaces the wrapped form of all keys and nothing else", func(t *testing.T, open Opener) {
		s, l := rotating(t, open, "a")
		before := load(t, s)
		require.NoError(t, l.Rewrap(t.Context(), root1, root2, map[seal.KeyID][]byte{
			key1: wrapped(key1, root2), key2: wrapped(key2, root2),
		}, event("rewrap")))
		after := load(t, open(t))
		assert.Equal(t, root2, after.Root)
		require.Len(t, after.Keys, 2)
		for i, k := range after.Keys {
			assert.Equal(t, wrapped(k.ID, root2), k.Wrapped)
			old := before.Keys[i]
			assert.True(t,
				old.Created.Equal(k.Created) && old.Activated.Equal(k.Activated) &&
					old.Deactivated.Equal(k.Deactivated))
			assert.Equal(t, old.State, k.State)
			assert.Equal(t, old.Encryptions, k.Encryptions)
		}
		checkStored(t, s, "a", recordUnder(key1, "a"))
		assert.Equal(t, []string{"create", "activate", "rewrap"}, actions(t, s))
	}},

	{"Rewrap refuses another root key, a missing and an unknown key", func(t *testing.T, open Opener) {
		s, l := retired(t, open)
		w1, w2, w3 := wrapped(key1, root2), wrapped(key2, root2), wrapped(key3, root2)
		for name, row := range map[string]struct {
			from    seal.Fingerprint
			wrapped map[seal.KeyID][]byte
		}{
			"root":      {root2, map[seal.KeyID][]byte{key1: w1, key2: w2}},
			"missing":   {root1, map[seal.KeyID][]byte{key2: w2}},
			"none":      {root1, nil},
			"unknown":   {root1, map[seal.KeyID][]byte{key1: w1, key2: w2, key3: w3}},
			"exchanged": {root1, map[seal.KeyID][]byte{key1: w1, key3: w3}},
		} {
			require.ErrorIs(t, l.Rewrap(t.Context(), row.from, seal.Fingerprint{9}, row.wrapped, event("x")),
				store.ErrChanged, name)
		}
		keys := load(t, s)
		assert.Equal(t, root1, keys.Root)
		for _, k := range keys.Keys {
			assert.Equal(t, wrapped(k.ID, root1), k.Wrapped)
		}
		assert.Equal(t, []string{"create", "activate", "retire"}, actions(t, s))
	}},
}
