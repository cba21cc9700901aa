//go:build unix && !linux

package set

// checkNotImmutable returns nil: it is implemented for Linux only.
func checkNotImmutable(_, _ string) error { return nil }
