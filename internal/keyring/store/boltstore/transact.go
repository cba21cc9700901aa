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

// transact lets bbolt make a change in a file that is locked and proved. It
// returns the state that the file has then, or nil if that cannot be told.
// bbolt closes the file, unless it panics.
//
// Also a file that was proved may be cut off by somebody while it is mapped, or
// its disk fail: what bbolt then does to the goroutine ends here. After a panic
// it is in no state to be closed: what it has mapped stays mapped.
func transact(ctx context.Context, f *os.File, use func(*change) error) (state *proved, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			flock.Free(f)
			state, err = nil, corrupt("it was cut off, or could not be read, while it was in use")
		}
	}()

	db, err := bbolt.Open(f.Name(), 0, &bbolt.Options{
		Timeout:      1, // no time at all: the lock is ours already
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	})
	if err != nil {
		return nil, unwritten(err)
	}
	if err = commit(ctx, db, use); err == nil {
		state = stateOf(f)
	}
	_ = db.Close()
	return state, err
}

func commit(ctx context.Context, db *bbolt.DB, use func(*change) error) error {
	tx, err := db.Begin(true)
	if err != nil {
		return unwritten(err)
	}
	c := &change{tx: tx}
	c.now = now()
	c.ended = func() error { return unfinished(ctx) }
	c.tree = func(name string) (tree, error) {
		b, err := c.bucket(name)
		return txTree{b}, err
	}
	err = use(c)
	if err == nil {
		err = cmp.Or(c.finish(), unfinished(ctx))
	}
	if err != nil {
		_ = tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return unwritten(err)
	}
	return nil
}

func stateOf(f *os.File) *proved {
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	p, err := pages.Open(f, info.Size())
	if err != nil {
		return nil
	}
	return &proved{info, p.State()}
}
