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

// backup writes a text into a file of its own, which is there as a whole or not
// at all, and reads it back.
func (t *target) backup(dir, name string, text []byte, now time.Time) (path string, err error) {
	failed := func(err error) (string, error) {
		return "", fmt.Errorf("the backup cannot be made: %w", err)
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
		{"backup name", func() (err error) { path, err = renameUnique(tmp.Name(), filepath.Join(dir, name), now); return err }},
		{"backup sync directory", func() error { return secfile.SyncDir(path) }},
		{"backup read", func() error {
			again, _, err := readFileInfo(path)
			if err == nil && !bytes.Equal(again, text) {
				err = errors.New("it does not hold what was written")
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

// renameUnique gives a file the name base with a time, which no other has.
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

// linkNoReplace renames a file to a name that none has. Killed half-way it leaves both
// names, of which sweep removes the old one.
func linkNoReplace(from, path string) error {
	err := os.Link(from, path)
	switch {
	case err == nil:
		return os.Remove(from)
	case errors.Is(err, fs.ErrExist):
		return err
	}
	// Not every file system has links.
	if _, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(from, path)
	}
	if err == nil {
		err = fs.ErrExist
	}
	return err
}

// isInHome reports whether a directory is in that of the product whose file it
// is.
func isInHome(dir, file string) bool {
	home := filepath.Dir(file)
	if name := filepath.Base(home); name == "shared" || name == "shared-home" {
		home = filepath.Dir(home)
	}
	rel, err := filepath.Rel(resolveLinks(home), resolveLinks(dir))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// resolveLinks resolves the symbolic links in a path of which a part need not be
// there yet.
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
