package boltstore

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

func TestLease_danglingLockFile(t *testing.T) {
	s := filled(t, 0)
	if err := os.Symlink("nowhere", s.path+".lock"); err != nil {
		t.Skip(err)
	}
	_, err := s.Acquire(t.Context())
	require.ErrorIs(t, err, fault.Unavailable)
}

func TestLease_removedLockFile(t *testing.T) {
	s := filled(t, 0)
	l, err := s.Acquire(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.Remove(s.path+".lock"))
	require.ErrorIs(t, l.Renew(t.Context()), fault.RotationInProgress)

	other, err := New(s.path).Acquire(t.Context())
	require.NoError(t, err)
	err = l.Activate(t.Context(), seal.Fingerprint{}, 1, store.Key{ID: 2}, store.Event{})
	require.ErrorIs(t, err, fault.RotationInProgress)
	require.NoError(t, other.Renew(t.Context()))
}
