package set

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed74218947/secretref/internal/secfile"
)

// backup writes text to a new file in dir, completely or not at all, and verifies it
// by reading it back.
func (t *target) backup(dir, name string, text []byte, now time.Time) (path string, err error) {
	failed := func(err error) (string, error) {
		return "", fmt.Errorf("cannot create the backup: %w", err)
	}
	err = t.step("backup directory", func() error {
		err := os.MkdirAll(dir, 0o700)
		_ = secfile.SyncDir(dir)
		return err
	})
	if err != nil {
		return failed(err)
	}
	var tmp *os.File
	err = t.step("backup create", func() (err error) {
		tmp, err = createTemp(dir, name)
		return err
	})
	if err != nil {
		return failed(err)
	}
	defer func() {
		_ = tmp.Close()
		_ = os.Remove(tmp.Name())
	}()
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"backup write", func() error { _, err := tmp.Write(text); return err }},
		{"backup sync", tmp.Sync},
		{"backup close", tmp.Close},
		{"backup name", func() (err error) {
			path,
				err = renameUnique(tmp.Name(), filepath.Join(dir, name), now)
			return err
		}},
		{"backup sync directory", func() error { return secfile.SyncDir(path) }},
		{"backup read", func() error {
			again, _, err := readFileInfo(path)
			if err == nil && !bytes.Equal(again, text) {
				err = errors.New("its content differs from the written content")
			}
			return err
		}},
	} {
		if err := t.step(s.name, s.do); err != nil {
			if path != "" {
				_ = os.Remove(path)
			}
			return failed(err)
		}
	}
	return path, nil
}

// renameUnique renames a file to base with a time appended, without replacing another
// file.
func renameUnique(from, base string, now time.Time) (string, error) {
	for {
		path := base + "." + now.UTC().Format("20060102T150405.000Z")
		err := renameNoReplace(from, path)
		if errors.Is(err, errors.ErrUnsupported) {
			err = linkNoReplace(from, path)
		}
		if !errors.Is(err, fs.ErrExist) {
			return path, err
		}
		now = now.Add(time.Millisecond)
	}
}

// linkNoReplace is renameNoReplace by a hard link. If killed halfway it leaves both
// names; cleanTempFiles removes the old one.
func linkNoReplace(from, path string) error {
	err := os.Link(from, path)
	switch {
	case err == nil:
		return os.Remove(from)
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// Not every file system has hard links.
	if _, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(from, path)
	}
	if err == nil {
		err = fs.ErrExist
	}
	return err
}

// isInHome reports whether a directory is inside the home directory of the product
// that the file belongs to.
func isInHome(dir, file string) bool {
	home := filepath.Dir(file)
	if name := filepath.Base(home); name == "shared" || name == "shared-home" {
		home = filepath.Dir(home)
	}
	rel, err := filepath.Rel(resolveLinks(home), resolveLinks(dir))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// resolveLinks resolves symbolic links in a path whose last parts need not exist.
func resolveLinks(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	for there, rest := path, ""; ; {
		if real, err := filepath.EvalSymlinks(there); err == nil {
			return filepath.Join(real, rest)
		}
		up := filepath.Dir(there)
		if up == there {
			return path
		}
		there, rest = up, filepath.Join(filepath.Base(there), rest)
	}
}
