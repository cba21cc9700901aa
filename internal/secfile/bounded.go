// Package smallfile reads files that people write: regular ones, of a size that
// fits into memory.
package secfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/seed74218947/secretref/internal/fault"
)

// Read returns what is in a file of at most that many bytes. It is
// fault.NotFound, fault.Denied or fault.Unavailable if it cannot be read, and
// fault.Unsupported if it is no regular file or too large.
func Read(path string, most int) ([]byte, error) {
	// Asked before opening: to open a named pipe waits for its writer.
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, Unreadable(err)
	case info.IsDir():
		return nil, fault.New(fault.Unsupported, "it is a directory, not a file")
	case !info.Mode().IsRegular():
		return nil, fault.New(fault.Unsupported, "it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, Unreadable(err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return nil, Unreadable(err)
	}
	if len(text) > most {
		return nil, fault.New(fault.Unsupported, "the file is larger than %d MiB", most>>20)
	}
	return text, nil
}

// Absent reports whether err says that a file is not there, also because what
// should be its directory is a file.
func Absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// Unreadable returns the fault for an error of the operating system.
func Unreadable(err error) error {
	switch {
	case Absent(err):
		return fault.New(fault.NotFound, "the file does not exist").WithCause(fmt.Errorf("%w (%w)", fs.ErrNotExist, err))
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied, "the file cannot be read by this user: run as the user of the product's service").WithCause(err)
	}
	return fault.New(fault.Unavailable, "the file cannot be read").WithCause(err)
}
