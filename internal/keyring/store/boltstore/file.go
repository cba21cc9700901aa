package boltstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/flock"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/pages"
	"github.com/seed74218947/secretref/internal/secfile"
)

// file is the file of the keyring. It is locked until it is closed.
type file struct {
	*os.File
	info  fs.FileInfo
	pages *pages.File
}

// verifiedState is a state of the file that has been verified.
type verifiedState struct {
	info  fs.FileInfo
	state pages.State
}

// read calls use after the whole file has been verified.
func (s *Store) read(ctx context.Context, use func(*view) error) error {
	return s.readLocked(ctx, func(f *file) error {
		if err := s.verify(ctx, f); err != nil {
			return err
		}
		return use(f.view(ctx))
	})
}

// readUnverified calls use without verifying the whole file. An entry that is found is
// right. Before an entry is reported missing call verify, since damage can hide
// entries.
func (s *Store) readUnverified(ctx context.Context,
	use func(v *view, verify func() error) error) error {
	return s.readLocked(ctx, func(f *file) error {
		v := f.view(ctx)
		if _, err := v.meta(); err != nil {
			return err
		}
		return use(v, func() error { return s.verify(ctx, f) })
	})
}

func (s *Store) readLocked(ctx context.Context, use func(*file) error) error {
	release, err := s.acquire(ctx, readWeight)
	if err != nil {
		return err
	}
	defer release()
	f, err := s.open(ctx, false)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return s.withFile(use(f))
}

// update calls use in a transaction, which is committed if use succeeds.
func (s *Store) update(ctx context.Context, use func(*txn) error) error {
	release, err := s.acquire(ctx, writeWeight)
	if err != nil {
		return err
	}
	defer release()
	f, err := s.open(ctx, true)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := s.verify(ctx, f); err != nil {
		return s.withFile(err)
	}
	state, err := transact(ctx, f.File, func(tx *txn) (err error) {
		if tx.newMeta, err = tx.meta(); err != nil {
			return err
		}
		return use(tx)
	})
	if err != nil {
		return s.withFile(err)
	}
	s.verified.Store(state)
	return nil
}

// acquire waits in the queue of calls of this Store.
func (s *Store) acquire(ctx context.Context, weight int64) (release func(), err error) {
	if err := checkContext(ctx); err != nil {
		return nil, s.withFile(err)
	}
	notice := time.AfterFunc(noticeDelay, func() {
		s.log.WarnContext(ctx, "keyring: waiting for other calls of this process", "file", s.path)
	})
	defer notice.Stop()
	if s.queue.Acquire(ctx, weight) != nil {
		return nil, fault.New(fault.Unavailable, "waited for %q, which other calls of this process use",
			s.path).WithCause(ctx.Err())
	}
	return func() { s.queue.Release(weight) }, nil
}

// open opens the file, waits for its lock, and reads its meta pages.
func (s *Store) open(ctx context.Context, write bool) (*file, error) {
	if err := s.checkLocalFS(); err != nil {
		return nil, err
	}
	for {
		f, current, err := s.tryOpen(ctx, write)
		if err == nil && current {
			return f, nil
		}
		if f != nil {
			_ = f.Close()
		}
		if err != nil {
			return nil, err
		}
	}
}

// checkLocalFS returns fault.Unsupported for a network file system, where another
// machine may not see locks and writes. It checks once.
func (s *Store) checkLocalFS() error {
	if s.isLocal.Load() {
		return nil
	}
	network, err := s.network(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		var path string
		if path, err = secfile.Target(s.path); err == nil {
			network, err = s.network(filepath.Dir(path))
		}
	}
	switch {
	case network != "":
		return fault.New(fault.Unsupported,
			"%q is on a network file system (%s), where locks do not work reliably between machines: "+
				"put it on a disk of this machine, or use SQLStore", s.path, network)
	case err == nil:
		s.isLocal.Store(true)
	}
	return nil // opening the file reports any other error
}

