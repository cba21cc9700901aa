package boltstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/flock"
	"github.com/seed74218947/secretref/internal/secfile"
)

// lease is a lock that the kernel releases when the process ends.
type lease struct {
	s    *Store
	lock *lockFile // nil after Release
}

// Acquire implements [store.Store].
func (s *Store) Acquire(ctx context.Context) (store.Lease, error) {
	if err := checkContext(ctx); err != nil {
		return nil, s.withFile(err)
	}
	if err := s.checkLocalFS(); err != nil {
		return nil, err
	}
	path, err := secfile.Target(s.path)
	if err != nil {
		return nil, secfile.Unresolved(s.path, err)
	}
	lock, err := openLock(path+".lock", func(f *os.File) error {
		got, err := flock.Try(f, true)
		switch {
		case err != nil:
			return fault.New(fault.Unsupported, "%q cannot be locked%s", f.Name(),
				reason(err)).WithCause(err)
		case !got:
			return fault.New(fault.RotationInProgress, "%s holds the lock %q", holder(f, "another process"),
				f.Name())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lease{s, &lock}, nil
}

func (l *lease) Renew(ctx context.Context) error {
	if err := checkContext(ctx); err != nil {
		return l.s.withFile(err)
	}
	return l.checkHeld()
}

// checkHeld returns an error unless the lock file is still the one at its path.
func (l *lease) checkHeld() error {
	switch {
	case l.lock == nil:
		return fault.New(fault.RotationInProgress, "the lease has been released")
	case !l.lock.isCurrent():
		return fault.New(fault.RotationInProgress,
			"the lock %q was removed or replaced while it was held", l.lock.Name())
	}
	return nil
}

func (l *lease) update(ctx context.Context, use func(*txn) error) error {
	if err := l.Renew(ctx); err != nil {
		return err
	}
	return l.s.update(ctx, func(tx *txn) error {
		if err := l.checkHeld(); err != nil {
			return err
		}
		return use(tx)
	})
}

func (l *lease) Activate(ctx context.Context, root seal.Fingerprint, from seal.KeyID,
	next store.Key, e store.Event) error {
	return l.update(ctx, func(tx *txn) error { return tx.activate(root, from, next, e) })
}

func (l *lease) Move(ctx context.Context, from, to seal.KeyID, swaps []store.Swap) (moved int,
	err error) {
	err = l.update(ctx, func(tx *txn) error { moved, err = tx.move(from, to, swaps); return err })
	if err != nil {
		return 0, err
	}
	return moved, nil
}

func (l *lease) Retire(ctx context.Context, id seal.KeyID, e store.Event) error {
	return l.update(ctx, func(tx *txn) error { return tx.retire(id, e) })
}

func (l *lease) Rewrap(ctx context.Context, from, to seal.Fingerprint,
	wrapped map[seal.KeyID][]byte, e store.Event) error {
	return l.update(ctx, func(tx *txn) error { return tx.rewrap(from, to, wrapped, e) })
}

// Release does not wait, and so needs no context.
func (l *lease) Release(context.Context) {
	if l.lock != nil {
		_ = l.lock.Close()
		l.lock = nil
	}
}

// maxLockAttempts limits how often openLock tries again after the file was replaced.
const maxLockAttempts = 100

// lockFile is a file that exists only to be locked.
type lockFile struct{ *os.File }

// openLock opens or creates a lock file and locks it. It makes sure that the locked
// file is the one at the path.
func openLock(path string, lock func(*os.File) error) (lockFile, error) {
	for range maxLockAttempts {
		f, err := secfile.OpenRegular(path, os.O_RDWR)
		if errors.Is(err, fs.ErrNotExist) {
			f, err = secfile.Create(path)
		}
		if errors.Is(err, fs.ErrExist) {
			continue // another process has created it in between
		}
		if err != nil {
			return lockFile{}, openError(path, err)
		}
		l := lockFile{f}
		if err = secfile.Check(f); err == nil {
			err = lock(f)
		}
		if err == nil && l.isCurrent() {
			return l, nil
		}
		_ = f.Close()
		if err != nil {
			return lockFile{}, err
		}
	}
	return lockFile{},
		fault.New(fault.Unavailable, "the lock file %q was replaced again and again", path)
}

// isCurrent reports whether the locked file is the one at its path.
func (l lockFile) isCurrent() bool {
	locked, err := l.Stat()
	if err != nil {
		return false
	}
	info, err := os.Stat(l.Name())
	return err == nil && os.SameFile(locked, info)
}

// remove removes the file and then releases the lock, so that a process that waits for
// the lock notices that the file is no longer current. Windows cannot remove an open
// file.
func (l lockFile) remove() {
	_ = os.Remove(l.Name())
	_ = l.Close()
	if runtime.GOOS == "windows" {
		_ = os.Remove(l.Name())
	}
}
