//go:build !linux

package flock

import "os"

// Holder returns "": this operating system does not tell which process holds a lock.
func Holder(*os.File) string { return "" }
