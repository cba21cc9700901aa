//go:build !linux && !darwin && !windows

package bolt

// networkAt does not know the file systems of this operating system.
func networkAt(string) (string, error) { return "", nil }
