//go:build unix && !solaris && !illumos && !aix

package set

import (
	"errors"
	"os"
	"syscall"
)

// tryLock reports whether it got the lock of a file, which not every file system
// has. It fails if somebody else holds it.
func tryLock(f *os.File) (locked bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, errors.New("another \"secretref set\" is changing it")
	}
	return err == nil, nil
}
