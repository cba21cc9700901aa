// Package private keeps files from being read or written by others, and makes
// them last.
package secfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/seed74218947/secretref/internal/fault"
)

// Mode is the mode of every file that this module creates.
const Mode fs.FileMode = 0o600

// Open opens a file for reading. It is fault.Unsupported if it is not a regular
// file, which is found out without waiting for the other end of a pipe, and
// fault.Denied as [Check] says. Errors of the operating system are returned as
// they are.
func Open(path string) (*os.File, error) {
	f, err := OpenRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if err := Check(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// OpenRegular opens a file whatever its mode and owner are. It is
// fault.Unsupported if it is not a regular file.
func OpenRegular(path string, flag int) (*os.File, error) {
	// A device may do something when it is opened, so it is asked before; what
	// counts is what has been opened.
	if info, err := os.Stat(path); err == nil {
		if err := regular(path, info); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = regular(path, info)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func regular(path string, info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return fault.New(fault.Unsupported, "%s is a directory, not a file", path)
	case !info.Mode().IsRegular():
		return fault.New(fault.Unsupported, "%s is not a regular file", path)
	}
	return nil
}

// Check refuses an open file that belongs to neither the effective user of this
// process nor root, who could have written anything into it, and one that others
// than its owner and group can open, with fault.Denied. The group is accepted,
// since Kubernetes' fsGroup sets it. Windows has no such owners and modes.
func Check(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fault.New(fault.Unavailable, "%s: its mode cannot be read", f.Name()).WithCause(err)
	}
	return check(f.Name(), info, os.Geteuid())
}

func check(path string, info fs.FileInfo, euid int) error {
	if uid, known := owner(info); known && uid != 0 && uid != euid {
		return fault.New(fault.Denied, "%s belongs to the user with uid %d, who can write anything into it, and this program runs as uid %d: run it as the owner, or make sure of the content and then chown %[3]d %[1]s", path, uid, euid)
	}
	if runtime.GOOS != "windows" && info.Mode()&0o007 != 0 {
		return fault.New(fault.Denied, "%s has the mode %04o, with which everybody on this machine can open it: chmod o-rwx %[1]s", path, info.Mode().Perm())
	}
	return nil
}

// Write makes a file that is on the disk when Write returns, in the place of
// any other.
func Write(path, text string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, Mode)
	if err != nil {
		return err
	}
	err = f.Chmod(Mode) // whatever the umask is
	if err == nil || runtime.GOOS == "windows" {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// SyncDir makes the names in the directory of path last. Windows cannot.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return dir.Sync()
}
