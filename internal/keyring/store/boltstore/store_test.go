package boltstore

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

func TestDeleteInactive_keyInUse(t *testing.T) {
	s := filled(t, 10)
	require.NoError(t, s.update(t.Context(), func(tx *txn) error {
		return tx.putKey(store.Key{ID: 2, State: store.Inactive, Wrapped: []byte("w")})
	}))
	// Put would refuse this
	require.NoError(t,
		s.update(t.Context(), func(tx *txn) error { return tx.putRecord([]byte("z"), 2, nil) }))
	deleted, err := s.DeleteInactive(t.Context(), store.Event{Action: "delete"})
	require.ErrorIs(t, err, store.ErrInUse)
	assert.Empty(t, deleted)
	keys, err := s.Load(t.Context())
	require.NoError(t, err)
	assert.Len(t, keys.Keys, 2)
	events, err := s.Events(t.Context(), 0, 10)
	require.NoError(t, err)
	assert.Len(t, events, 1)
}

func TestPut_nameLength(t *testing.T) {
	s := filled(t, 0)
	for _, n := range []int{0, 1025, 40_000} {
		require.ErrorIs(t, s.Put(t.Context(), 1, string(make([]byte, n)), nil), fault.Syntax)
		_, err := s.Get(t.Context(), string(make([]byte, n)))
		require.ErrorIs(t, err, fault.NotFound)
		require.ErrorIs(t, s.Delete(t.Context(), string(make([]byte, n))), fault.NotFound)
	}
}

func TestUpdate_contextEndsBeforeCommit(t *testing.T) {
	s := filled(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.update(ctx, func(tx *txn) error {
		cancel()
		return tx.putRecord([]byte("name"), 1, nil)
	})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, fault.Unavailable)
	_, err = s.Get(t.Context(), "name")
	require.ErrorIs(t, err, fault.NotFound)
}
