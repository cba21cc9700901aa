//go:build unix && !solaris && !aix

package bolt

import (
	"os"
	"syscall"
)

const (
	modes     = true
	openFlags = syscall.O_NONBLOCK // so that a pipe is opened, and refused, instead of waited for
)

// tryLock takes a lock that lasts until the file is closed, unless somebody
// else has it. It is the one that bbolt uses, which therefore gets it, too.
func tryLock(f *os.File, exclusive bool) (bool, error) {
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

// unlock frees the lock although the file may stay mapped, which would keep it
// locked even after it was closed.
func unlock(f *os.File) {
	leavePlaces(f)
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
}
