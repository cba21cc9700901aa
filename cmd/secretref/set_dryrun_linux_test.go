package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// chattr sets the flags of a file, or skips the test if that is not supported.
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
	t.Cleanup(func() {
		assert.NoError(t,
			unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, was))
	})
}

func TestSetDryRun_failsForImmutableFile(t *testing.T) {
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
			w := newFixture(t)
			plaintextFiles(w)
			chattr(t, w.path(row.path), row.flags)
			got := w.do("", false, "set", "-dry-run", "DIR/jira", trackerSecret)
			assert.Equal(t, ui.StatusFailed, got.status)
			assert.Contains(t, got.err, row.says)
			assert.NotContains(t, got.out, "this was a dry run")
		})
	}
}

func TestSetDryRun_failsInReadOnlyDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can")
	}
	w := newFixture(t)
	plaintextFiles(w)
	require.NoError(t, os.Chmod(w.path("jira"), 0o500))
	t.Cleanup(func() { assert.NoError(t, os.Chmod(w.path("jira"), 0o700)) })
	got := w.do("", false, "set", "-dry-run", "DIR/jira", trackerSecret)
	assert.Equal(t, ui.StatusFailed, got.status)
	assert.Contains(t, got.err, "must be writable")
}
