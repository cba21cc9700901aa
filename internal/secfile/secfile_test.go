package secfile

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
)

func TestCheck(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such owners and modes")
	}
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	mine := os.Geteuid()
	checked := func(mode os.FileMode, euid int) error {
		require.NoError(t, os.Chmod(path, mode))
		info, err := os.Stat(path)
		require.NoError(t, err)
		return checkAccess(path, info, euid)
	}
	for _, mode := range []os.FileMode{0o400, 0o600, 0o640, 0o660, 0o670} {
		require.NoError(t, checked(mode, mine))
	}
	for _, mode := range []os.FileMode{0o601, 0o602, 0o604, 0o666} {
		err := checked(mode, mine)
		require.ErrorIs(t, err, fault.Denied)
		require.ErrorContains(t, err, "chmod o-rwx "+path)
	}
	if mine != 0 {
		require.ErrorIs(t, checked(0o600, mine+1), fault.Denied)
		t.Skip("only root can give a file away")
	}
	require.NoError(t, checked(0o600, 4711), "root's files are trusted")
	require.NoError(t, os.Chown(path, 4711, 0))
	require.NoError(t, checked(0o600, 4711))
	for _, euid := range []int{0, 4712} {
		err := checked(0o600, euid)
		require.ErrorIs(t, err, fault.Denied)
		require.ErrorContains(t, err, "uid 4711")
	}
	_, err := Open(path)
	require.ErrorIs(t, err, fault.Denied)
	link := path + ".link"
	require.NoError(t, os.Symlink(path, link))
	_, err = Open(link)
	require.ErrorIs(t, err, fault.Denied, "the owner of the target matters")
}

func TestOpen_regularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, os.DevNull} {
		_, err := Open(path)
		require.ErrorIs(t, err, fault.Unsupported, path)
	}
	_, err := Open(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestTarget(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.MkdirAll(at("deep/data"), 0o700))
	for link, to := range map[string]string{
		"absolute": at("file"), "relative": "deep/data/file", "chain": "relative", "toDir": "deep/data",
		"beyondDir": "toDir/../file", "self": "self", "ping": "pong", "pong": "ping",
		"dangling": "none/file",
	} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Skip(err)
		}
	}
	for path, want := range map[string]string{
		"file": "file", "absolute": "file", "relative": "deep/data/file", "chain": "deep/data/file",
		"toDir/file": "deep/data/file", "beyondDir": "deep/file", "deep/../chain": "deep/data/file",
	} {
		for range 2 { // first a dangling link
			got, err := Target(dir + string(filepath.Separator) + path)
			require.NoError(t, err, path)
			require.Equal(t, at(want), got, path)
			require.NoError(t, os.WriteFile(got, nil, 0o600))
		}
	}
	for path, want := range map[string]error{
		"self": fault.Unsupported, "ping": fault.Unsupported, "self/file": fault.Unsupported,
		"dangling": fault.NotFound, "none/file": fault.NotFound, "file/below": fault.NotFound,
	} {
		_, err := Target(at(path))
		require.Error(t, err, path)
		require.ErrorIs(t, Unresolved(path, err), want, path)
	}
	_, err = Target(at("self"))
	require.ErrorIs(t, err, syscall.ELOOP)
}

func TestTarget_otherOwner(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "file"), link); err != nil {
		t.Skip(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a link away")
	}
	_, err := Target(link)
	require.NoError(t, err)
	require.NoError(t, os.Lchown(link, 4711, 4711))
	_, err = Target(link)
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorIs(t, Unresolved(link, err), fault.Denied)
	require.ErrorContains(t, err, "uid 4711")
	require.NoError(t, checkLink(link, dir, 4711), "the link's owner may follow it")
	require.NoError(t, os.Chown(dir, 4711, 4711))
	_, err = Target(link)
	require.NoError(t, err, "the owner of the directory can replace the link")
}
