// Package rootfile keeps a root key in a file beside the database whose keys it
// wraps.
package rootkey

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/secfile"
)

// longest is how much of a file is read: many times a root key.
const longest = 1024

// File is the file of a root key, and the one that replaces it. Where its path
// is that of a symbolic link, both are where that leads, and the link stays.
type File struct{ path string }

// New returns the file at path, which need not exist.
func New(path string) *File { return &File{path} }

// Path returns where the file is.
func (f *File) Path() string { return f.path }

// target returns where the file is or would be.
func (f *File) target() (string, error) {
	path, err := secfile.Target(f.path)
	if err != nil {
		return "", secfile.Unresolved(f.path, err)
	}
	return path, nil
}

// next returns where the file is that replaces the one at target.
func next(target string) string { return target + ".new" }

// Read returns the root key, or fault.NotFound. fault.RootKey: it is not one.
func (f *File) Read() (*seal.Root, error) { return read(f.path) }

// ReadNext returns the root key that is to replace it, or fault.NotFound.
func (f *File) ReadNext() (*seal.Root, error) {
	target, err := f.target()
	if err != nil {
		return nil, err
	}
	return read(next(target))
}

func read(path string) (*seal.Root, error) {
	file, err := secfile.Open(path)
	if err != nil {
		return nil, failed(path, "read", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, longest))
	if err != nil {
		return nil, failed(path, "read", err)
	}
	root, err := seal.ParseRoot(string(text))
	if err != nil {
		return nil, fault.New(fault.RootKey, "%s: %s", path, "its content is not a root key (base64 of 32 random bytes)").WithCause(err)
	}
	return root, nil
}

// Make writes a new root key, unless there is one. It never replaces one, and
// one that others see is whole. Only one process may do so at a time. It reports
// whether it wrote one.
func (f *File) Make() (made bool, err error) {
	target, err := f.target()
	if err != nil {
		return false, err
	}
	if _, err := os.Lstat(target); err == nil {
		return false, nil
	}
	temporary := target + ".tmp"
	defer func() { _ = os.Remove(temporary) }()
	if err := secfile.Write(temporary, seal.NewRootText()+"\n"); err != nil {
		return false, failed(target, "written", err)
	}
	switch err := os.Link(temporary, target); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil: // some file systems have no links
		if err := os.Rename(temporary, target); err != nil {
			return false, failed(target, "written", err)
		}
	}
	return true, synced(target)
}

// WriteNext writes the text of the root key that is to replace the present one,
// in the place of any other that was to. Others see it whole or not at all.
func (f *File) WriteNext(text string) error {
	target, err := f.target()
	if err != nil {
		return err
	}
	temporary := next(target) + ".tmp"
	err = secfile.Write(temporary, text+"\n")
	if err == nil {
		err = os.Rename(temporary, next(target))
	}
	if err != nil {
		_ = os.Remove(temporary)
		return failed(next(target), "written", err)
	}
	return synced(target)
}

// Adopt replaces the root key by the next one.
func (f *File) Adopt() error {
	target, err := f.target()
	if err != nil {
		return err
	}
	err = os.Rename(next(target), target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = overwrite(target)
	}
	if err != nil {
		return failed(target, "replaced", err)
	}
	return synced(target)
}

// overwrite is for a file that cannot be renamed to, such as one that is mounted
// by itself into a container. The next key stays until the file has it.
func overwrite(target string) error {
	from, err := secfile.Open(next(target))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(from)
	_ = from.Close()
	if err != nil {
		return err
	}
	file, err := secfile.OpenRegular(target, os.O_WRONLY)
	if err != nil {
		return err
	}
	err = secfile.Check(file)
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.Write(text)
	}
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Remove(next(target))
}

// Drop removes the next root key.
func (f *File) Drop() error {
	target, err := f.target()
	if err != nil {
		return err
	}
	if err := os.Remove(next(target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(next(target), "removed", err)
	}
	return synced(target)
}

func synced(path string) error {
	if err := secfile.SyncDir(path); err != nil {
		return failed(path, "made to last", err)
	}
	return nil
}

func failed(path, what string, err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err // it says all
	}
	kind := fault.Unavailable
	switch {
	case errors.Is(err, syscall.ELOOP):
		kind = fault.Unsupported
	case errors.Is(err, fs.ErrNotExist):
		kind = fault.NotFound
	case errors.Is(err, fs.ErrPermission):
		kind = fault.Denied
	}
	return fault.New(kind, "%s cannot be %s: %s", path, what, reason(err)).WithCause(err)
}

// reason returns what the operating system said, without the path again.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err.Error()
	}
	return "the operating system refused"
}
