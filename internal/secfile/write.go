package secfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Create creates a file that only its owner can access, whatever the umask is, and
// opens it for reading and writing. It returns fs.ErrExist if the file exists.
func Create(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, Mode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(Mode); err != nil && runtime.GOOS != "windows" {
		_ = f.Close()
		_ = os.Remove(path)
		return nil, err
	}
	return f, nil
}

// Write creates a file as [Create] does, replacing an existing one, and returns
// after its content is on disk.
func Write(path, text string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// Publish gives the file tmp the name path. It returns fs.ErrExist if path exists.
// The name tmp may remain, for the caller to remove. On file systems without hard
// links, another process can create path between the check and the rename, so that
// callers there need a lock.
func Publish(tmp, path string) error {
	err := os.Link(tmp, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(tmp, path)
}

// SyncDir makes changes of names in the directory of path durable. It does nothing
// on Windows, and on file systems that cannot sync a directory.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err,
		errors.ErrUnsupported) {
		return err
	}
	return nil
}
