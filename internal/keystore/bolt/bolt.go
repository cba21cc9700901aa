// Package bolt keeps a keyring in one bbolt file, for any number of processes
// on one machine.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sync/semaphore"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keystore"
	"github.com/seed74218947/secretref/internal/seal"
)

const everybody = 1 << 30

// Store is a keyring in a file.
type Store struct {
	path  string
	queue *semaphore.Weighted
}

var _ keystore.Store = (*Store)(nil)

// New returns the store in the file path. It does no I/O.
func New(path string) *Store {
	return &Store{path: path, queue: semaphore.NewWeighted(everybody)}
}

// Close does nothing: the file is open only during a call.
func (s *Store) Close() error { return nil }

func (s *Store) view(ctx context.Context, f func(*state) error) error {
	return s.open(ctx, true, func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error {
			st, err := open(tx)
			if err != nil {
				return err
			}
			return f(st)
		})
	})
}

func (s *Store) update(ctx context.Context, f func(*state) error) error {
	return s.open(ctx, false, func(db *bbolt.DB) error {
		return db.Update(func(tx *bbolt.Tx) error {
			st, err := open(tx)
			if err != nil {
				return err
			}
			return f(st)
		})
	})
}

func (s *Store) ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "gave up on %s", s.path).Because(err)
	}
	return nil
}

func (s *Store) open(ctx context.Context, readOnly bool, f func(*bbolt.DB) error) error {
	weight := int64(everybody)
	if readOnly {
		weight = 1
	}
	if err := s.queue.Acquire(ctx, weight); err != nil {
		return s.ended(ctx)
	}
	defer s.queue.Release(weight)
	for {
		if err := s.ended(ctx); err != nil {
			return err
		}
		db, err := bbolt.Open(s.path, 0o600, &bbolt.Options{
			Timeout: 1, ReadOnly: readOnly, FreelistType: bbolt.FreelistMapType,
			OpenFile: func(path string, flags int, mode fs.FileMode) (*os.File, error) {
				return os.OpenFile(path, flags&^os.O_CREATE, mode)
			},
		})
		switch {
		case errors.Is(err, berrors.ErrTimeout):
			time.Sleep(time.Millisecond)
			continue
		case errors.Is(err, fs.ErrNotExist):
			return keystore.ErrEmpty
		case err != nil:
			return err
		}
		defer func() { _ = db.Close() }()
		return f(db)
	}
}

// Create implements keystore.Store.
func (s *Store) Create(ctx context.Context, root seal.Fingerprint, first keystore.Key, e keystore.Event) (bool, error) {
	if err := s.ended(ctx); err != nil {
		return false, err
	}
	tmp, err := os.CreateTemp("", "new*")
	if err != nil {
		return false, err
	}
	_ = tmp.Close()
	name := s.path + "." + tmp.Name()[len(os.TempDir())+1:]
	defer func() { _ = os.Remove(tmp.Name()); _ = os.Remove(name) }()
	db, err := bbolt.Open(name, 0o600, nil)
	if err != nil {
		return false, err
	}
	err = db.Update(func(tx *bbolt.Tx) error { return create(tx, root, first, e) })
	_ = db.Close()
	if err != nil {
		return false, err
	}
	err = os.Link(name, s.path)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// Load implements keystore.Store.
func (s *Store) Load(ctx context.Context) (keys *keystore.Keys, err error) {
	err = s.view(ctx, func(st *state) error { keys, err = st.all(); return err })
	return keys, err
}

// Reserve implements keystore.Store.
func (s *Store) Reserve(ctx context.Context, id seal.KeyID, n uint64) error {
	return s.update(ctx, func(st *state) error {
		k, err := st.in(id, keystore.Active, keystore.ErrNotActive)
		if err != nil {
			return err
		}
		if k.Seals > seal.MaxSeals || n > seal.MaxSeals-k.Seals {
			return keystore.ErrSpent
		}
		k.Seals += n
		return st.putKey(*k)
	})
}

// Get implements keystore.Store.
func (s *Store) Get(ctx context.Context, name string) (box []byte, err error) {
	err = s.view(ctx, func(st *state) error {
		v := st.boxes.Get([]byte(name))
		if v == nil {
			return fault.New(fault.NotFound, "no secret of that name")
		}
		_, b, err := parseBox([]byte(name), v)
		box = append([]byte{}, b...)
		return err
	})
	return box, err
}

// Put implements keystore.Store.
func (s *Store) Put(ctx context.Context, id seal.KeyID, name string, box []byte) error {
	return s.update(ctx, func(st *state) error {
		if _, err := st.in(id, keystore.Active, keystore.ErrNotActive); err != nil {
			return err
		}
		return st.putBox([]byte(name), id, box)
	})
}

// Delete implements keystore.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.update(ctx, func(st *state) error {
		if st.boxes.Get([]byte(name)) == nil {
			return fault.New(fault.NotFound, "no secret of that name")
		}
		return st.boxes.Delete([]byte(name))
	})
}

