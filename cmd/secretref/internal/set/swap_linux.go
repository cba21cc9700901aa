package set

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// exchangeFiles atomically swaps two files.
func exchangeFiles(a, b string) error { return renameat2(a, b, unix.RENAME_EXCHANGE) }

// renameNoReplace atomically renames a file and fails if the new name exists.
func renameNoReplace(from, to string) error { return renameat2(from, to, unix.RENAME_NOREPLACE) }

// renameat2 returns errors.ErrUnsupported if the kernel or the file system does not
// support the flags.
func renameat2(from, to string, flags uint) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
}
