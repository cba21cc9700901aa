//go:build !windows && (!unix || solaris || aix)

package flock

import (
	"errors"
	"os"
)

// Try returns an error: this operating system has no such locks.
func Try(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }

// Unlock does nothing.
func Unlock(*os.File) {}
