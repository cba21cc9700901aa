// Package rootfile keeps a root key in a file beside the database whose keys it
// wraps.
package rootfile

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/private"
	"github.com/seed74218947/secretref/internal/seal"
)

// longest is how much of a file is read: many times a root key.
const longest = 1024

// File is the file of a root key, and the one that replaces it.
type File struct{ path string }

// New returns the file at path, which need not exist.
func New(path string) *File { return &File{path} }

// Path returns where the file is.
func (f *File) Path() string { return f.path }

func (f *File) next() string { return f.path + ".new" }

// Read returns the root key, or fault.NotFound. fault.RootKey: it is not one.
func (f *File) Read() (*seal.Root, error) { return read(f.path) }

// ReadNext returns the root key that is to replace it, or fault.NotFound.
func (f *File) ReadNext() (*seal.Root, error) { return read(f.next()) }

func read(path string) (*seal.Root, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // a pipe would block
		return nil, fault.New(fault.Unsupported, "%s is not a file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, failed(path, "read", err)
	}
	defer func() { _ = file.Close() }()
	if err := private.Check(file); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, longest))
	if err != nil {
		return nil, failed(path, "read", err)
	}
	root, err := seal.ParseRoot(string(text))
	if err != nil {
		return nil, fault.New(fault.RootKey, "%s: %s", path, "its content is not a root key (base64 of 32 random bytes)").Because(err)
	}
	return root, nil
}

// Make writes a new root key, unless there is one. It never replaces one, and
// one that others see is whole. Only one process may do so at a time. It reports
// whether it wrote one.
func (f *File) Make() (made bool, err error) {
	if _, err := os.Stat(f.path); err == nil {
		return false, nil
	}
	temporary := f.path + ".tmp"
	defer func() { _ = os.Remove(temporary) }()
	if err := private.Write(temporary, seal.NewRootText()+"\n"); err != nil {
		return false, failed(f.path, "written", err)
	}
	switch err := os.Link(temporary, f.path); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil: // some file systems have no links
		if err := os.Rename(temporary, f.path); err != nil {
			return false, failed(f.path, "written", err)
		}
	}
	return true, synced(f.path)
}

// WriteNext writes the text of the root key that is to replace the present one,
// in the place of any other that was to. Others see it whole or not at all.
func (f *File) WriteNext(text string) error {
	temporary := f.next() + ".tmp"
	err := private.Write(temporary, text+"\n")
	if err == nil {
		err = os.Rename(temporary, f.next())
	}
	if err != nil {
		_ = os.Remove(temporary)
		return failed(f.next(), "written", err)
	}
	return synced(f.path)
}

// Adopt replaces the root key by the next one.
func (f *File) Adopt() error {
	err := os.Rename(f.next(), f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = f.overwrite()
	}
	if err != nil {
		return failed(f.path, "replaced", err)
	}
	return synced(f.path)
}

// overwrite is for a file that cannot be renamed to, such as one that is mounted
// by itself into a container. The next key stays until the file has it.
func (f *File) overwrite() error {
	text, err := os.ReadFile(f.next())
	if err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_TRUNC, private.Mode)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Remove(f.next())
}

// Drop removes the next root key.
func (f *File) Drop() error {
	if err := os.Remove(f.next()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(f.next(), "removed", err)
	}
	return synced(f.path)
}

func synced(path string) error {
	if err := private.SyncDir(path); err != nil {
		return failed(path, "made to last", err)
	}
	return nil
}

func failed(path, what string, err error) error {
	kind := fault.Unavailable
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = fault.NotFound
	case errors.Is(err, fs.ErrPermission):
		kind = fault.Denied
	}
	return fault.New(kind, "%s cannot be %s: %s", path, what, reason(err)).Because(err)
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
