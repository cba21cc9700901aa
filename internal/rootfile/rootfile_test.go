package rootfile_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/rootfile"
	"github.com/seed74218947/secretref/internal/seal"
)

func TestARootKeyIsMadeOnceAndNeverReplaced(t *testing.T) {
	f := rootfile.New(filepath.Join(t.TempDir(), "root.key"))
	_, err := f.Read()
	require.ErrorIs(t, err, fault.NotFound)
	require.NoError(t, os.WriteFile(f.Path()+".tmp", []byte("left by one that was killed"), 0o644))
	made(t, f, true)
	first, err := f.Read()
	require.NoError(t, err)
	made(t, f, false)
	again, err := f.Read()
	require.NoError(t, err)
	assert.Equal(t, first.Fingerprint(), again.Fingerprint())
	require.NoFileExists(t, f.Path()+".tmp")
	info, err := os.Stat(f.Path())
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		assert.Equal(t, os.FileMode(0o600), info.Mode())
	}

	require.NoError(t, os.WriteFile(f.Path(), nil, 0o600))
	made(t, f, false) // an empty file is somebody's, too
	_, err = f.Read()
	require.ErrorIs(t, err, fault.RootKey)
}

func TestTheNextRootKeyReplacesThePresentOneOrIsForgotten(t *testing.T) {
	f := rootfile.New(filepath.Join(t.TempDir(), "root.key"))
	made(t, f, true)
	first, err := f.Read()
	require.NoError(t, err)
	text := seal.NewRootText()
	require.NoError(t, f.WriteNext(text))
	next, err := f.ReadNext()
	require.NoError(t, err)
	require.NotEqual(t, first.Fingerprint(), next.Fingerprint())
	require.NoError(t, f.Drop())
	require.NoError(t, f.Drop())
	_, err = f.ReadNext()
	require.ErrorIs(t, err, fault.NotFound)

	require.NoError(t, f.WriteNext(text))
	require.NoError(t, f.Adopt())
	now, err := f.Read()
	require.NoError(t, err)
	assert.Equal(t, next.Fingerprint(), now.Fingerprint())
	require.ErrorIs(t, f.Adopt(), fault.NotFound)
}

func TestWhatCannotBeReadOrWrittenSaysWhy(t *testing.T) {
	dir := t.TempDir()
	f := rootfile.New(filepath.Join(dir, "missing", "root.key"))
	_, err := f.Make()
	require.ErrorIs(t, err, fault.NotFound)
	require.ErrorContains(t, err, f.Path())
	require.NoError(t, os.Chmod(dir, 0o700))
	_, err = rootfile.New(dir).Read() // a directory
	require.ErrorIs(t, err, fault.Unsupported)
	if runtime.GOOS == "windows" {
		return
	}
	open := rootfile.New(filepath.Join(dir, "root.key"))
	made(t, open, true)
	require.NoError(t, os.Chmod(open.Path(), 0o644))
	_, err = open.Read()
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorContains(t, err, "chmod o-rwx")
}

func made(t *testing.T, f *rootfile.File, want bool) {
	t.Helper()
	got, err := f.Make()
	require.NoError(t, err)
	require.Equal(t, want, got)
}
