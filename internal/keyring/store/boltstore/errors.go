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

// Errors about what is in the file do not say which file it is until located
// has seen them, once.

func corrupt(format string, args ...any) error { return fault.New(fault.Corrupt, format, args...) }

// errForeign is what is said of a file that holds something else than a keyring.
var errForeign error = fault.New(fault.Corrupt, "it is not a keyring")

// foreign says so, and what can be done.
func (s *Store) foreign() error {
	return fault.New(fault.Corrupt, "%q is not a keyring: give the path of one, or one where there is no file yet to make a new one; if it was a keyring, restore a backup", s.path)
}

// unfinished returns an error once ctx has ended.
func unfinished(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "the call was given up").WithCause(err)
	}
	return nil
}

// located says which file it is.
func (s *Store) located(err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	switch {
	case !ok:
		return err
	case errors.Is(err, errForeign):
		return s.foreign()
	case e.Kind == fault.Corrupt:
		return fault.New(fault.Corrupt, "%q is damaged: %s: restore a backup", s.path, e.Text).WithCause(err)
	case e.Kind == fault.Unavailable, e.Kind == fault.Unsupported:
		return fault.New(e.Kind, "%q: %s", s.path, e.Text).WithCause(err)
	}
	return err
}

// unopened explains why a file could not be opened or made at path.
func unopened(path string, err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err // it says all
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
		return fault.New(fault.NotFound, "%q leads through something that is not a directory", path)
	case errors.Is(err, syscall.EISDIR):
		return fault.New(fault.Unsupported, "%q is a directory", path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.New(fault.Denied, "%q cannot be opened%s", path, reason(err)).WithCause(err)
	}
	return fault.New(fault.Unavailable, "%q cannot be opened%s", path, reason(err)).WithCause(err)
}

// unwritten explains why a change was not made. What bbolt says of a full disk
// is not always an errno any more.
func unwritten(err error) error {
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return fault.New(fault.Unavailable, "there is no space for the change (%s); all is as it was", full).WithCause(err)
		}
	}
	return fault.New(fault.Unavailable, "it could not be written%s", reason(err)).WithCause(err)
}

// reason is what the operating system says.
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Sprintf(" (%s)", errno.Error())
	}
	return ""
}
