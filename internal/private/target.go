package private

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
		if path = link; !filepath.IsAbs(link) {
			path = dir + string(filepath.Separator) + link
		}
	}
	return "", &fs.PathError{Op: "readlink", Path: path, Err: syscall.ELOOP}
}

// Unresolved explains an error of [Target].
func Unresolved(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ELOOP):
		return fault.New(fault.Unsupported, "%q leads through links that lead in a circle", path).Because(err)
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied, "the directory of %q cannot be looked into", path).Because(err)
	}
	return fault.New(fault.NotFound, "there is no directory for %q", path).Because(err)
}
