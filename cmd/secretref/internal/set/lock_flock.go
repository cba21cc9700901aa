//go:build unix && !solaris && !illumos && !aix

package set

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks a file, or reports false if the file system has no locks. It returns
// an error if another process holds the lock.
func tryLock(f *os.File) (locked bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, errors.New("another \"secretref set\" is changing the file")
	}
	return err == nil, nil
}
