package set

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// checkNotImmutable returns an error if the kernel would refuse to replace a file. Not
// every kernel and file system can tell.
func checkNotImmutable(path, dir string) error {
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS,
		&stat); err != nil {
		return nil
	}
	switch {
	case stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return explainReplaceError(path, syscall.EBUSY)
	case stat.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0:
		return explainReplaceError(path, syscall.EPERM)
	}
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_BASIC_STATS, &stat); err == nil &&
		stat.Attributes&unix.STATX_ATTR_APPEND != 0 {
		return fmt.Errorf("the directory %s is append-only (chattr +a), but the file is replaced "+
			"as a whole", dir)
	}
	return nil
}
