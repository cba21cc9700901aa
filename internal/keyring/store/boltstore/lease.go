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

// lease is the right to change keys: a lock that the kernel frees when the
// process ends.
type lease struct {
	s    *Store
	lock *lockFile // nil once it was given back
}

// Acquire implements [store.Store].
func (s *Store) Acquire(ctx context.Context) (store.Lease, error) {
	if err := unfinished(ctx); err != nil {
		return nil, s.located(err)
	}
	if err := s.local(); err != nil {
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
			return fault.New(fault.Unsupported, "%q cannot be locked%s", f.Name(), reason(err)).WithCause(err)
		case !got:
			return fault.New(fault.RotationInProgress, "%s holds the lock %q", holder(f, "somebody else"), f.Name())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &lease{s, &lock}, nil
}

func (l *lease) Renew(ctx context.Context) error {
	if err := unfinished(ctx); err != nil {
		return l.s.located(err)
	}
	return l.held()
}

// held proves that the lock is the one that others see.
func (l *lease) held() error {
	switch {
	case l.lock == nil:
		return fault.New(fault.RotationInProgress, "the lease was given back")
	case !l.lock.current():
		return fault.New(fault.RotationInProgress, "the lock %q was removed or replaced while it was held", l.lock.Name())
	}
	return nil
}

func (l *lease) update(ctx context.Context, use func(*change) error) error {
	if err := l.Renew(ctx); err != nil {
		return err
	}
	return l.s.update(ctx, func(c *change) error {
		if err := l.held(); err != nil {
			return err
		}
		return use(c)
	})
}

func (l *lease) Activate(ctx context.Context, root seal.Fingerprint, from seal.KeyID, next store.Key, e store.Event) error {
	return l.update(ctx, func(c *change) error { return c.activate(root, from, next, e) })
}

func (l *lease) Move(ctx context.Context, from, to seal.KeyID, swaps []store.Swap) (moved int, err error) {
	err = l.update(ctx, func(c *change) error { moved, err = c.move(from, to, swaps); return err })
	if err != nil {
		return 0, err
	}
	return moved, nil
}

func (l *lease) Retire(ctx context.Context, id seal.KeyID, e store.Event) error {
	return l.update(ctx, func(c *change) error { return c.retire(id, e) })
}

func (l *lease) Rewrap(ctx context.Context, from, to seal.Fingerprint, wrapped map[seal.KeyID][]byte, e store.Event) error {
	return l.update(ctx, func(c *change) error { return c.rewrap(from, to, wrapped, e) })
}

// Release does not wait, and so needs no context.
func (l *lease) Release(context.Context) {
	if l.lock != nil {
		_ = l.lock.Close()
		l.lock = nil
	}
}

// lockFile is a file that is there to be locked.
type lockFile struct{ *os.File }

// openLock opens a lock file, makes it if need be, and locks it. The lock is on
// the file that is at the path once it has been taken.
func openLock(path string, lock func(*os.File) error) (lockFile, error) {
	for range 100 {
		f, err := secfile.OpenRegular(path, os.O_RDWR)
		if errors.Is(err, fs.ErrNotExist) {
			f, err = newFile(path)
		}
		if errors.Is(err, fs.ErrExist) {
			continue // another made it in between
		}
		if err != nil {
			return lockFile{}, unopened(path, err)
		}
		l := lockFile{f}
		if err = secfile.Check(f); err == nil {
			err = lock(f)
		}
		if err == nil && l.current() {
			return l, nil
		}
		_ = f.Close()
		if err != nil {
			return lockFile{}, err
		}
	}
	return lockFile{}, fault.New(fault.Unavailable, "the lock %q is being replaced all the time", path)
}

// current reports whether the file that is locked is the one at its path.
func (l lockFile) current() bool {
	mine, err := l.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(l.Name())
	return err == nil && os.SameFile(mine, there)
}

// remove removes the file and frees the lock, in this order, so that whoever
// waits for it finds that it is not the current one any more. Windows does not
// remove a file that is open.
func (l lockFile) remove() {
	_ = os.Remove(l.Name())
	_ = l.Close()
	if runtime.GOOS == "windows" {
		_ = os.Remove(l.Name())
	}
}
