// Package bolt keeps a keyring in one bbolt file, for any number of processes
// on one machine.
//
// The file is opened and locked for each call and closed again: shared by those
// that read, exclusively by the one that writes. What is read is read by
// package pages, which proves each page it uses. bbolt itself, which trusts the
// file, only writes, and only to a file that was proved as a whole: a state of
// it that this Store has neither read nor written before is gone through once.
//
// On a file that is not in order every call says fault.Corrupt and changes
// nothing; only Get may still find a record whose pages are. A record that is damaged
// itself hurts no other: it can be replaced and deleted.
//
// Beside the file are, under its name after symbolic links have been followed,
// a lock file NAME.lock, which is never removed, and, while the keyring is being
// created, NAME.new and NAME.new.lock. All are made with mode 0600.
//
// On Windows there are no such modes, and directories are not synced.
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

// maxName is the longest name of a record, in bytes.
const maxName = 1024

// everybody is the weight of a call that writes, in the queue of a Store.
const everybody = 1 << 30

// Store is a keyring in a file. It is safe for concurrent use.
type Store struct {
	path    string
	queue   *semaphore.Weighted               // first come, first served; saves our own calls from polling for each other
	isLocal atomic.Bool                       // known not to be on a network file system
	network func(path string) (string, error) // netfs.At
	log     *slog.Logger
	proved  atomic.Pointer[proved] // the state that was last found in order, or committed
}

var _ store.Store = (*Store)(nil)

// New returns the store in the file path, which need not exist. It does no I/O.
func New(path string) *Store {
	return &Store{path: path, queue: semaphore.NewWeighted(everybody), network: netfs.At, log: slog.New(slog.DiscardHandler)}
}

// WithLogger returns s, which from now on logs for what it has been waiting for
// two seconds. It must not be in use yet.
func (s *Store) WithLogger(log *slog.Logger) *Store {
	s.log = log
	return s
}

// Close does nothing: the file is open only during a call.
func (s *Store) Close() error { return nil }

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context) (keys *store.Keys, err error) {
	err = s.read(ctx, func(k *keyring) error { keys, err = k.keys(); return err })
	return keys, err
}

// ReserveEncryptions implements [store.Store].
func (s *Store) ReserveEncryptions(ctx context.Context, id seal.KeyID, n uint64) error {
	return s.update(ctx, func(c *change) error { return c.reserve(id, n) })
}

// Get implements [store.Store]. It reads a handful of pages, however many
// records there are. Only if these cannot prove what is to be returned, and the
// file is not in a state that this Store has read or written, it proves the
// whole file first: if there is no such record, so that damage is never taken for
// absence, and if the record begins on a page without a number, as one among
// several long ones may.
func (s *Store) Get(ctx context.Context, name string) (record []byte, err error) {
	whole := true
	err = s.glance(ctx, func(k *keyring, prove func() error) error {
		e, err := k.get(recordsBucket, []byte(name))
		if err != nil {
			return err
		}
		if e == nil {
			return cmp.Or(prove(), error(fault.New(fault.NotFound, "nothing is stored under %q", name)))
		}
		if !e.Anchored(recordHeadSize) {
			if err := prove(); err != nil {
				return err
			}
		}
		_, record, whole, err = parseRecord(*e)
		return err
	})
	if err == nil && !whole {
		err = fault.New(fault.Corrupt, "%q: what is stored under %q is damaged: store it again, or restore a backup", s.path, name)
	}
	return record, err
}

// Put implements [store.Store].
func (s *Store) Put(ctx context.Context, id seal.KeyID, name string, record []byte) error {
	if len(name) < 1 || len(name) > maxName {
		return fault.New(fault.Syntax, "a name has 1 to %d bytes, and this one has %d", maxName, len(name))
	}
	return s.update(ctx, func(c *change) error {
		if _, err := c.key(id, store.Active, store.ErrNotActive); err != nil {
			return err
		}
		return c.putRecord([]byte(name), id, record)
	})
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.update(ctx, func(c *change) error {
		removed, err := c.remove(recordsBucket, []byte(name))
		if err == nil && !removed {
			err = fault.New(fault.NotFound, "nothing is stored under %q", name)
		}
		return err
	})
}

// Names implements [store.Store].
func (s *Store) Names(ctx context.Context, after string, limit int) (names []string, err error) {
	err = s.read(ctx, func(k *keyring) error { names, err = k.names(after, limit); return err })
	return names, err
}

// Records implements [store.Store]. A damaged record comes as nil, under its name
// and key, so that whoever opens records can say which one it is.
func (s *Store) Records(ctx context.Context, r store.Range) (records []store.Record, err error) {
	err = s.read(ctx, func(k *keyring) error { records, err = k.records(r); return err })
	return records, err
}

// Count implements [store.Store].
func (s *Store) Count(ctx context.Context) (count map[seal.KeyID]int, err error) {
	err = s.read(ctx, func(k *keyring) error { count, err = k.count(); return err })
	return count, err
}

// DeleteInactive implements [store.Store].
func (s *Store) DeleteInactive(ctx context.Context, e store.Event) (gone []store.Key, err error) {
	err = s.update(ctx, func(c *change) error { gone, err = c.deleteInactive(e); return err })
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// RecordEvent implements [store.Store].
func (s *Store) RecordEvent(ctx context.Context, e store.Event) (store.Event, error) {
	err := s.update(ctx, func(c *change) (err error) { e, err = c.recordEvent(e); return err })
	return e, err
}

// Events implements [store.Store].
func (s *Store) Events(ctx context.Context, after int64, limit int) (events []store.Event, err error) {
	err = s.read(ctx, func(k *keyring) error { events, err = k.events(after, limit); return err })
	return events, err
}
