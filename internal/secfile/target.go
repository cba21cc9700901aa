package secfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/seed74218947/secretref/internal/fault"
)

// maxLinks limits how many symbolic links one path may lead through.
const maxLinks = 40

// Target follows symbolic links and returns the path where the file is or would be
// created: its directory exists, and its last element is not a symbolic link.
// [Unresolved] explains the error.
func Target(path string) (string, error) {
	for range maxLinks {
		// Do not clean the path: the parent of a directory reached through a symbolic
		// link is not the directory that the link is in.
		dir, name := filepath.Split(path)
		if dir == "" {
			dir = "."
		}
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			if _, stat := os.Stat(filepath.Dir(path)); errors.Is(stat, syscall.ELOOP) {
				err = stat
			}
			return "", err
		}
		path = filepath.Join(dir, name)
		link, err := os.Readlink(path)
		if err != nil {
			return path, nil
		}
		if err := checkLink(path, dir, os.Geteuid()); err != nil {
			return "", err
		}
		if path = link; !filepath.IsAbs(link) {
			path = dir + string(filepath.Separator) + link
		}
	}
	return "", &fs.PathError{Op: "readlink", Path: path, Err: syscall.ELOOP}
}

// Unresolved explains an error of [Target].
func Unresolved(path string, err error) error {
	if explained, ok := errors.AsType[*fault.Error](err); ok {
		return explained
	}
	switch {
	case errors.Is(err, syscall.ELOOP):
		return fault.New(fault.Unsupported, "the symbolic links of %q form a loop", path).WithCause(err)
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied, "the directory of %q cannot be searched", path).WithCause(err)
	}
	return fault.New(fault.NotFound, "there is no directory for %q", path).WithCause(err)
}

// checkLink returns fault.Denied for a link that another user created in a
// directory of a third one. The kernel refuses to follow such links only in
// world-writable directories, and not at all for a process that reads them itself.
func checkLink(path, dir string, euid int) error {
	link, err := os.Lstat(path)
	if err != nil {
		return err
	}
	uid, known := owner(link)
	if !known || uid == 0 || uid == euid {
		return nil
	}
	parent, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if dirUID, _ := owner(parent); dirUID == uid {
		return nil
	}
	return fault.New(fault.Denied,
		"%s is a symbolic link of the user with uid %d in a directory of another user: "+
			"check where it leads, and create it again", path, uid)
}
