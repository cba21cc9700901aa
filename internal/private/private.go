// Package private keeps files from being read by others, and makes them last.
package private

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/seed74218947/secretref/internal/fault"
)

// Mode is the mode of every file that this module creates.
const Mode fs.FileMode = 0o600

// Check refuses a file that others than its owner and group can open, with
// fault.Denied. The group is accepted, since Kubernetes' fsGroup sets it.
// Windows has no such modes.
func Check(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fault.New(fault.Unavailable, "%s: its mode cannot be read", f.Name()).Because(err)
	}
	if runtime.GOOS != "windows" && info.Mode()&0o007 != 0 {
		return fault.New(fault.Denied, "%s has the mode %04o, with which everybody on this machine can open it: chmod o-rwx %[1]s", f.Name(), info.Mode().Perm())
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
