// Package boltstore stores a keyring in one bbolt file, for any number of processes
// on one machine.
//
// Each call opens and locks the file, shared for reading or exclusively for writing,
// and closes it again. Reads go through package pages, which checks each page that it
// uses. bbolt itself, which trusts the file, only writes, and only after the whole
// file has been verified: once for each state of the file that this Store has
// neither read nor written before.
//
// If the file is damaged, every call returns fault.Corrupt and changes nothing; only
// Get may still return a record whose own pages are undamaged. Damage within a record
// affects only that record, which can be replaced or deleted.
//
// Beside the file, after symbolic links have been followed, there is a lock file
// NAME.lock, which is never removed, and while the keyring is being created NAME.new
// and NAME.new.lock. All files are created with mode 0600.
//
// Windows has no such modes, and cannot sync directories.
package boltstore

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/netfs"
)

// readWeight and writeWeight are the weights of calls in the queue of a Store: any
// number of calls that read, or one that writes.
const (
	readWeight  = 1
	writeWeight = 1 << 30
)

// Store is a keyring in a file. It is safe for concurrent use.
type Store struct {
	path string
	// first come, first served; calls of this process do not poll for each other
	queue    *semaphore.Weighted
	isLocal  atomic.Bool                       // the file is known not to be on a network file system
	network  func(path string) (string, error) // netfs.At
	log      *slog.Logger
	verified atomic.Pointer[verifiedState] // the state that was last verified, or committed
}

var _ store.Store = (*Store)(nil)

// New returns the store in the file path, which need not exist. It does no I/O.
func New(path string) *Store {
	return &Store{path: path, queue: semaphore.NewWeighted(writeWeight), network: netfs.At,
		log: slog.New(slog.DiscardHandler)}
}

// WithLogger sets the logger and returns s. A call that waits for two seconds logs
// what it is waiting for. WithLogger must be called before s is used.
func (s *Store) WithLogger(log *slog.Logger) *Store {
	s.log = log
	return s
}

// Close does nothing: the file is open only during a call.
func (s *Store) Close() error { return nil }

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context) (keys *store.Keys, err error) {
	err = s.read(ctx, func(v *view) error { keys, err = v.keys(); return err })
	return keys, err
}

// ReserveEncryptions implements [store.Store].
func (s *Store) ReserveEncryptions(ctx context.Context, id seal.KeyID, n uint64) error {
	return s.update(ctx, func(tx *txn) error { return tx.reserve(id, n) })
}

// Get implements [store.Store]. It reads a handful of pages, however many records
// there are. It verifies the whole file, unless this Store knows its state, only if
// these pages cannot prove the result: if there is no such record, so that damage is
// never mistaken for absence, and if the record begins on a page without a number,
// as one of several long records may.
func (s *Store) Get(ctx context.Context, name string) (record []byte, err error) {
	intact := true
	err = s.readUnverified(ctx, func(v *view, verify func() error) error {
		e, err := v.get(recordsBucket, []byte(name))
		if err != nil {
			return err
		}
		if e == nil {
			return cmp.Or(verify(), error(fault.New(fault.NotFound, "nothing is stored under %q", name)))
		}
		if !e.Anchored(recordHeadSize) {
			if err := verify(); err != nil {
				return err
			}
		}
		_, record, intact, err = parseRecord(*e)
		return err
	})
	if err == nil && !intact {
		err = fault.New(fault.Corrupt,
			"%q: the record stored under %q is damaged: store the secret again, or restore a "+
				"backup", s.path, name)
	}
	return record, err
}

// Put implements [store.Store].
func (s *Store) Put(ctx context.Context, id seal.KeyID, name string, record []byte) error {
	if len(name) < 1 || len(name) > store.MaxName {
		return fault.New(fault.Syntax, "the name has %d bytes, but a name has 1 to %d", len(name),
			store.MaxName)
	}
	return s.update(ctx, func(tx *txn) error {
		if _, err := tx.key(id, store.Active, store.ErrNotActive); err != nil {
			return err
		}
		return tx.putRecord([]byte(name), id, record)
	})
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.update(ctx, func(tx *txn) error {
		removed, err := tx.remove(recordsBucket, []byte(name))
		if err == nil && !removed {
			err = fault.New(fault.NotFound, "nothing is stored under %q", name)
		}
		return err
	})
}

// Names implements [store.Store].
func (s *Store) Names(ctx context.Context, after string, limit int) (names []string, err error) {
	err = s.read(ctx, func(v *view) error { names, err = v.names(after, limit); return err })
	return names, err
}

// Records implements [store.Store]. It returns a damaged record as nil, with its name
// and key, so that the caller can report which record it is.
func (s *Store) Records(ctx context.Context, r store.Range) (records []store.Record, err error) {
	err = s.read(ctx, func(v *view) error { records, err = v.records(r); return err })
	return records, err
}

// Count implements [store.Store].
func (s *Store) Count(ctx context.Context) (count map[seal.KeyID]int, err error) {
	err = s.read(ctx, func(v *view) error { count, err = v.count(); return err })
	return count, err
}

// DeleteInactive implements [store.Store].
func (s *Store) DeleteInactive(ctx context.Context, e store.Event) (deleted []store.Key,
	err error) {
	err = s.update(ctx, func(tx *txn) error { deleted, err = tx.deleteInactive(e); return err })
	if err != nil {
		return nil, err
	}
	return deleted, nil
}

// RecordEvent implements [store.Store].
func (s *Store) RecordEvent(ctx context.Context, e store.Event) (store.Event, error) {
	err := s.update(ctx, func(tx *txn) (err error) { e, err = tx.recordEvent(e); return err })
	return e, err
}

// Events implements [store.Store].
func (s *Store) Events(ctx context.Context, after int64, limit int) (events []store.Event,
	err error) {
	err = s.read(ctx, func(v *view) error { events, err = v.events(after, limit); return err })
	return events, err
}
