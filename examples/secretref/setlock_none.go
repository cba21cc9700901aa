//go:build solaris || illumos || aix

package main

import "os"

func tryLock(*os.File) error { return nil }
