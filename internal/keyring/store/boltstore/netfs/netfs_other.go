//go:build !linux && !darwin && !windows

package netfs

// At returns "": file systems are not recognized on this operating system.
func At(string) (string, error) { return "", nil }
