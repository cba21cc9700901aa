//go:build unix

package set

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/edit"
)

// whenAt calls do before a step.
func (t *target) whenAt(step string, do func() error) {
	t.beforeStep = func(s string) error {
		if s == step {
			return do()
		}
		return nil
	}
}

func TestSwap_keepsConcurrentWrite(t *testing.T) {
	for name, write := range map[string]func(path string) error{
		"into the file": func(path string) error {
			return os.WriteFile(path, []byte("theirs"),
				0o600)
		},
		"as a new file": func(path string) error {
			return errors.Join(os.WriteFile(path+"2", []byte("theirs"), 0o600),
				os.Rename(path+"2", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS != "linux" {
				t.Skip("files are not exchanged")
			}
			file, backups := openedFile(t)
			file.whenAt("rename", func() error { return write(file.path) })
			done, err := file.replace([]byte(newText), backups, time.Now())
			_, unchanged := errors.AsType[*unchangedError](err)
			require.True(t, unchanged)
			require.ErrorContains(t, err, "another process has changed it")
			assert.Empty(t, done.backup)
			assert.Equal(t, "theirs", content(t, file.path))
			assert.Equal(t, []string{"bitbucket.properties"}, namesIn(t, filepath.Dir(file.path)))
		})
	}
}

// withoutExchange opens a file as if its file system could not exchange files.
func withoutExchange(t *testing.T) (file *target, backups string) {
	file, backups = openedFile(t)
	file.exchange = func(_, _ string) error { return errors.ErrUnsupported }
	return file, backups
}

func TestSwap_savesConcurrentWriteWithoutExchange(t *testing.T) {
	file, backups := withoutExchange(t)
	file.whenAt("overwrite",
		func() error { return os.WriteFile(file.path, []byte("theirs"), 0o600) })
	done, err := file.replace([]byte(newText), backups, time.Now())
	require.NoError(t, err)
	assert.Equal(t, newText, content(t, file.path))
	assert.Equal(t, oldText, content(t, done.backup))
	assert.Equal(t, "theirs", content(t, done.overwritten))
	assert.Equal(t, backups, filepath.Dir(done.overwritten))
	info, err := os.Stat(done.overwritten)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o600), info.Mode())
	assert.Len(t, namesIn(t, backups), 2)

	file, backups = withoutExchange(t)
	file.whenAt("rename", func() error { return os.WriteFile(file.path, []byte("theirs"), 0o600) })
	_, err = file.replace([]byte(newText), backups, time.Now())
	require.ErrorContains(t, err, "another process has changed it")
	assert.Equal(t, "theirs", content(t, file.path))

	file, backups = withoutExchange(t)
	done, err = file.replace([]byte(newText), backups, time.Now())
	require.NoError(t, err)
	assert.Equal(t, replacement{backup: done.backup}, done)
	assert.Equal(t, []string{"bitbucket.properties"}, namesIn(t, filepath.Dir(file.path)))
}

func TestSwap_renamesBackIfExchangeFails(t *testing.T) {
	file, backups := openedFile(t)
	swapped := false
	file.exchange = func(a, b string) error {
		if swapped {
			return errors.ErrUnsupported
		}
		swapped = true
		return errors.Join(os.Rename(a, a+"x"), os.Rename(b, a), os.Rename(a+"x", b),
			os.WriteFile(a, []byte("theirs"), 0o600))
	}
	_, err := file.replace([]byte(newText), backups, time.Now())
	require.ErrorContains(t, err, "another process has changed it")
	assert.Equal(t, "theirs", content(t, file.path))
}

func TestSwap_locksNewFile(t *testing.T) {
	file, backups := openedFile(t)
	real := file.exchange
	file.exchange = func(a, b string) error {
		err := real(a, b)
		if err == nil {
			_, _, err := lockFile(file.path)
			require.ErrorContains(t, err, "is changing the file")
		}
		return err
	}
	_, err := file.replace([]byte(newText), backups, time.Now())
	require.NoError(t, err)
}

