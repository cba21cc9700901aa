//go:build !unix

package main

import (
	"io/fs"
	"os"
)

// Windows has no such locks, owners and modes: what is created in a directory
// gets the directory's permissions.

func lockFile(string) (release func(), err error) { return func() {}, nil }

func keepOwner(*os.File, fs.FileInfo) error { return nil }

func keepMode(*os.File, fs.FileInfo) error { return nil }

func links(fs.FileInfo) uint64 { return 1 }

func replaceable(_, _ string, _ fs.FileInfo) error { return nil }
