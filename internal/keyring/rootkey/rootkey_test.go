package rootkey_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/rootkey"
	"github.com/seed74218947/secretref/internal/keyring/seal"
)

func TestFile_Create(t *testing.T) {
	f := newFile(filepath.Join(t.TempDir(), "root.key"))
	_, err := f.Read()
	require.ErrorIs(t, err, fault.NotFound)
	require.NoError(t, os.WriteFile(f.Path()+".tmp", []byte("left by a killed process"), 0o644))
	create(t, f, true)
	first, err := f.Read()
	require.NoError(t, err)
	create(t, f, false)
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
	create(t, f, false) // an empty file is not replaced either
	_, err = f.Read()
	require.ErrorIs(t, err, fault.RootKey)
}

func TestFile_next(t *testing.T) {
	f := newFile(filepath.Join(t.TempDir(), "root.key"))
	create(t, f, true)
	first, err := f.Read()
	require.NoError(t, err)
	text := seal.NewRootText()
	require.NoError(t, f.WriteNext(text))
	next, err := f.ReadNext()
	require.NoError(t, err)
	require.NotEqual(t, first.Fingerprint(), next.Fingerprint())
	require.NoError(t, f.RemoveNext())
	require.NoError(t, f.RemoveNext())
	_, err = f.ReadNext()
	require.ErrorIs(t, err, fault.NotFound)

	require.NoError(t, f.WriteNext(text))
	require.NoError(t, f.AdoptNext())
	now, err := f.Read()
	require.NoError(t, err)
	assert.Equal(t, next.Fingerprint(), now.Fingerprint())
	require.ErrorIs(t, f.AdoptNext(), fault.NotFound)
}

func TestFile_errors(t *testing.T) {
	dir := t.TempDir()
	f := newFile(filepath.Join(dir, "missing", "root.key"))
	_, err := f.Create()
	require.ErrorIs(t, err, fault.NotFound)
	require.ErrorContains(t, err, f.Path())
	require.NoError(t, os.Chmod(dir, 0o700))
	_, err = newFile(dir).Read() // a directory
	require.ErrorIs(t, err, fault.Unsupported)
	if runtime.GOOS == "windows" {
		return
	}
	open := newFile(filepath.Join(dir, "root.key"))
	create(t, open, true)
	require.NoError(t, os.Chmod(open.Path(), 0o644))
	_, err = open.Read()
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorContains(t, err, "chmod o-rwx")
}

func newFile(path string) *rootkey.File {
	return rootkey.NewFile(path,
		slog.New(slog.DiscardHandler))
}

func create(t *testing.T, f *rootkey.File, want bool) {
	t.Helper()
	got, err := f.Create()
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestFile_symbolicLink(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "secrets", "more"), 0o700))
	target := filepath.Join(dir, "secrets", "root.key")
	link, chain := filepath.Join(dir, "keyring.db.key"), filepath.Join(dir, "secrets", "more", "link")
	if err := os.Symlink("../root.key", chain); err != nil {
		t.Skip(err)
	}
	require.NoError(t, os.Symlink("secrets/more/link", link))
	f := newFile(link)
	is := func(want *seal.Root) {
		t.Helper()
		for _, path := range []string{link, target} {
			got, err := newFile(path).Read()
			require.NoError(t, err)
			require.Equal(t, want.Fingerprint(), got.Fingerprint())
		}
		for _, path := range []string{link, chain} {
			info, err := os.Lstat(path)
			require.NoError(t, err)
			require.Equal(t, os.ModeSymlink, info.Mode().Type(), path)
		}
		info, err := os.Lstat(target)
		require.NoError(t, err)
		require.True(t, info.Mode().IsRegular())
		if runtime.GOOS != "windows" {
			require.Equal(t, os.FileMode(0o600), info.Mode())
		}
	}

	_, err := f.Read()
	require.ErrorIs(t, err, fault.NotFound, "its target does not exist yet")
	create(t, f, true)
	first, err := f.Read()
	require.NoError(t, err)
	is(first)
	create(t, f, false)

	require.NoError(t, f.WriteNext(seal.NewRootText()))
	_, err = newFile(link).ReadNext() // after a crash, too
	require.NoError(t, err)
	is(first)
	require.NoError(t, f.RemoveNext())
	_, err = f.ReadNext()
	require.ErrorIs(t, err, fault.NotFound)
	is(first)

	require.NoError(t, f.WriteNext(seal.NewRootText()))
	second, err := f.ReadNext()
	require.NoError(t, err)
	require.NoError(t, newFile(link).AdoptNext())
	is(second)

	// The target is lost between WriteNext and AdoptNext.
	require.NoError(t, f.WriteNext(seal.NewRootText()))
	third, err := f.ReadNext()
	require.NoError(t, err)
	require.NoError(t, os.Remove(target))
	require.NoError(t, f.AdoptNext())
	is(third)

	circle := filepath.Join(dir, "circle")
	require.NoError(t, os.Symlink("circle", circle))
	for _, do := range []func() error{
		func() error { _, err := newFile(circle).Read(); return err },
		func() error { _, err := newFile(circle).Create(); return err },
		func() error { return newFile(circle).WriteNext("text") },
	} {
		require.ErrorIs(t, do(), fault.Unsupported)
	}
}

func TestFile_otherOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	f := newFile(filepath.Join(t.TempDir(), "root.key"))
	create(t, f, true)
	require.NoError(t, f.WriteNext(seal.NewRootText()))
	for _, path := range []string{f.Path(), f.Path() + ".new"} {
		require.NoError(t, os.Chown(path, 4711, 0))
	}
	_, err := f.Read()
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorContains(t, err, "uid 4711")
	_, err = f.ReadNext()
	require.ErrorIs(t, err, fault.Denied)
}