func TestBackup_hasNoSecondName(t *testing.T) {
	for _, rename := range []func(from, to string) error{renameNoReplace, linkNoReplace} {
		dir := t.TempDir()
		from, to := filepath.Join(dir, ".from"), filepath.Join(dir, "to")
		require.NoError(t, os.WriteFile(from, []byte("from"), 0o600))
		require.NoError(t, os.WriteFile(to, []byte("to"), 0o600))
		err := rename(from, to)
		if errors.Is(err, errors.ErrUnsupported) {
			continue
		}
		require.ErrorIs(t, err, fs.ErrExist)
		assert.Equal(t, "to", content(t, to))
		require.NoError(t, os.Remove(to))
		require.NoError(t, rename(from, to))
		assert.Equal(t, []string{"to"}, namesIn(t, dir))
	}
	file, backups := openedFile(t)
	file.whenAt("backup sync directory", func() error {
		if names := namesIn(t, backups); runtime.GOOS == "linux" {
			assert.Len(t, names, 1)
		}
		return nil
	})
	_, err := file.replace([]byte(newText), backups, time.Now())
	require.NoError(t, err)
}

func TestOpenToLock(t *testing.T) {
	file, _ := openedFile(t)
	f, err := openToLock(file.path)
	require.NoError(t, err)
	defer f.Close()
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	require.NoError(t, err)
	assert.Equal(t, unix.O_RDWR, flags&unix.O_ACCMODE)
	readable, err := openToLock(filepath.Dir(file.path)) // a directory cannot be opened for writing
	require.NoError(t, err)
	require.NoError(t, readable.Close())

	locked, err := tryLock(readable) // the closed file has no lock
	require.NoError(t, err)
	assert.False(t, locked)
	assert.False(t, file.lockFailed)
}

func TestApply_warnsIfNotLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dbconfig.xml")
	text, err := os.ReadFile("../../testdata/jira/dbconfig.xml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
	file, err := openTarget(path, false)
	require.NoError(t, err)
	config, err := secretref.ReadConfig(path)
	require.NoError(t, err)
	for _, unlocked := range []bool{true, false} {
		var out strings.Builder
		file.lockFailed = unlocked
		decoded, err := atlassian.Decode("dbconfig.xml", file.text)
		require.NoError(t, err)
		j := &setOperation{options: options{dryRun: true, path: file.path}, out: &out, target: file,
			config: config, result: &edit.Result{File: decoded, Text: file.text}}
		require.NoError(t, j.apply(t.Context()))
		assert.Equal(t, unlocked, strings.Contains(out.String(), "could not be locked"))
	}
}

func TestWithHangup_ignored(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	ctx, stop := withHangup(t.Context())
	defer stop()
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	assert.True(t, signal.Ignored(syscall.SIGHUP))
	assert.NoError(t, ctx.Err())
}

// status is a fs.FileInfo with a given mode and stat.
type status struct {
	fs.FileInfo
	mode fs.FileMode
	stat syscall.Stat_t
}

func (s status) Mode() fs.FileMode { return s.mode }

func (s status) Sys() any { return &s.stat }

func TestCheckOwner(t *testing.T) {
	file := status{stat: syscall.Stat_t{Uid: 1500, Gid: 1600}}
	plain := status{stat: syscall.Stat_t{Uid: 1500, Gid: 1500}}
	ours := status{stat: syscall.Stat_t{Uid: 1500, Gid: 1600}, mode: fs.ModeSetgid}
	for _, row := range []struct {
		uid  int
		gids []int
		dir  fs.FileInfo
		says string
	}{
		{0, []int{0}, plain, ""},
		{1500, []int{1500, 1600}, plain, ""},
		{1500, []int{1500}, ours, ""},
		{1500, []int{1500}, plain, "the file's group is 1600, and only its members or root"},
		{1700, []int{1600}, plain, "the file belongs to uid 1500, and only that user or root"},
	} {
		err := checkOwner(row.uid, row.gids, file, row.dir)
		if row.says == "" {
			assert.NoError(t, err, row.uid)
		} else {
			assert.ErrorContains(t, err, row.says)
		}
	}
}
