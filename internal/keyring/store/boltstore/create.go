package boltstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/secfile"
)

// Create implements [store.Store]. The file gets its name only when it is
// complete and on the disk.
func (s *Store) Create(ctx context.Context, root seal.Fingerprint, first store.Key, e store.Event) (bool, error) {
	for {
		err := s.glance(ctx, func(*keyring, func() error) error { return nil })
		if !errors.Is(err, store.ErrEmpty) {
			return false, err
		}
		created, err := s.create(ctx, func(c *change) error { return c.initialize(root, first, e) })
		if created || err != nil {
			return created, err
		}
	}
}

// create makes the file, unless there is one by now.
func (s *Store) create(ctx context.Context, initialize func(*change) error) (created bool, err error) {
	path, err := secfile.Target(s.path)
	if err != nil {
		return false, secfile.Unresolved(s.path, err)
	}
	mine, err := openLock(path+".new.lock", func(f *os.File) error { return s.lock(ctx, f, true) })
	if err != nil {
		return false, err
	}
	defer mine.remove()
	if _, err := os.Lstat(path); err == nil {
		return false, nil
	}

	half := path + ".new"
	if err := os.Remove(half); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a process that was killed
		return false, unopened(half, err)
	}
	f, err := newFile(half)
	if err != nil {
		return false, unopened(half, err)
	}
	defer func() { _ = os.Remove(half) }()
	_, err = transact(ctx, f, initialize)
	_ = f.Close()
	if err != nil {
		return false, s.located(err)
	}
	switch err := publish(half, path); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, s.located(unwritten(err))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return false, s.located(unwritten(err))
	}
	return true, nil
}

// newFile makes a file that is ours alone, whatever the umask is.
func newFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o600); err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return nil, err
	}
	return f, nil
}

// publish gives a file its name, if no other file has it.
func publish(half, path string) error {
	err := os.Link(half, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// Some file systems have no links. Those who take our lock are kept out.
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(half, path)
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
