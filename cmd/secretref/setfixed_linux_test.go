package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// chattr sets the flags of a file, where one can.
func chattr(t *testing.T, path string, flags int) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	was, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		t.Skip(err)
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, was|flags); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { assert.NoError(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, was)) })
}

func TestADryRunFailsWhereTheKernelWould(t *testing.T) {
	const immutable, appendOnly = 0x10, 0x20 // FS_IMMUTABLE_FL, FS_APPEND_FL
	for name, row := range map[string]struct {
		path  string
		flags int
		says  string
	}{
		"immutable":             {jiraFile, immutable, "immutable or append-only"},
		"append-only":           {jiraFile, appendOnly, "immutable or append-only"},
		"append-only directory": {"jira", appendOnly, "append-only"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			plainWorld(w)
			chattr(t, w.path(row.path), row.flags)
			got := w.do("", false, "set", "-dry-run", "DIR/jira", trackerSecret)
			assert.Equal(t, statusFailed, got.status)
			assert.Contains(t, got.err, row.says)
			assert.NotContains(t, got.out, "this was a dry run")
		})
	}
}

func TestADryRunFailsInADirectoryThatCannotBeWritten(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can")
	}
	w := newWorld(t)
	plainWorld(w)
	require.NoError(t, os.Chmod(w.path("jira"), 0o500))
	t.Cleanup(func() { assert.NoError(t, os.Chmod(w.path("jira"), 0o700)) })
	got := w.do("", false, "set", "-dry-run", "DIR/jira", trackerSecret)
	assert.Equal(t, statusFailed, got.status)
	assert.Contains(t, got.err, "must be writable")
}

func TestAFileThatIsMountedByItselfIsNoticed(t *testing.T) {
	file, backups := openedFile(t)
	done := make(chan struct{})
	go func() { // whose thread, with its view of the mounts, ends with it
		defer close(done)
		runtime.LockOSThread()
		for _, err := range []error{
			unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount(file.path, file.path, "", unix.MS_BIND, ""),
		} {
			if err != nil {
				t.Log("skipped:", err)
				return
			}
		}
		assert.ErrorContains(t, replaceable(file.path, filepath.Dir(file.path), file.info), "mounted by itself")
		_, err := file.replace([]byte(newText), backups, time.Now())
		assert.ErrorContains(t, err, "mounted by itself")
	}()
	<-done
}
