//go:build !linux

package set

import "errors"

// exchangeFiles is not supported: it needs renameat2.
func exchangeFiles(_, _ string) error { return errors.ErrUnsupported }

// renameNoReplace is not supported: it needs renameat2.
func renameNoReplace(_, _ string) error { return errors.ErrUnsupported }