// Names implements keystore.Store.
func (s *Store) Names(ctx context.Context, after string, limit int) (names []string, err error) {
	err = s.view(ctx, func(st *state) error {
		c := st.boxes.Cursor()
		for k, _ := c.Seek([]byte(after + "\x00")); k != nil && len(names) < limit; k, _ = c.Next() {
			names = append(names, string(k))
		}
		return nil
	})
	return names, err
}

// Boxes implements keystore.Store.
func (s *Store) Boxes(ctx context.Context, r keystore.Range) (boxes []keystore.Box, err error) {
	err = s.view(ctx, func(st *state) error {
		c := st.boxes.Cursor()
		size := 0
		for k, v := c.Seek([]byte(r.After + "\x00")); k != nil && len(boxes) < r.Limit && (size < r.Bytes || boxes == nil); k, v = c.Next() {
			id, box, err := parseBox(k, v)
			if err != nil {
				return err
			}
			if r.Key == 0 || r.Key == id {
				boxes = append(boxes, keystore.Box{Name: string(k), Key: id, Box: append([]byte{}, box...)})
				size += len(box)
			}
		}
		return nil
	})
	return boxes, err
}

// Count implements keystore.Store.
func (s *Store) Count(ctx context.Context) (map[seal.KeyID]int, error) {
	count := map[seal.KeyID]int{}
	err := s.view(ctx, func(st *state) error {
		return st.boxes.ForEach(func(k, v []byte) error {
			id, _, err := parseBox(k, v)
			count[id]++
			return err
		})
	})
	return count, err
}

// DeleteInactive implements keystore.Store.
func (s *Store) DeleteInactive(ctx context.Context, e keystore.Event) (gone []keystore.Key, err error) {
	err = s.update(ctx, func(st *state) error {
		keys, err := st.all()
		if err != nil {
			return err
		}
		e.Keys = nil
		for _, k := range keys.Keys {
			if k.State == keystore.Inactive {
				gone = append(gone, k)
				e.Keys = append(e.Keys, k.ID)
			}
		}
		if err := st.inUse(e.Keys...); err != nil {
			return err
		}
		for _, id := range e.Keys {
			if err := st.keys.Delete(idKey(id)); err != nil {
				return err
			}
		}
		_, err = st.record(e)
		return err
	})
	return gone, err
}

// Record implements keystore.Store.
func (s *Store) Record(ctx context.Context, e keystore.Event) (keystore.Event, error) {
	err := s.update(ctx, func(st *state) (err error) { e, err = st.record(e); return err })
	return e, err
}

// Events implements keystore.Store.
func (s *Store) Events(ctx context.Context, after int64, limit int) (events []keystore.Event, err error) {
	err = s.view(ctx, func(st *state) error {
		c := st.events.Cursor()
		for k, v := c.Seek(idKey(after + 1)); k != nil && len(events) < limit; k, v = c.Next() {
			var row eventRow
			if err := parseJSON(k, v, &row); err != nil {
				return err
			}
			events = append(events, keystore.Event{Seq: int64(binary.BigEndian.Uint64(k)), Time: row.Time,
				Actor: row.Actor, Action: row.Action, Outcome: row.Outcome, Keys: row.Keys, Detail: row.Detail})
		}
		return nil
	})
	return events, err
}
