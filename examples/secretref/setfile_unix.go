//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockFile keeps other runs of the command from a file until release is called.
// A file system that has no locks is not asked for one.
func lockFile(path string) (release func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	// Who came first may have put another file there.
	held, err := f.Stat()
	if err == nil {
		var now fs.FileInfo
		if now, err = os.Stat(path); err == nil && !os.SameFile(held, now) {
			err = errors.New("somebody else has just replaced it: run this again")
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// keepOwner gives f the owner and group of another file.
func keepOwner(f *os.File, of fs.FileInfo) error {
	want, ok := of.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if have, ok := info.Sys().(*syscall.Stat_t); ok && have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
		return fmt.Errorf("the file belongs to %s and group %d, and only that user or root can leave it so: run as one of them: %w", owner(of), want.Gid, err)
	}
	return nil
}

func keepMode(f *os.File, of fs.FileInfo) error {
	return f.Chmod(of.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky))
}

// links returns how many names a file has.
func links(info fs.FileInfo) uint64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(stat.Nlink)
}

// replaceable reports, without changing anything, why a file could not be
// replaced.
func replaceable(path, dir string, info fs.FileInfo) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return whyNotIn(dir, &fs.PathError{Op: "access", Path: dir, Err: err})
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() != 0 && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("the file belongs to %s, and only that user or root can leave it so: run as one of them", owner(info))
	}
	return nil
}
