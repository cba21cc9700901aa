package secretref_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestFileStore_modes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	path := keyringPath(t)
	k := openKeyring(t, path, nil)
	put(t, k, "a", "x")
	_, err := k.Rotate(t.Context())
	require.NoError(t, err)
	require.NoError(t, k.ChangeRootKey(t.Context(), secretref.NewRootKey()))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode(), e.Name())
		names = append(names, e.Name())
	}
	assert.Equal(t, []string{"secrets.db", "secrets.db.key", "secrets.db.lock"}, names)

	for _, file := range []string{path, path + ".key"} {
		require.NoError(t, os.Chmod(file, 0o660), "as Kubernetes' fsGroup does")
		openKeyring(t, path, nil)
		require.NoError(t, os.Chmod(file, 0o604))
		_, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path), nil)
		require.ErrorIs(t, err, secretref.ErrDenied)
		require.ErrorContains(t, err, "chmod o-rwx "+file)
		require.NoError(t, os.Chmod(file, 0o600))
	}
}

func TestFileStore_existingRootKey(t *testing.T) {
	path := keyringPath(t)
	root := secretref.NewRootKey()
	require.NoError(t, os.WriteFile(path+".key", []byte(root.Reveal()), 0o600))
	put(t, openKeyring(t, path, nil), "a", "x")
	requireStored(t, openKeyring(t, path, &secretref.KeyringOptions{RootKey: root}), "a", "x")
}

func TestOpenKeyring_rootKey(t *testing.T) {
	path := keyringPath(t)
	put(t, openKeyring(t, path, nil), "a", "x")
	open := func(opts secretref.KeyringOptions) error {
		_, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path), &opts)
		return err
	}
	file, err := os.ReadFile(path + ".key")
	require.NoError(t, err)
	own := secretref.NewSecret(string(file))
	var pending secretref.Secret
	require.NoError(t, pending.UnmarshalText(file))
	bad := secretref.NewSecret(canary + " is a passphrase")

	require.NoError(t, open(secretref.KeyringOptions{RootKey: own}))
	require.NoError(t, open(secretref.KeyringOptions{
		RootKey: secretref.NewRootKey(), PreviousRootKey: own,
	}))
	for _, opts := range []secretref.KeyringOptions{
		{RootKey: secretref.NewRootKey()}, {RootKey: bad}, {RootKey: own, PreviousRootKey: bad},
		{PreviousRootKey: own}, {RootKey: pending},
		{RootKey: secretref.NewRootKey(), PreviousRootKey: secretref.NewRootKey()},
	} {
		err := open(opts)
		require.ErrorIs(t, err, secretref.ErrRootKey)
		require.NotContains(t, err.Error(), canary)
		require.NotContains(t, err.Error(), string(file[:8]))
		require.ErrorContains(t, err, "oot")
	}

	require.NoError(t, os.Rename(path+".key", path+".away"))
	err = open(secretref.KeyringOptions{})
	require.ErrorIs(t, err, secretref.ErrRootKey)
	require.ErrorContains(t, err, path+".key is missing")
	require.NoFileExists(t, path+".key", "no other key is created")
	require.NoError(t, os.WriteFile(path+".key", []byte("c4nary"), 0o600))
	err = open(secretref.KeyringOptions{})
	require.ErrorIs(t, err, secretref.ErrRootKey)
	require.NotContains(t, err.Error(), "c4nary")
	require.NoError(t, os.Rename(path+".away", path+".key"))
	requireStored(t, openKeyring(t, path, nil), "a", "x")
}

func TestOpenKeyring_noStore(t *testing.T) {
	for _, store := range []secretref.KeyStore{
		{}, secretref.FileStore(""), secretref.SQLStore(nil, secretref.PostgreSQL),
	} {
		_, err := secretref.OpenKeyring(t.Context(), store, nil)
		require.ErrorIs(t, err, secretref.ErrUnsupported)
	}
	_, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(filepath.Join(t.TempDir(),
		"missing", "secrets.db")), nil)
	require.ErrorIs(t, err, secretref.ErrNotFound)
	path := keyringPath(t)
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("something else "), 4096), 0o600))
	_, err = secretref.OpenKeyring(t.Context(), secretref.FileStore(path), nil)
	require.ErrorIs(t, err, secretref.ErrCorrupt)
	require.NoFileExists(t, path+".key")
}

func TestFileStore_relativePath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	k := openKeyring(t, "secrets.db", nil)
	put(t, k, "a", "x")
	if runtime.GOOS != "windows" {
		require.NoError(t, os.Mkdir("elsewhere", 0o700))
		require.NoError(t, os.Symlink(filepath.Join(dir, "secrets.db"),
			filepath.Join("elsewhere", "link.db")))
		requireStored(t, openKeyring(t, filepath.Join("elsewhere", "link.db"), nil), "a", "x")
	}
	t.Chdir(t.TempDir())
	requireStored(t, k, "a", "x")
	_, err := k.Rotate(t.Context())
	require.NoError(t, err)
	left, err := os.ReadDir(".")
	require.NoError(t, err)
	assert.Empty(t, left)
}