// tryOpen also reports whether the locked file is the one at the path. It may have been
// replaced while the call waited for its lock.
func (s *Store) tryOpen(ctx context.Context, write bool) (f *file, current bool, err error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	opened, err := secfile.OpenRegular(s.path, flag)
	if err != nil {
		return nil, false, openError(s.path, err)
	}
	f = &file{File: opened}
	// before waiting for the lock, which a stranger may hold forever
	if err := s.checkMode(ctx, f); err != nil {
		return f, false, err
	}
	if err := s.lock(ctx, opened, write); err != nil {
		return f, false, err
	}
	if f.info, err = f.Stat(); err != nil {
		return f, false, openError(s.path, err)
	}
	if write {
		if info, err := os.Stat(s.path); err != nil || !os.SameFile(info, f.info) {
			return f, false, nil
		}
	}
	f.pages, err = pages.Open(f, f.info.Size())
	return f, true, s.withFile(err)
}

// noticeDelay is how long a call waits before it logs that it is waiting.
const noticeDelay = 2 * time.Second

// lock waits for the lock of a file.
func (s *Store) lock(ctx context.Context, f *os.File, write bool) error {
	notice := time.AfterFunc(noticeDelay, func() {
		s.log.WarnContext(ctx, "keyring: waiting for a lock that "+holder(f, "another process")+" holds",
			"lock", f.Name())
	})
	defer notice.Stop()
	err := flock.Wait(ctx, f, write)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.New(fault.Unavailable, "waited for the lock of %q, which %s holds", f.Name(),
			holder(f, "another process")).WithCause(ctx.Err())
	}
	return fault.New(fault.Unsupported, "%q cannot be locked%s", f.Name(), reason(err)).WithCause(err)
}

// holder describes the process that holds the lock of a file, or returns otherwise if
// that is not known.
func holder(f *os.File, otherwise string) string {
	if pid, ok := strings.CutPrefix(flock.Holder(f), "process "); ok {
		return "another process, " + pid + ","
	}
	return otherwise
}

// checkMode returns an error for a file that is not a keyring, and for a keyring that
// others can access or own. For a file that is not a keyring, such as a configuration
// file of a product, the error does not suggest to change its mode.
func (s *Store) checkMode(ctx context.Context, f *file) error {
	isBolt, err := pages.HasMagic(f)
	switch {
	case err != nil:
		return s.withFile(err)
	case !isBolt:
		return s.notKeyringError()
	}
	denied := secfile.Check(f.File)
	if denied == nil {
		return nil
	}
	if info, err := f.Stat(); err == nil {
		if f.pages, err = pages.Open(f, info.Size()); err == nil {
			if _, err := f.view(ctx).meta(); errors.Is(err, errNotKeyring) {
				return s.notKeyringError()
			}
		}
	}
	return denied
}

// verify checks the whole file, unless this Store has verified it in this state.
func (s *Store) verify(ctx context.Context, f *file) error {
	if s.verified.Load().matches(f) {
		return nil
	}
	v := f.view(ctx)
	meta, err := v.meta()
	if err != nil { // first, since a file of a newer version may look damaged
		return err
	}
	err = f.pages.Check(ctx, func(bucket string, e pages.Entry) error {
		n, err := digest(bucket, e)
		meta.Sum -= n
		return err
	})
	if err != nil {
		return err
	}
	if meta.Sum != 0 {
		return corrupt("some of its pages belong to an older state")
	}
	for _, bucket := range []string{keysBucket, recordsBucket, eventsBucket} {
		if _, err := v.tree(bucket); err != nil {
			return err
		}
	}
	s.verified.Store(&verifiedState{f.info, f.pages.State()})
	return nil
}

// matches reports whether f is in the verified state.
func (v *verifiedState) matches(f *file) bool {
	return v != nil && v.state == f.pages.State() && v.info.Size() == f.info.Size() &&
		v.info.ModTime().Equal(f.info.ModTime()) && os.SameFile(v.info, f.info)
}

// view returns the content as last committed.
func (f *file) view(ctx context.Context) *view {
	return &view{
		tree: func(bucket string) (tree, error) {
			b, err := f.pages.Bucket(bucket)
			if err == nil && b == nil {
				err = errNotKeyring
			}
			return b, err
		},
		checkContext: func() error { return checkContext(ctx) },
		now:          now(),
	}
}

func now() time.Time { return time.Now().UTC().Round(0) }
