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

// file is the keyring's file, open and locked until it is closed.
type file struct {
	*os.File
	info  fs.FileInfo
	pages *pages.File
}

// proved is a state of the file that needs no proof any more.
type proved struct {
	info  fs.FileInfo
	state pages.State
}

// read uses the keyring once the whole file is proved.
func (s *Store) read(ctx context.Context, use func(*keyring) error) error {
	return s.reading(ctx, func(f *file) error {
		if err := s.prove(ctx, f); err != nil {
			return err
		}
		return use(f.keyring(ctx))
	})
}

// glance uses the keyring without a proof of the file: what is found is right,
// what is not found is missing only if prove finds the file in order.
func (s *Store) glance(ctx context.Context, use func(k *keyring, prove func() error) error) error {
	return s.reading(ctx, func(f *file) error {
		k := f.keyring(ctx)
		if _, err := k.meta(); err != nil {
			return err
		}
		return use(k, func() error { return s.prove(ctx, f) })
	})
}

func (s *Store) reading(ctx context.Context, use func(*file) error) error {
	leave, err := s.enter(ctx, 1)
	if err != nil {
		return err
	}
	defer leave()
	f, err := s.open(ctx, false)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return s.located(use(f))
}

// update changes the keyring in one transaction, or not at all.
func (s *Store) update(ctx context.Context, use func(*change) error) error {
	leave, err := s.enter(ctx, everybody)
	if err != nil {
		return err
	}
	defer leave()
	f, err := s.open(ctx, true)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := s.prove(ctx, f); err != nil {
		return s.located(err)
	}
	state, err := transact(ctx, f.File, func(c *change) (err error) {
		if c.first, err = c.meta(); err != nil {
			return err
		}
		return use(c)
	})
	if err != nil {
		return s.located(err)
	}
	s.proved.Store(state)
	return nil
}

// enter waits until the calls before this one leave it room.
func (s *Store) enter(ctx context.Context, weight int64) (leave func(), err error) {
	if err := unfinished(ctx); err != nil {
		return nil, s.located(err)
	}
	notice := time.AfterFunc(noticeAfter, func() {
		s.log.WarnContext(ctx, "keyring: waiting for other calls of this process", "file", s.path)
	})
	defer notice.Stop()
	if s.queue.Acquire(ctx, weight) != nil {
		return nil, fault.New(fault.Unavailable, "waited for %q behind other calls of this process", s.path).WithCause(ctx.Err())
	}
	return func() { s.queue.Release(weight) }, nil
}

// open opens the file, waits for its lock, and reads what it says of itself.
func (s *Store) open(ctx context.Context, write bool) (*file, error) {
	if err := s.local(); err != nil {
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

// local refuses network file systems, once: what one machine locks and writes
// there another may not see.
func (s *Store) local() error {
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
		return fault.New(fault.Unsupported, "%q is on a network file system (%s), where machines do not reliably see each other's locks: put it on a disk of this machine, or use SQLStore", s.path, network)
	case err == nil:
		s.isLocal.Store(true)
	}
	return nil // whoever opens the file will see the error, too
}

// tryOpen also reports whether the file that is locked now is still the one at
// the path: another may have been put there in the meantime.
func (s *Store) tryOpen(ctx context.Context, write bool) (f *file, current bool, err error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	opened, err := secfile.OpenRegular(s.path, flag)
	if err != nil {
		return nil, false, unopened(s.path, err)
	}
	f = &file{File: opened}
	if err := s.admit(ctx, f); err != nil { // before its lock, which others may hold as long as they like
		return f, false, err
	}
	if err := s.lock(ctx, opened, write); err != nil {
		return f, false, err
	}
	if f.info, err = f.Stat(); err != nil {
		return f, false, unopened(s.path, err)
	}
	if write {
		if there, err := os.Stat(s.path); err != nil || !os.SameFile(there, f.info) {
			return f, false, nil
		}
	}
	f.pages, err = pages.Open(f, f.info.Size())
	return f, true, s.located(err)
}

// noticeAfter is how long a call waits for others before it says so in the log.
const noticeAfter = 2 * time.Second

// lock waits for the lock of a file.
func (s *Store) lock(ctx context.Context, f *os.File, write bool) error {
	notice := time.AfterFunc(noticeAfter, func() {
		s.log.WarnContext(ctx, "keyring: waiting for a lock that "+holder(f, "another process")+" holds", "lock", f.Name())
	})
	defer notice.Stop()
	err := flock.Wait(ctx, f, write)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.New(fault.Unavailable, "waited for the lock of %q, which %s holds", f.Name(), holder(f, "another process")).WithCause(ctx.Err())
	}
	return fault.New(fault.Unsupported, "%q cannot be locked%s", f.Name(), reason(err)).WithCause(err)
}

// holder names the other process that has the lock of a file, if it is known.
func holder(f *os.File, otherwise string) string {
	if pid, ok := strings.CutPrefix(flock.Holder(f), "process "); ok {
		return "another process, " + pid + ","
	}
	return otherwise
}

// admit refuses what is not a keyring, and a keyring that others can open or
// own. Of a file of something else, such as a product's configuration, it does
// not say what its mode should be.
func (s *Store) admit(ctx context.Context, f *file) error {
	begins, err := pages.Begins(f)
	switch {
	case err != nil:
		return s.located(err)
	case !begins:
		return s.foreign()
	}
	refused := secfile.Check(f.File)
	if refused == nil {
		return nil
	}
	if info, err := f.Stat(); err == nil {
		if f.pages, err = pages.Open(f, info.Size()); err == nil {
			if _, err := f.keyring(ctx).meta(); errors.Is(err, errForeign) {
				return s.foreign()
			}
		}
	}
	return refused
}

// prove checks the whole file, unless this Store has seen it in this state.
func (s *Store) prove(ctx context.Context, f *file) error {
	if s.proved.Load().holds(f) {
		return nil
	}
	k := f.keyring(ctx)
	meta, err := k.meta()
	if err != nil { // first: a newer program may have made a file that this one takes for damaged
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
		return corrupt("some of its pages are from an older state")
	}
	for _, bucket := range []string{keysBucket, recordsBucket, eventsBucket} {
		if _, err := k.tree(bucket); err != nil {
			return err
		}
	}
	s.proved.Store(&proved{f.info, f.pages.State()})
	return nil
}

// holds reports whether f is in the state that was proved.
func (p *proved) holds(f *file) bool {
	return p != nil && p.state == f.pages.State() && p.info.Size() == f.info.Size() &&
		p.info.ModTime().Equal(f.info.ModTime()) && os.SameFile(p.info, f.info)
}

// keyring returns the keyring as it was last committed.
func (f *file) keyring(ctx context.Context) *keyring {
	return &keyring{
		tree: func(bucket string) (tree, error) {
			b, err := f.pages.Bucket(bucket)
			if err == nil && b == nil {
				err = errForeign
			}
			return b, err
		},
		ended: func() error { return unfinished(ctx) },
		now:   now(),
	}
}

func now() time.Time { return time.Now().UTC().Round(0) }
