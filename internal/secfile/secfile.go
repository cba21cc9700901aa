// Package secfile accesses files carefully: it checks their mode and owner, follows
// symbolic links only where that is safe, reads at most a given size, and writes
// files that are complete and on disk before they have their name.
package secfile

import (
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"github.com/seed74218947/secretref/internal/fault"
)

// Mode is the mode of every file that this module creates.
const Mode fs.FileMode = 0o600

// Open opens a file for reading. It returns fault.Unsupported if it is not a regular
// file, and fault.Denied as [Check] does. It does not block on a named pipe. Errors
// of the operating system are returned unchanged.
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

// OpenRegular opens a file regardless of its mode and owner. It returns
// fault.Unsupported if it is not a regular file.
func OpenRegular(path string, flag int) (*os.File, error) { return openRegular(path, path, flag) }

// openRegular calls the file by the given name in errors.
func openRegular(path, name string, flag int) (*os.File, error) {
	// Opening a device can have side effects, so check before opening. The check of
	// the open file is the one that counts.
	if info, err := os.Stat(path); err == nil {
		if err := checkRegular(name, info); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = checkRegular(name, info)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func checkRegular(name string, info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return fault.New(fault.Unsupported, "%s is a directory, not a file", name)
	case !info.Mode().IsRegular():
		return fault.New(fault.Unsupported, "%s is not a regular file", name)
	}
	return nil
}

// Check returns fault.Denied for an open file whose owner is neither the effective
// user of this process nor root, since its owner can write anything into it, and
// for one that others than its owner and group can access. Access by the group is
// accepted, since Kubernetes' fsGroup grants it. Windows has no such owners and
// modes.
func Check(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fault.New(fault.Unavailable, "%s: its mode cannot be read", f.Name()).WithCause(err)
	}
	return checkAccess(f.Name(), info, os.Geteuid())
}

func checkAccess(path string, info fs.FileInfo, euid int) error {
	if uid, known := owner(info); known && uid != 0 && uid != euid {
		return fault.New(fault.Denied,
			"%s belongs to the user with uid %d, who can write anything into it, "+
				"but this program runs as uid %d: run it as the owner, or check the content and then chown "+
				"%[3]d %[1]s", path, uid, euid)
	}
	if runtime.GOOS != "windows" && info.Mode()&0o007 != 0 {
		return fault.New(fault.Denied,
			"%s has mode %04o, so every user of this machine can access it: chmod o-rwx %[1]s",
			path, info.Mode().Perm())
	}
	return nil
}
