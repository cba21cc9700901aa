//go:build !windows && (!unix || solaris || aix)

package bolt

import (
	"errors"
	"os"
)

const (
	modes     = true
	openFlags = 0
)

func tryLock(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }

func unlock(*os.File) {}