func symlink(t *testing.T, to, link string) {
	t.Helper()
	if err := os.Symlink(to, link); err != nil {
		t.Skip(err)
	}
}

func TestFileStore_symlink(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "volume", "data"), 0o700))
	links := []string{filepath.Join(dir, "app.db"), filepath.Join(dir, "chain.db"),
		filepath.Join(dir, "volume", "up.db")}
	symlink(t, "volume/data/keyring.db", links[0]) // the target does not exist yet
	symlink(t, links[0], links[1])
	symlink(t, "data/../../chain.db", links[2])
	for i, link := range links {
		for range 2 {
			k := openKeyring(t, link, nil)
			put(t, k, "a", "x")
			_, err := k.Rotate(t.Context())
			require.NoError(t, err)
			require.NoError(t, k.ChangeRootKey(t.Context(), secretref.NewRootKey()))
		}
		requireStored(t, openKeyring(t, links[(i+1)%len(links)], nil), "a", "x")
	}
	left, err := filepath.Glob(filepath.Join(dir, "volume", "data", "*"))
	require.NoError(t, err)
	at := func(name string) string { return filepath.Join(dir, "volume", "data", "keyring.db"+name) }
	assert.ElementsMatch(t, []string{at(""), at(".key"), at(".lock")}, left)
	for _, place := range []string{dir, filepath.Join(dir, "volume")} {
		beside, err := filepath.Glob(filepath.Join(place, "*.db?*"))
		require.NoError(t, err)
		assert.Empty(t, beside)
	}
}

func TestFileStore_symlinkLoop(t *testing.T) {
	dir := t.TempDir()
	symlink(t, "pong.db", filepath.Join(dir, "ping.db"))
	symlink(t, "ping.db", filepath.Join(dir, "pong.db"))
	symlink(t, filepath.Join(dir, "none", "keyring.db"), filepath.Join(dir, "astray.db"))
	for name, kind := range map[string]error{
		"ping.db": secretref.ErrUnsupported, "astray.db": secretref.ErrNotFound,
	} {
		_, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(filepath.Join(dir, name)), nil)
		require.ErrorIs(t, err, kind)
		require.ErrorContains(t, err, name)
	}
}

func TestChangeRootKey_symlink(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "secrets"), 0o700))
	path, key := filepath.Join(dir, "keyring.db"), filepath.Join(dir, "secrets", "root.key")
	symlink(t, "secrets/root.key", path+".key") // the target does not exist yet
	for range 3 {
		k := openKeyring(t, path, nil)
		put(t, k, "a", "x")
		root := secretref.NewRootKey()
		require.NoError(t, k.ChangeRootKey(t.Context(), root))
		text, err := os.ReadFile(key)
		require.NoError(t, err)
		require.True(t, string(text) == root.Reveal()+"\n", "the target has the new root key")
		info, err := os.Lstat(path + ".key")
		require.NoError(t, err)
		require.Equal(t, os.ModeSymlink, info.Mode().Type())
		requireStored(t, openKeyring(t, path, nil), "a", "x")
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{key}, left)
}

func TestFileStore_foundRootKey(t *testing.T) {
	path := keyringPath(t)
	var log bytes.Buffer
	opts := &secretref.KeyringOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	openKeyring(t, path, opts)
	require.Contains(t, log.String(), "a new root key was made")
	require.NotContains(t, log.String(), "already existed")
	require.NoError(t, os.Remove(path)) // or its volume is not mounted
	log.Reset()
	openKeyring(t, path, opts)
	require.Contains(t, log.String(), "already existed")
	require.Contains(t, log.String(), path+".key")
	require.NotContains(t, log.String(), "a new root key was made")
}

func TestFileStore_otherOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	for _, name := range []string{"", ".key", ".lock"} {
		path := keyringPath(t)
		k := openKeyring(t, path, nil)
		put(t, k, "a", "x")
		_, err := k.Rotate(t.Context())
		require.NoError(t, err)
		require.NoError(t, os.Chown(path+name, 4711, 0))
		fresh, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path), nil)
		if name == ".lock" {
			require.NoError(t, err, "only changes of the keys need it")
			_, err = fresh.Rotate(t.Context())
		}
		require.ErrorIs(t, err, secretref.ErrDenied)
		require.ErrorContains(t, err, path+name+" belongs to the user with uid 4711")
	}
	// A root key exists before the keyring.
	path := keyringPath(t)
	require.NoError(t, os.WriteFile(path+".key", []byte(secretref.NewRootKey().Reveal()), 0o600))
	require.NoError(t, os.Chown(path+".key", 4711, 0))
	_, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path), nil)
	require.ErrorIs(t, err, secretref.ErrDenied)
	require.NoFileExists(t, path)
}
