package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed74218947/secretref/internal/private"
)

// target is a file that is to be replaced.
type target struct {
	path string // no symbolic link
	info fs.FileInfo
	text []byte

	release func()

	// before is told of each step that changes something, and can make it fail.
	// Nil: nobody is.
	before func(step string) error
}

// openTarget reads a file, and if it is to be written makes sure that nobody
// else does this at the same time.
func openTarget(path string, write bool) (*target, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	t := &target{path: path, release: func() {}}
	if write {
		if t.release, err = lockFile(path); err != nil {
			return nil, err
		}
	}
	if t.text, t.info, err = readWhole(path); err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

func readWhole(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(f)
	return text, info, err
}

// step does one thing, unless before says no.
func (t *target) step(name string, do func() error) error {
	if t.before != nil {
		if err := t.before(name); err != nil {
			return err
		}
	}
	return do()
}

// temporaryMark is in the names of files that are not finished.
const temporaryMark = ".secretref-"

// temporary makes a file beside the one it will become. Only we can open it.
func temporary(dir, name string) (*os.File, error) {
	sweep(dir, name)
	return os.CreateTemp(dir, "."+name+temporaryMark+"*")
}

// sweep removes what killed runs have left behind, for it may hold a password.
func sweep(dir, name string) {
	left, _ := filepath.Glob(filepath.Join(globQuoted(dir), globQuoted("."+name+temporaryMark)+"*"))
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(path)
		}
	}
}

func globQuoted(path string) string {
	if filepath.Separator == '\\' { // Windows quotes nothing, and forbids * and ?
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// unchangedError is a failure after which the file is what it was.
type unchangedError struct{ err error }

func (e *unchangedError) Error() string { return e.err.Error() + "; nothing was changed" }
func (e *unchangedError) Unwrap() error { return e.err }

// replace puts text in the place of what the file holds, which it first copies
// into a directory. Whenever it ends, even by being killed, the file is either
// what it was or all of text, with its owner and mode. It returns the path of
// the copy, and what of the file's attributes could not be kept.
func (t *target) replace(text []byte, backupDir string, now time.Time) (copied string, lost []string, err error) {
	done := false
	defer func() {
		if err != nil && !done {
			err = &unchangedError{err}
		}
	}()
	dir, name := filepath.Split(t.path)
	var tmp *os.File
	err = t.step("create", func() (err error) {
		tmp, err = temporary(dir, name)
		return err
	})
	if err != nil {
		return "", nil, whyNotIn(dir, err)
	}
	defer func() {
		_ = tmp.Close()
		if !done {
			_ = os.Remove(tmp.Name())
		}
	}()
	// Who may not give the file its owner finds out before there is a copy.
	if err := t.step("chown", func() error { return keepOwner(tmp, t.info) }); err != nil {
		return "", nil, err
	}
	made, err := t.backup(backupDir, name, now)
	if err != nil {
		return "", nil, err
	}
	defer func() {
		switch {
		case done:
		case t.unchanged() == nil: // the copy has what the file has
			_ = os.Remove(made)
		default:
			err = fmt.Errorf("%w; %s has what the file was", err, made)
		}
	}()
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"write", func() error { _, err := tmp.Write(text); return err }},
		{"chmod", func() error { return keepMode(tmp, t.info) }},
		{"attributes", func() error { lost = keepAttributes(tmp, t.path); return nil }},
		{"sync", tmp.Sync},
		{"close", tmp.Close},
		{"compare", t.unchanged},
		{"rename", func() error { return os.Rename(tmp.Name(), t.path) }},
	} {
		if err := t.step(s.name, s.do); err != nil {
			return "", nil, whyNotReplaced(t.path, err)
		}
	}
	done = true
	if err := t.step("sync directory", func() error { return private.SyncDir(t.path) }); err != nil {
		return made, lost, fmt.Errorf("%s has its new content, but may lose it if the machine fails now: %w", t.path, err)
	}
	return made, lost, nil
}

// unchanged makes sure that the file is still the one that was read.
func (t *target) unchanged() error {
	text, info, err := readWhole(t.path)
	if err != nil {
		return err
	}
	if !os.SameFile(info, t.info) || !bytes.Equal(text, t.text) {
		return errors.New("somebody else has changed it meanwhile: run this again")
	}
	return nil
}

// backup copies what was read into a file of its own, which is there as a whole
// or not at all, and reads it back.
func (t *target) backup(dir, name string, now time.Time) (path string, err error) {
	failed := func(err error) (string, error) {
		return "", fmt.Errorf("the backup cannot be made: %w", err)
	}
	err = t.step("backup directory", func() error {
		err := os.MkdirAll(dir, 0o700)
		_ = private.SyncDir(dir)
		return err
	})
	if err != nil {
		return failed(err)
	}
	var tmp *os.File
	err = t.step("backup create", func() (err error) {
		tmp, err = temporary(dir, name)
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
		{"backup write", func() error { _, err := tmp.Write(t.text); return err }},
		{"backup sync", tmp.Sync},
		{"backup close", tmp.Close},
		{"backup name", func() (err error) { path, err = nameUniquely(tmp.Name(), filepath.Join(dir, name), now); return err }},
		{"backup sync directory", func() error { return private.SyncDir(path) }},
		{"backup read", func() error {
			text, _, err := readWhole(path)
			if err == nil && !bytes.Equal(text, t.text) {
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

// nameUniquely gives a file the name base with a time, which no other has.
func nameUniquely(from, base string, now time.Time) (string, error) {
	for {
		path := base + "." + now.UTC().Format("20060102T150405.000Z")
		err := os.Link(from, path)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			// Not every file system has links.
			if _, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
				return path, os.Rename(from, path)
			}
			if err == nil {
				err = fs.ErrExist
			}
		}
		if !errors.Is(err, fs.ErrExist) {
			return path, err
		}
		now = now.Add(time.Millisecond)
	}
}

// whyNotIn says why a directory takes no file.
func whyNotIn(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("the file is replaced as a whole, for which its directory %s must be writable: %w", dir, err)
	}
	return err
}

// whyNotReplaced says why a file cannot be replaced.
func whyNotReplaced(path string, err error) error {
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%s cannot be replaced, as it seems because it is mounted by itself: change it where it comes from, or mount its directory: %w", path, err)
	}
	return err
}

// inHome reports whether a directory is in that of the product whose file it
// is.
func inHome(dir, file string) bool {
	home := filepath.Dir(file)
	if name := filepath.Base(home); name == "shared" || name == "shared-home" {
		home = filepath.Dir(home)
	}
	rel, err := filepath.Rel(realPath(home), realPath(dir))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// realPath resolves the symbolic links in a path of which a part need not be
// there yet.
func realPath(path string) string {
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
