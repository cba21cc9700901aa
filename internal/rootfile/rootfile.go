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
	if err := os.Link(temporary, f.path); err != nil && !errors.Is(err, fs.ErrExist) {
		return false, failed(f.path, "written", err)
	}
	return true, synced(f.path)
}

// WriteNext writes the text of the root key that is to replace the present one.
func (f *File) WriteNext(text string) error {
	if err := private.Write(f.next(), text+"\n"); err != nil {
		return failed(f.next(), "written", err)
	}
	return synced(f.path)
}

// Adopt replaces the root key by the next one.
func (f *File) Adopt() error {
	if err := os.Rename(f.next(), f.path); err != nil {
		return failed(f.path, "replaced", err)
	}
	return synced(f.path)
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
