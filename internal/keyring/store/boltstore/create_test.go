package boltstore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

func TestCreate_leavesOneFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keyring.db")
	for _, left := range []string{path + ".new", path + ".new.lock"} { // by a process that was killed
		require.NoError(t, os.WriteFile(left, make([]byte, 5000), 0o600))
	}
	made, err := create(t, path)
	require.NoError(t, err)
	require.True(t, made)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, "keyring.db", entries[0].Name())
}

func TestCreate_publishesCompleteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	s := New(path)
	stop := fmt.Errorf("stop")
	made, err := s.create(t.Context(), func(*txn) error {
		assert.NoFileExists(t, path)
		assert.FileExists(t, path+".new")
		return stop
	})
	require.ErrorIs(t, err, stop)
	assert.False(t, made)
	assert.NoFileExists(t, path)
	assert.NoFileExists(t, path+".new")

	// A file that another process creates meanwhile is not replaced.
	made, err = s.create(t.Context(), func(tx *txn) error {
		require.NoError(t, os.WriteFile(path, []byte("restored"), 0o600))
		return tx.initialize(seal.Fingerprint{}, store.Key{ID: 1}, store.Event{})
	})
	require.NoError(t, err)
	assert.False(t, made)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "restored", string(content))
}

func TestCreate_concurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	made, err := New(path).create(t.Context(), func(tx *txn) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		_, err := New(path).Create(ctx, seal.Fingerprint{}, store.Key{ID: 2}, store.Event{})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, path)
		return tx.initialize(seal.Fingerprint{}, store.Key{ID: 1}, store.Event{})
	})
	require.NoError(t, err)
	assert.True(t, made)
	made, err = create(t, path)
	require.NoError(t, err)
	assert.False(t, made)
}
