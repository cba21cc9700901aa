//go:build !windows && (!unix || solaris || aix)

package flock

import (
	"errors"
	"os"
)

// Try knows no locks on this operating system.
func Try(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }

// Free has nothing to do.
func Free(*os.File) {}
