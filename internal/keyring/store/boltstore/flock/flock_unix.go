//go:build unix && !solaris && !aix

package flock

import (
	"os"
	"syscall"
)

// Try takes the lock of a file if it is free, and reports whether it did. The lock lasts
// until the file is closed. On Unix it is the same lock that bbolt takes on the same
// open file.
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

// Unlock releases the lock of a file that is still mapped. The mapping would keep the
// lock after the file is closed.
func Unlock(f *os.File) {
	leaveSlot(f, slotNext)
	leaveSlot(f, slotCurrent)
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
}
