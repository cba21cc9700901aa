package secfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/seed74218947/secretref/internal/fault"
)

// maxLinks is how many links one path may lead through.
const maxLinks = 40

// Target returns where path leads when symbolic links are followed, which is
// where the file is or would be: its directory exists, and the last name is not
// that of a link. [Unresolved] explains the error.
func Target(path string) (string, error) {
	for range maxLinks {
		// Only the operating system may shorten a path: where a name is that of a
		// link, the one behind it followed by .. is not the directory before it.
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
	if refused, ok := errors.AsType[*fault.Error](err); ok {
		return refused
	}
	switch {
	case errors.Is(err, syscall.ELOOP):
		return fault.New(fault.Unsupported, "%q leads through links that lead in a circle", path).WithCause(err)
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied, "the directory of %q cannot be looked into", path).WithCause(err)
	}
	return fault.New(fault.NotFound, "there is no directory for %q", path).WithCause(err)
}

// checkLink refuses a link that another user has put into a directory that is not
// theirs: whoever follows it by reading it is not protected by the kernel, which
// refuses to follow such a link where everybody may write.
func checkLink(path, dir string, euid int) error {
	link, err := os.Lstat(path)
	if err != nil {
		return err
	}
	uid, known := owner(link)
	if !known || uid == 0 || uid == euid {
		return nil
	}
	in, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if theirs, _ := owner(in); theirs == uid {
		return nil
	}
	return fault.New(fault.Denied, "%s is a link of the user with uid %d, in a directory of another user: make sure of where it leads, and make it anew", path, uid)
}
