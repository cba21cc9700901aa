//go:build !unix

package main

import (
	"context"
	"io/fs"
	"os"
)

// Windows has no such locks, owners and modes: what is created in a directory
// gets the directory's permissions.

func lockFile(string) (release func(), locked bool, err error) { return func() {}, true, nil }

func keepOwner(*os.File, fs.FileInfo) error { return nil }

func keepMode(*os.File, fs.FileInfo) error { return nil }

func links(fs.FileInfo) uint64 { return 1 }

func replaceable(_, _ string, _ fs.FileInfo) error { return nil }

func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
