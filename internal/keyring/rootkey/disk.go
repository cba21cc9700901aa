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

// maxFileSize limits how much of a file is read: many times a root key.
const maxFileSize = 1024

// target returns the path of the file itself, after symbolic links.
func (f *File) target() (string, error) {
	path, err := secfile.Target(f.path)
	if err != nil {
		return "", secfile.Unresolved(f.path, err)
	}
	return path, nil
}

// nextPath returns the path of the file that will replace target.
func nextPath(target string) string { return target + ".new" }

// Read returns the root key. It returns fault.NotFound if there is no file, and
// fault.RootKey if its content is not a root key.
func (f *File) Read() (*seal.Root, error) { return read(f.path) }

// ReadNext returns the next root key, or fault.NotFound.
func (f *File) ReadNext() (*seal.Root, error) {
	target, err := f.target()
	if err != nil {
		return nil, err
	}
	return read(nextPath(target))
}

func read(path string) (*seal.Root, error) {
	file, err := secfile.Open(path)
	if err != nil {
		return nil, ioError(path, "read", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxFileSize))
	if err != nil {
		return nil, ioError(path, "read", err)
	}
	root, err := seal.ParseRoot(string(text))
	if err != nil {
		return nil, fault.New(fault.RootKey,
			"the content of %s is not a root key (base64 of 32 random bytes)", path).WithCause(err)
	}
	return root, nil
}

// Create writes a new root key and reports true, unless the file exists. Readers
// see a complete file. Only one process may call Create at a time.
func (f *File) Create() (created bool, err error) {
	target, err := f.target()
	if err != nil {
		return false, err
	}
	if _, err := os.Lstat(target); err == nil {
		return false, nil
	}
	tmp := target + ".tmp"
	defer func() { _ = os.Remove(tmp) }()
	if err := secfile.Write(tmp, seal.NewRootText()+"\n"); err != nil {
		return false, ioError(target, "written", err)
	}
	switch err := secfile.Publish(tmp, target); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, ioError(target, "written", err)
	}
	return true, syncDir(target)
}

// WriteNext writes the text of the next root key. It replaces an earlier one.
// Readers see a complete file or none.
func (f *File) WriteNext(text string) error {
	target, err := f.target()
	if err != nil {
		return err
	}
	next := nextPath(target)
	tmp := next + ".tmp"
	err = secfile.Write(tmp, text+"\n")
	if err == nil {
		err = os.Rename(tmp, next)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return ioError(next, "written", err)
	}
	return syncDir(target)
}

// AdoptNext replaces the root key by the next one.
func (f *File) AdoptNext() error {
	target, err := f.target()
	if err != nil {
		return err
	}
	err = os.Rename(nextPath(target), target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = overwrite(target)
	}
	if err != nil {
		return ioError(target, "replaced", err)
	}
	return syncDir(target)
}

// overwrite writes the next root key into a file that cannot be replaced by a
// rename, for example because it is a mount of its own in a container. The next
// file is removed only after the content is on disk.
func overwrite(target string) error {
	from, err := secfile.Open(nextPath(target))
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
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Remove(nextPath(target))
}

// RemoveNext removes the next root key.
func (f *File) RemoveNext() error {
	target, err := f.target()
	if err != nil {
		return err
	}
	if err := os.Remove(nextPath(target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ioError(nextPath(target), "removed", err)
	}
	return syncDir(target)
}

func syncDir(path string) error {
	if err := secfile.SyncDir(path); err != nil {
		return ioError(path, "synced", err)
	}
	return nil
}

// ioError explains an error of the operating system. Errors that package secfile
// has explained are returned as they are.
func ioError(path, what string, err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
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

// reason returns the message of the operating system without the path.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err.Error()
	}
	return "the operating system refused"
}
