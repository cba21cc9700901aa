package boltstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

func TestPath_noDirectory(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for _, path := range []string{filepath.Join(dir, "none", "keyring.db"),
		filepath.Join(dir, "file", "keyring.db")} {
		every(t, path, func(method string, err error) {
			assert.ErrorIs(t, err, fault.NotFound, method)
			assert.ErrorContains(t, err, "director", method)
		})
		_, err := New(path).Acquire(t.Context())
		require.ErrorIs(t, err, fault.NotFound)
	}
	every(t, dir, func(method string, err error) {
		assert.ErrorIs(t, err, fault.Unsupported, method)
	})
}

func TestPath_missingFile(t *testing.T) {
	dir := t.TempDir()
	s := New(filepath.Join(dir, "keyring.db"))
	_, err := s.Get(t.Context(), "name")
	require.ErrorIs(t, err, store.ErrEmpty)
	require.ErrorIs(t, s.Put(t.Context(), 1, "name", nil), store.ErrEmpty)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "reading creates no files")
}

func TestPath_symbolicLink(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
	file := filepath.Join(dir, "data", "keyring.db")
	link, twice := filepath.Join(dir, "link.db"), filepath.Join(dir, "twice.db")
	if err := os.Symlink(filepath.Join("data", "keyring.db"), link); err != nil {
		t.Skip(err)
	}
	require.NoError(t, os.Symlink(link, twice))

	_, err := New(twice).Load(t.Context())
	require.ErrorIs(t, err, store.ErrEmpty)
	made, err := create(t, twice)
	require.NoError(t, err)
	require.True(t, made)
	assert.FileExists(t, file)
	for _, path := range []string{file, link, twice} {
		made, err := create(t, path)
		require.NoError(t, err)
		assert.False(t, made)
		require.NoError(t, New(path).Put(t.Context(), 1, path, []byte("record")))
	}
	names, err := New(file).Names(t.Context(), "", 10)
	require.NoError(t, err)
	assert.Len(t, names, 3)

	l, err := New(link).Acquire(t.Context())
	require.NoError(t, err)
	for _, path := range []string{file, link, twice} {
		_, err := New(path).Acquire(t.Context())
		require.ErrorIs(t, err, fault.RotationInProgress)
	}
	l.Release(t.Context())
	assert.FileExists(t, file+".lock")
	assert.NoFileExists(t, link+".lock")

	astray := filepath.Join(dir, "astray.db")
	require.NoError(t, os.Symlink(filepath.Join(dir, "none", "keyring.db"), astray))
	_, err = New(astray).Load(t.Context())
	require.ErrorIs(t, err, fault.NotFound)
	_, err = create(t, astray)
	require.ErrorIs(t, err, fault.NotFound)
}

func TestPath_networkFileSystem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	var checked []string
	s := New(path)
	s.network = func(path string) (string, error) {
		checked = append(checked, path)
		if len(checked)%2 == 1 {
			return "", os.ErrNotExist
		}
		return "NFS", nil
	}
	_, err := s.Load(t.Context())
	require.ErrorIs(t, err, fault.Unsupported)
	require.ErrorContains(t, err, "SQLStore")
	require.ErrorContains(t, err, "NFS")
	require.Equal(t, []string{path, filepath.Dir(path)}, checked)
	require.ErrorIs(t, s.Put(t.Context(), 1, "name", nil), fault.Unsupported)
	_, err = s.Acquire(t.Context())
	require.ErrorIs(t, err, fault.Unsupported)
	_, err = s.Create(t.Context(), seal.Fingerprint{}, store.Key{}, store.Event{})
	require.ErrorIs(t, err, fault.Unsupported)
	assert.NoFileExists(t, path+".lock")

	times := 0
	s = New(path)
	s.network = func(string) (string, error) { times++; return "", nil }
	for range 3 {
		_, err = s.Load(t.Context())
		require.ErrorIs(t, err, store.ErrEmpty)
	}
	assert.Equal(t, 1, times, "checked once")
}
