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

// Read returns the content of a regular file of at most maxSize bytes, regardless
// of its mode and owner. Its errors do not name the file. They are fault.NotFound,
// fault.Denied or fault.Unavailable if it cannot be read, and fault.Unsupported if
// it is not a regular file or too large.
func Read(path string, maxSize int) ([]byte, error) {
	f, err := openRegular(path, "it", os.O_RDONLY)
	if err != nil {
		if _, ok := errors.AsType[*fault.Error](err); ok {
			return nil, err
		}
		return nil, Unreadable(err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, int64(maxSize)+1))
	if err != nil {
		return nil, Unreadable(err)
	}
	if len(text) > maxSize {
		return nil, fault.New(fault.Unsupported, "the file is larger than %d MiB", maxSize>>20)
	}
	return text, nil
}

// Absent reports whether err says that a file does not exist, including when a file
// is where its directory should be.
func Absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err,
		syscall.ENOTDIR)
}

// Unreadable explains an error of the operating system from reading a file.
func Unreadable(err error) error {
	switch {
	case Absent(err):
		return fault.New(fault.NotFound, "the file does not exist").WithCause(fmt.Errorf("%w (%w)",
			fs.ErrNotExist, err))
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied,
			"this user may not read the file: run as the user of the product's service").WithCause(err)
	}
	return fault.New(fault.Unavailable, "the file cannot be read").WithCause(err)
}
