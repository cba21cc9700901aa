package set

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/seed74218947/secretref/internal/secfile"
)

// target is a file to be replaced.
type target struct {
	path string // with symbolic links resolved
	info fs.FileInfo
	text []byte

	release    func() // releases the lock
	lockFailed bool   // the file system has no locks

	// exchange atomically swaps two files, or returns errors.ErrUnsupported.
	exchange func(a, b string) error

	// beforeStep, if not nil, is called before each step that changes something. Its
	// error makes the step fail.
	beforeStep func(step string) error
}

// openTarget reads a file. To write it, it first locks the file against other runs of
// this command.
func openTarget(path string, write bool) (*target, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	t := &target{path: path, release: func() {}, exchange: exchangeFiles}
	if write {
		var locked bool
		if t.release, locked, err = lockFile(path); err != nil {
			return nil, err
		}
		t.lockFailed = !locked
	}
	if t.text, t.info, err = readFileInfo(path); err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

func readFileInfo(path string) ([]byte, fs.FileInfo, error) {
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

// step runs do unless beforeStep fails.
func (t *target) step(name string, do func() error) error {
	if t.beforeStep != nil {
		if err := t.beforeStep(name); err != nil {
			return err
		}
	}
	return do()
}

// unchangedError is a failure that left the file unchanged.
type unchangedError struct {
	err  error
	hint string // appended to the text
}

func (u *unchangedError) Error() string { return u.err.Error() + "; nothing was changed" + u.hint }
func (u *unchangedError) Unwrap() error { return u.err }

// replacement is the result of replacing a file.
type replacement struct {
	backup         string   // path of the copy of the old file
	lostAttributes []string // attributes that could not be copied
	overwritten    string   // path of a copy of what another process wrote meanwhile
	leftover       string   // path of the old file if it could not be removed
}

// replace copies the file to backupDir and replaces its content by text. If the
// process is killed at any point, the file has either its old content or all of text,
// with its owner and mode. After an error the file was replaced if the result names a
// backup.
func (t *target) replace(text []byte, backupDir string, now time.Time) (r replacement, err error) {
	done := false
	defer func() {
		if err != nil && !done {
			err = &unchangedError{err: err}
		}
	}()
	dir, name := filepath.Split(t.path)
	var tmp *os.File
	err = t.step("create", func() (err error) {
		tmp, err = createTemp(dir, name)
		return err
	})
	if err != nil {
		return r, explainDirError(dir, err)
	}
	defer func() {
		_ = tmp.Close()
		if !done {
			_ = os.Remove(tmp.Name())
		}
	}()
	// If the owner cannot be set, fail before there is a backup.
	if err := t.step("chown", func() error { return copyOwner(tmp, t.info) }); err != nil {
		return r, err
	}
	made, err := t.backup(backupDir, name, t.text, now)
	if err != nil {
		return r, err
	}
	defer func() {
		switch {
		case done:
		case t.checkUnchanged(t.path) == nil: // the backup is redundant
			_ = os.Remove(made)
		default:
			err = fmt.Errorf("%w; the old content is in %s", err, made)
		}
	}()
	var lost []string
	var theirs []byte
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"write", func() error { _, err := tmp.Write(text); return err }},
		// The mode comes last, since it activates the access control list, which may
		// have been inherited from the directory.
		{"attributes", func() (err error) { lost, err = copyAttributes(tmp, t.path); return err }},
		{"chmod", func() error { return copyMode(tmp, t.info) }},
		{"sync", tmp.Sync},
		{"close", tmp.Close},
		{"compare", func() error { return t.checkUnchanged(t.path) }},
		{"rename", func() (err error) { theirs, err = t.swap(tmp.Name()); return err }},
	} {
		if err := t.step(s.name, s.do); err != nil {
			if s.name == "rename" {
				err = explainReplaceError(t.path, err)
			}
			return r, err
		}
	}
	done = true
	r.backup, r.lostAttributes = made, lost
	if theirs != nil {
		if r.overwritten, err = t.backup(backupDir, name, theirs, now); err != nil {
			err = fmt.Errorf("another process wrote to %s while it was being replaced, and its "+
				"text is lost: %w", t.path, err)
		}
	}
	synced := t.step("sync directory", func() error { return secfile.SyncDir(t.path) })
	if synced != nil {
		synced = fmt.Errorf("%s was replaced, but may lose its new content if the machine "+
			"crashes now; the old content is in %s: %w", t.path, made, synced)
	}
	// After an exchange the temporary file is the old one.
	if removed := t.step("remove", func() error { return os.Remove(tmp.Name()) }); removed != nil &&
		!errors.Is(removed, fs.ErrNotExist) {
		r.leftover = tmp.Name()
	}
	_ = secfile.SyncDir(t.path)
	return r, errors.Join(err, synced)
}

// checkUnchanged returns an error unless path is still the file that was read, with
// the same content.
func (t *target) checkUnchanged(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	changed := errors.New("another process has changed it in the meantime: run this command again")
	if !os.SameFile(info, t.info) {
		return changed
	}
	text, _, err := readFileInfo(path)
	if err == nil && !bytes.Equal(text, t.text) {
		err = changed
	}
	return err
}

// swap replaces the target by the file tmp, and leaves the old file as tmp or removes
// it. If the old file has changed since it was read, swap undoes the replacement, or
// where it cannot, returns what another process wrote.
func (t *target) swap(tmp string) (theirs []byte, err error) {
	if release, _, err := lockFile(tmp); err == nil {
		defer release() // after the exchange this is the file that other runs would lock
	}
	err = t.exchange(tmp, t.path)
	if errors.Is(err, errors.ErrUnsupported) {
		return t.overwrite(tmp)
	}
	if err != nil {
		return nil, err
	}
	changed := t.checkUnchanged(tmp)
	if changed == nil {
		return nil, nil
	}
	if t.exchange(tmp, t.path) != nil && os.Rename(tmp, t.path) != nil {
		theirs, _, err = readFileInfo(tmp)
		return theirs, err
	}
	return nil, changed
}

// overwrite is swap for file systems that cannot exchange files: it keeps the old file
// open and reads it again after the rename.
func (t *target) overwrite(tmp string) (theirs []byte, err error) {
	if runtime.GOOS == "windows" { // an open file cannot be replaced
		return nil, os.Rename(tmp, t.path)
	}
	old, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	defer old.Close()
	if err := t.checkUnchanged(t.path); err != nil {
		return nil, err
	}
	if err := t.step("overwrite", func() error { return os.Rename(tmp, t.path) }); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(old)
	if err != nil || bytes.Equal(text, t.text) {
		return nil, nil
	}
	return text, nil
}

// explainDirError explains why no file can be created in a directory.
func explainDirError(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("the file is replaced as a whole, so its directory %s must be "+
			"writable: %w", dir, err)
	}
	return err
}

// explainReplaceError explains why a file cannot be replaced.
func explainReplaceError(path string, err error) error {
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%s cannot be replaced, probably because the file itself is a mount "+
			"point: change its source, or mount its directory instead: %w", path, err)
	}
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%s cannot be replaced: is it immutable or append-only (see lsattr; "+
			"remove with chattr -i or -a)? %w", path, err)
	}
	return err
}
