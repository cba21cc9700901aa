//go:build !unix

package set

import (
	"context"
	"io/fs"
	"os"
)

// Windows has no such locks, owners and modes: a new file gets the permissions of
// its directory.

func lockFile(string) (release func(), locked bool, err error) { return func() {}, true, nil }

func copyOwner(*os.File, fs.FileInfo) error { return nil }

func copyMode(*os.File, fs.FileInfo) error { return nil }

func linkCount(fs.FileInfo) uint64 { return 1 }

func checkReplaceable(_, _ string, _ fs.FileInfo) error { return nil }

func withHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
