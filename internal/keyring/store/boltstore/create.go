package boltstore

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/secfile"
)

// Create implements [store.Store]. The file gets its name only when it is complete
// and on disk.
func (s *Store) Create(ctx context.Context, root seal.Fingerprint, first store.Key,
	e store.Event) (bool, error) {
	for {
		err := s.readUnverified(ctx, func(*view, func() error) error { return nil })
		if !errors.Is(err, store.ErrEmpty) {
			return false, err
		}
		created, err := s.create(ctx, func(tx *txn) error { return tx.initialize(root, first, e) })
		if created || err != nil {
			return created, err
		}
	}
}

// create creates the file, unless it exists.
func (s *Store) create(ctx context.Context, initialize func(*txn) error) (created bool, err error) {
	path, err := secfile.Target(s.path)
	if err != nil {
		return false, secfile.Unresolved(s.path, err)
	}
	lock, err := openLock(path+".new.lock", func(f *os.File) error { return s.lock(ctx, f, true) })
	if err != nil {
		return false, err
	}
	defer lock.remove()
	if _, err := os.Lstat(path); err == nil {
		return false, nil
	}

	tmp := path + ".new"
	// left by a process that was killed
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, openError(tmp, err)
	}
	f, err := secfile.Create(tmp)
	if err != nil {
		return false, openError(tmp, err)
	}
	defer func() { _ = os.Remove(tmp) }()
	_, err = transact(ctx, f, initialize)
	_ = f.Close()
	if err != nil {
		return false, s.withFile(err)
	}
	switch err := secfile.Publish(tmp, path); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, s.withFile(writeError(err))
	}
	if err := secfile.SyncDir(path); err != nil {
		return false, s.withFile(writeError(err))
	}
	return true, nil
}
