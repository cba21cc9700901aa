//go:build !linux

package main

import "errors"

// exchange would swap two files in one step.
func exchange(_, _ string) error { return errors.ErrUnsupported }

// renameNew would rename a file to a name that none has, in one step.
func renameNew(_, _ string) error { return errors.ErrUnsupported }
