package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/secfile"
)

// Errors about the content of the file do not name the file. withFile adds its name.

func corrupt(format string, args ...any) error { return fault.New(fault.Corrupt, format, args...) }

// errNotKeyring is the error for a file that holds something else.
var errNotKeyring error = fault.New(fault.Corrupt, "it is not a keyring")

// notKeyringError returns errNotKeyring with the name of the file and what to do.
func (s *Store) notKeyringError() error {
	return fault.New(fault.Corrupt,
		"%q is not a keyring: give the path of a keyring, or of no existing file to create one; "+
			"if it was a keyring, restore a backup", s.path)
}

// checkContext returns an error if ctx has ended.
func checkContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "the context of the call ended").WithCause(err)
	}
	return nil
}

// withFile adds the name of the file to an error.
func (s *Store) withFile(err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	switch {
	case !ok:
		return err
	case errors.Is(err, errNotKeyring):
		return s.notKeyringError()
	case e.Kind == fault.Corrupt:
		return fault.New(fault.Corrupt, "%q is damaged: %s: restore a backup", s.path,
			e.Text).WithCause(err)
	case e.Kind == fault.Unavailable, e.Kind == fault.Unsupported:
		return fault.New(e.Kind, "%q: %s", s.path, e.Text).WithCause(err)
	}
	return err
}

// openError explains why the file at path could not be opened or created.
func openError(path string, err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, syscall.ELOOP):
		return secfile.Unresolved(path, err)
	case errors.Is(err, fs.ErrNotExist):
		if _, err := secfile.Target(path); err != nil {
			return secfile.Unresolved(path, err)
		}
		return store.ErrEmpty
	case errors.Is(err, syscall.ENOTDIR):
		return fault.New(fault.NotFound, "a part of the path %q is not a directory", path)
	case errors.Is(err, syscall.EISDIR):
		return fault.New(fault.Unsupported, "%q is a directory", path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.New(fault.Denied, "%q cannot be opened%s", path, reason(err)).WithCause(err)
	}
	return fault.New(fault.Unavailable, "%q cannot be opened%s", path, reason(err)).WithCause(err)
}

// writeError explains why a change was not written. When the disk is full, the error
// of bbolt does not always wrap the errno.
func writeError(err error) error {
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return fault.New(fault.Unavailable, "there is no space for the change (%s); nothing was changed",
				full).WithCause(err)
		}
	}
	return fault.New(fault.Unavailable, "it could not be written%s", reason(err)).WithCause(err)
}

// reason returns the message of the operating system in parentheses, or "".
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Sprintf(" (%s)", errno.Error())
	}
	return ""
}
