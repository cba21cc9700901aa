//go:build linux || darwin

package set

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The variables of a process to be killed.
const (
	killedFile    = "SECRETREF_TEST_SET_FILE"
	killedBackups = "SECRETREF_TEST_SET_BACKUPS"
	killedStep    = "SECRETREF_TEST_SET_STEP"
)

// TestReplace_processToKill is the process that the tests below kill.
func TestReplace_processToKill(t *testing.T) {
	path := os.Getenv(killedFile)
	if path == "" {
		t.Skip("run by the tests below")
	}
	text := newText
	for round := 0; ; round++ {
		file, err := openTarget(path, true)
		require.NoError(t, err)
		file.beforeStep = func(step string) error {
			if step == os.Getenv(killedStep) {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			return nil
		}
		if round == 0 {
			fmt.Println("ready")
		}
		_, err = file.replace([]byte(text), os.Getenv(killedBackups), time.Now())
		require.NoError(t, err)
		file.release()
		if text = oldText; round%2 == 1 {
			text = newText
		}
	}
}

func TestReplace_keepsOwnerAndMode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	file, backups := openedFile(t)
	require.NoError(t, os.Chown(file.path, 1234, 4321))
	require.NoError(t, os.Chmod(file.path, 0o644|fs.ModeSetgid))
	file.release()
	file, err := openTarget(file.path, true)
	require.NoError(t, err)
	defer file.release()
	done, err := file.replace([]byte(newText), backups, time.Now())
	require.NoError(t, err)
	copied := done.backup
	for path, want := range map[string]string{file.path: "1234 4321 " +
		(0o644 | fs.ModeSetgid).String(), copied: fmt.Sprintf("%d %d -rw-------", os.Geteuid(),
		os.Getegid())} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		stat := info.Sys().(*syscall.Stat_t)
		assert.Equal(t, want, fmt.Sprint(stat.Uid, " ", stat.Gid, " ", info.Mode()))
	}
}

func TestReplace_refusesForeignOwnerFirst(t *testing.T) {
	file, backups := openedFile(t)
	denied := func(step string) error {
		if step == "chown" {
			return syscall.EPERM
		}
		return nil
	}
	file.beforeStep = denied
	_, err := file.replace([]byte(newText), backups, time.Now())
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.Equal(t, oldText, content(t, file.path))
	assert.NoDirExists(t, backups)
}

// requireWhole fails unless the file and each backup has one of the complete texts.
func requireWhole(t *testing.T, path, backups string, texts ...string) {
	t.Helper()
	require.Contains(t, texts, content(t, path))
	for _, name := range namesIn(t, backups) {
		if !strings.HasPrefix(name, ".") {
			require.Contains(t, texts, content(t, filepath.Join(backups, name)))
		}
	}
}

func TestReplace_survivesKillBeforeEveryStep(t *testing.T) {
	renamed := false
	for _, step := range steps(t) {
		file, backups := openedFile(t)
		file.release()
		runAndKill(t, 0, killedFile+"="+file.path, killedBackups+"="+backups, killedStep+"="+step)
		requireWhole(t, file.path, backups, oldText, newText)
		// Before the rename it is the old file; after it there is a backup.
		if want := oldText; !renamed {
			require.Equal(t, want, content(t, file.path), step)
		} else {
			require.Equal(t, newText, content(t, file.path), step)
			require.NotEmpty(t, namesIn(t, backups))
		}
		// The old file may remain until a later run removes it.
		for _, name := range namesIn(t, filepath.Dir(file.path)) {
			if path := filepath.Join(filepath.Dir(file.path), name); path != file.path {
				long := time.Now().Add(-2 * time.Hour)
				require.NoError(t, os.Chtimes(path, long, long))
			}
		}
		renamed = renamed || step == "rename"

		// Leftover files do not affect later runs.
		again, err := openTarget(file.path, true)
		require.NoError(t, err)
		_, err = again.replace([]byte(newText), backups, time.Now())
		require.NoError(t, err)
		again.release()
		require.Empty(t, cleanTempFiles(filepath.Dir(file.path), filepath.Base(file.path)))
		require.Len(t, namesIn(t, filepath.Dir(file.path)), 1)
	}
	require.True(t, renamed)
}

func TestReplace_survivesKillAtAnyTime(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	file, backups := openedFile(t)
	file.release()
	for range rounds {
		runAndKill(t, time.Duration(rand.Int64N(int64(20*time.Millisecond)))+1,
			killedFile+"="+file.path, killedBackups+"="+backups)
		requireWhole(t, file.path, backups, oldText, newText)
	}
	require.NotEmpty(t, namesIn(t, backups))
}

// runAndKill runs this test binary as that process. It kills the process some time
// after it is ready, or if after is zero, the process kills itself.
func runAndKill(t *testing.T, after time.Duration, variables ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestReplace_processToKill$")
	c.Env = append(os.Environ(), variables...)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
	}
	if after > 0 {
		time.Sleep(after)
		_ = c.Process.Kill()
	}
	for lines.Scan() {
		assert.NotContains(t, lines.Text(), "canary")
	}
	_ = c.Wait()
	require.NoError(t, ctx.Err())
}
