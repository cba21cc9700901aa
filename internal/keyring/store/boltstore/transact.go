package boltstore

import (
	"cmp"
	"context"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/flock"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/pages"
)

// transact calls use in a transaction of bbolt on a file that is locked and verified.
// It returns the new state of the file, or nil if that is not known. bbolt closes the
// file, unless it panics.
//
// Even a verified file can be truncated by another process while it is mapped, or its
// disk can fail. transact turns the resulting fault or panic into an error. After a
// panic bbolt cannot be closed, so that its memory stays mapped.
func transact(ctx context.Context, f *os.File, use func(*txn) error) (state *verifiedState,
	err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			flock.Unlock(f)
			state, err = nil, corrupt("it was truncated, or could not be read, while it was in use")
		}
	}()

	db, err := bbolt.Open(f.Name(), 0, &bbolt.Options{
		Timeout:      1, // do not wait: the lock is held already
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	})
	if err != nil {
		return nil, writeError(err)
	}
	if err = commit(ctx, db, use); err == nil {
		state = currentState(f)
	}
	_ = db.Close()
	return state, err
}

func commit(ctx context.Context, db *bbolt.DB, use func(*txn) error) error {
	bolt, err := db.Begin(true)
	if err != nil {
		return writeError(err)
	}
	tx := &txn{bolt: bolt}
	tx.now = now()
	tx.checkContext = func() error { return checkContext(ctx) }
	tx.tree = func(name string) (tree, error) {
		b, err := tx.bucket(name)
		return txTree{b}, err
	}
	err = use(tx)
	if err == nil {
		err = cmp.Or(tx.putMeta(), checkContext(ctx))
	}
	if err != nil {
		_ = bolt.Rollback()
		return err
	}
	if err := bolt.Commit(); err != nil {
		return writeError(err)
	}
	return nil
}

func currentState(f *os.File) *verifiedState {
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	p, err := pages.Open(f, info.Size())
	if err != nil {
		return nil
	}
	return &verifiedState{info, p.State()}
}
