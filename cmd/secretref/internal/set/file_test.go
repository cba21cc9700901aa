package set

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	oldText = "# old\njdbc.password=canary-old\n"
	newText = "# new\njdbc.password=canary-new\n"
)

// openedFile writes a file and opens it for replacement.
func openedFile(t *testing.T) (file *target, backups string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "home", "bitbucket.properties")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(oldText), 0o640))
	file, err := openTarget(path, true)
	require.NoError(t, err)
	t.Cleanup(file.release)
	return file, filepath.Join(dir, "backups", "of-today")
}

// steps returns the steps of a successful replacement.
func steps(t *testing.T) []string {
	t.Helper()
	var names []string
	file, backups := openedFile(t)
	file.beforeStep = func(step string) error {
		names = append(names, step)
		return nil
	}
	_, err := file.replace([]byte(newText), backups, time.Now())
	require.NoError(t, err)
	require.Contains(t, names, "rename")
	return names
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// namesIn lists the names in a directory, which may be missing.
func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestReplace_backsUpFirst(t *testing.T) {
	file, backups := openedFile(t)
	now := time.Date(2026, 11, 21, 17, 4, 5, 678_900_000, time.FixedZone("", 3600))
	done, err := file.replace([]byte(newText), backups, now)
	require.NoError(t, err)
	copied := filepath.Join(backups, "bitbucket.properties.20261121T160405.678Z")
	assert.Equal(t, replacement{backup: copied}, done)
	assert.Equal(t, newText, content(t, file.path))
	assert.Equal(t, oldText, content(t, copied))
	assert.Equal(t, []string{"bitbucket.properties"}, namesIn(t, filepath.Dir(file.path)))
	assert.Equal(t, []string{filepath.Base(copied)}, namesIn(t, backups))
	if runtime.GOOS != "windows" {
		mode := func(path string) fs.FileMode {
			info, err := os.Stat(path)
			require.NoError(t, err)
			return info.Mode().Perm()
		}
		assert.Equal(t, fs.FileMode(0o640), mode(file.path))
		assert.Equal(t, fs.FileMode(0o600), mode(copied))
		assert.Equal(t, fs.FileMode(0o700), mode(backups))
	}
}

func TestReplace_failedStepLeavesFile(t *testing.T) {
	all := steps(t)
	for _, name := range all {
		t.Run(name, func(t *testing.T) {
			broken := errors.New("broken")
			file, backups := openedFile(t)
			file.beforeStep = func(step string) error {
				if step == name {
					return broken
				}
				return nil
			}
			done, err := file.replace([]byte(newText), backups, time.Now())
			if slices.Index(all, name) > slices.Index(all, "rename") {
				assert.Equal(t, newText, content(t, file.path))
				assert.Equal(t, oldText, content(t, done.backup))
			}
			switch name {
			case "remove":
				require.NoError(t, err)
				assert.Contains(t, done.leftover, tempMark)
				return
			case "sync directory": // the file is replaced, but maybe not durably
				require.ErrorIs(t, err, broken)
				require.ErrorContains(t, err, done.backup)
				_, ok := errors.AsType[*unchangedError](err)
				assert.False(t, ok)
				assert.Equal(t, []string{"bitbucket.properties"},
					namesIn(t, filepath.Dir(file.path)), "no temporary file remains")
				return
			}
			require.ErrorIs(t, err, broken)
			assert.Empty(t, done.backup)
			assert.Equal(t, []string{"bitbucket.properties"}, namesIn(t, filepath.Dir(file.path)),
				"no temporary file remains")
			unchanged, ok := errors.AsType[*unchangedError](err)
			require.True(t, ok)
			assert.Contains(t, unchanged.Error(), "nothing was changed")
			assert.Equal(t, oldText, content(t, file.path))
			assert.Empty(t, namesIn(t, backups))
		})
	}
}

func TestReplace_explainsErrors(t *testing.T) {
	for _, row := range []struct {
		step string
		err  error
		says string
	}{
		{"create", &fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, "must be writable"},
		{"rename", &os.LinkError{Op: "rename", Err: syscall.EBUSY}, "is a mount point"},
		{"rename", &os.LinkError{Op: "rename", Err: syscall.EPERM}, "immutable"},
	} {
		file, backups := openedFile(t)
		file.beforeStep = func(s string) error {
			if s == row.step {
				return row.err
			}
			return nil
		}
		_, err := file.replace([]byte(newText), backups, time.Now())
		require.ErrorIs(t, err, row.err)
		assert.ErrorContains(t, err, row.says)
	}
}

func TestReplace_keepsConcurrentChange(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"written to": func(path string) error {
			return os.WriteFile(path, []byte("theirs"),
				0o600)
		},
		"replaced by one that says the same": func(path string) error {
			return errors.Join(os.WriteFile(path+"2", []byte(oldText), 0o600),
				os.Rename(path+"2", path))
		},
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			file, backups := openedFile(t)
			file.beforeStep = func(step string) error {
				if step == "compare" {
					return change(file.path)
				}
				return nil
			}
			_, err := file.replace([]byte(newText), backups, time.Now())
			kept := namesIn(t, backups)
			require.Len(t, kept, 1, "there may be no other copy")
			require.ErrorContains(t, err, kept[0])
			assert.Equal(t, oldText, content(t, filepath.Join(backups, kept[0])))
			for _, name := range namesIn(t, filepath.Dir(file.path)) {
				assert.NotEqual(t, newText,
					content(t, filepath.Join(filepath.Dir(file.path), name)))
			}
		})
	}
}
