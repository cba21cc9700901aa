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

// target is a file that is to be replaced.
type target struct {
	path string // no symbolic link
	info fs.FileInfo
	text []byte

	release    func()
	lockFailed bool // it was to be locked, and could not be

	// exchange swaps two files. Its error is errors.ErrUnsupported where that
	// cannot be done in one step.
	exchange func(a, b string) error

	// beforeStep is told of each step that changes something, and can make it fail.
	// Nil: nobody is.
	beforeStep func(step string) error
}

// openTarget reads a file, and if it is to be written makes sure that nobody
// else does this at the same time.
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

// step does one thing, unless before says no.
func (t *target) step(name string, do func() error) error {
	if t.beforeStep != nil {
		if err := t.beforeStep(name); err != nil {
			return err
		}
	}
	return do()
}

// unchangedError is a failure after which the file is what it was.
type unchangedError struct{ err error }

func (e *unchangedError) Error() string { return e.err.Error() + "; nothing was changed" }
func (e *unchangedError) Unwrap() error { return e.err }

// replacement tells how a file was replaced.
type replacement struct {
	backup         string   // where is what the file was
	lostAttributes []string // its attributes that could not be kept
	overwritten    string   // where is what somebody else wrote while it was replaced
	leftover       string   // what the file was, and could not be removed
}

// replace puts text in the place of what the file holds, which it first copies
// into a directory. Whenever it ends, even by being killed, the file is either
// what it was or all of text, with its owner and mode. If there is a copy after
// an error, the file was replaced.
func (t *target) replace(text []byte, backupDir string, now time.Time) (r replacement, err error) {
	done := false
	defer func() {
		if err != nil && !done {
			err = &unchangedError{err}
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
	// Who may not give the file its owner finds out before there is a copy.
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
		case t.checkUnchanged(t.path) == nil: // the copy has what the file has
			_ = os.Remove(made)
		default:
			err = fmt.Errorf("%w; %s has what the file was", err, made)
		}
	}()
	var lost []string
	var theirs []byte
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"write", func() error { _, err := tmp.Write(text); return err }},
		// The mode comes last, for it opens what an access control list allows,
		// which may be the one of the directory.
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
			err = fmt.Errorf("somebody else wrote to %s while it was replaced, and that is lost: %w", t.path, err)
		}
	}
	synced := t.step("sync directory", func() error { return secfile.SyncDir(t.path) })
	if synced != nil {
		synced = fmt.Errorf("%s has its new content, but may lose it if the machine fails now; what it was is in %s: %w", t.path, made, synced)
	}
	// Where files were exchanged it is what the file was.
	if removed := t.step("remove", func() error { return os.Remove(tmp.Name()) }); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
		r.leftover = tmp.Name()
	}
	_ = secfile.SyncDir(t.path)
	return r, errors.Join(err, synced)
}

// checkUnchanged makes sure that what is at path is still the file that was read.
func (t *target) checkUnchanged(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	changed := errors.New("somebody else has changed it meanwhile: run this again")
	if !os.SameFile(info, t.info) {
		return changed
	}
	text, _, err := readFileInfo(path)
	if err == nil && !bytes.Equal(text, t.text) {
		err = changed
	}
	return err
}

// swap puts a file in the place of the target, whose own it leaves in the place
// of that one or removes. If what it replaced is not what was read it undoes
// this, or where it cannot, returns what somebody else wrote.
func (t *target) swap(tmp string) (theirs []byte, err error) {
	if release, _, err := lockFile(tmp); err == nil {
		defer release() // from the exchange on it is what others would lock
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

// overwrite is swap where files cannot be exchanged: it keeps hold of the old
// one and looks at it again.
func (t *target) overwrite(tmp string) (theirs []byte, err error) {
	if runtime.GOOS == "windows" { // which replaces no file that is open
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

// explainDirError says why a directory takes no file.
func explainDirError(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("the file is replaced as a whole, for which its directory %s must be writable: %w", dir, err)
	}
	return err
}

// explainReplaceError says why a file cannot be replaced.
func explainReplaceError(path string, err error) error {
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%s cannot be replaced, as it seems because it is mounted by itself: change it where it comes from, or mount its directory: %w", path, err)
	}
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%s cannot be replaced: is it immutable or append-only (lsattr shows it, chattr -i or -a takes it away)? %w", path, err)
	}
	return err
}
