//go:build unix && !solaris && !aix

package flock

import (
	"os"
	"syscall"
)

// Try takes the lock of a file, unless somebody else has it. It lasts until the
// file is closed. On Unix it is the one that bbolt takes, which therefore gets
// it, too.
func Try(f *os.File, exclusive bool) (bool, error) {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	for {
		switch err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err {
		case nil:
			return true, nil
		case syscall.EWOULDBLOCK:
			return false, nil
		case syscall.EINTR:
		default:
			return false, err
		}
	}
}

// Free frees the lock of a file that is still mapped, which keeps it locked
// even after it was closed.
func Free(f *os.File) {
	leavePlace(f, placeNext)
	leavePlace(f, placeInside)
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
}
