//go:build solaris || illumos || aix

package set

import "os"

// tryLock never locks: these systems have no flock.
func tryLock(*os.File) (locked bool, err error) { return false, nil }
