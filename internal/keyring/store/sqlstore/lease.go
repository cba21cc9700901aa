package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// lease is held by whoever knows the token in secretref_lease. It is free for
// others 15 seconds after it was last prolonged, by the database's clock; until
// one of them takes it, which changes the token, it still works. A call that is
// under way keeps the row locked, however long it takes.
type lease struct {
	store    *Store
	token    int64
	released bool
}

var _ store.Lease = (*lease)(nil)

func taken() error {
	return fault.New(fault.RotationInProgress, "somebody else is changing keys, or died while doing so less than 15 seconds ago")
}

func lost() error {
	return fault.New(fault.RotationInProgress, "the right to change keys was not prolonged in time, and somebody else has it now")
}

// Acquire implements [store.Store]. A lease that ends much later than any can
// is from before the database's clock was put back. Not a little later: MySQL's
// clock stands still during a statement, which may have begun before the one
// that prolonged the lease, and be slow.
func (s *Store) Acquire(ctx context.Context) (store.Lease, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	l := &lease{store: s}
	err := s.within(ctx, func(q session) error {
		err := q.row(ctx, `SELECT token FROM secretref_lease WHERE id = 1
			AND (expires <= {now} OR expires > {now} + 2 * {lapse}) FOR UPDATE SKIP LOCKED`).Scan(&l.token)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return taken()
		case err != nil:
			return err
		}
		l.token++
		_, err = q.exec(ctx, `UPDATE secretref_lease SET token = ?, expires = {now} + {lapse} WHERE id = 1`, l.token)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// within runs f in a transaction of the one that holds the lease.
func (l *lease) within(ctx context.Context, f func(q session) error) error {
	if l.released {
		return lost()
	}
	return l.store.within(ctx, func(q session) error {
		held, err := q.exec(ctx, `UPDATE secretref_lease SET expires = {now} + {lapse} WHERE id = 1 AND token = ?`, l.token)
		if err != nil {
			return err
		}
		if held == 0 { // or prolonged to the same microsecond
			var token int64
			err := q.row(ctx, `SELECT token FROM secretref_lease WHERE id = 1 AND token = ? FOR UPDATE`, l.token).Scan(&token)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				return lost()
			case err != nil:
				return err
			}
		}
		return f(q)
	})
}

// Renew implements [store.Lease].
func (l *lease) Renew(ctx context.Context) error {
	return l.within(ctx, func(session) error { return nil })
}

// Release implements [store.Lease].
func (l *lease) Release(ctx context.Context) {
	if l.released {
		return
	}
	l.released = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = l.store.do(ctx, func(q session) error { // else it lapses
		_, err := q.exec(ctx, `UPDATE secretref_lease SET expires = 0 WHERE id = 1 AND token = ?`, l.token)
		return err
	})
}

// Activate implements [store.Lease].
func (l *lease) Activate(ctx context.Context, root seal.Fingerprint, from seal.KeyID, next store.Key, e store.Event) error {
	return l.within(ctx, func(q session) error {
		if err := q.expect(ctx, root); err != nil {
			return err
		}
		if q.gate != "" {
			if _, err := q.exec(ctx, q.gate); err != nil {
				return err
			}
		}
		active, err := q.state(ctx, from) // waits for every Put that has claimed it
		if err != nil {
			return err
		}
		var retiring int
		if err := q.row(ctx, `SELECT count(*) FROM secretref_keys WHERE state = {retiring}`).Scan(&retiring); err != nil {
			return err
		}
		if active != store.Active || retiring > 0 {
			return store.ErrChanged
		}
		var now int64
		if err := q.row(ctx, `SELECT {now}`).Scan(&now); err != nil {
			return err
		}
		if _, err := q.exec(ctx, `UPDATE secretref_keys SET state = {retiring}, deactivated = ? WHERE id = ?`, now, int64(from)); err != nil {
			return err
		}
		if err := q.insertKey(ctx, next, now); err != nil {
			return err
		}
		if _, err := q.exec(ctx, `UPDATE secretref_meta SET active = ? WHERE id = 1`, int64(next.ID)); err != nil {
			return err
		}
		_, err = q.recordEvent(ctx, e)
		return err
	})
}

// Move implements [store.Lease].
func (l *lease) Move(ctx context.Context, from, to seal.KeyID, swaps []store.Swap) (int, error) {
	for i := range swaps {
		if len(swaps[i].Sealed) > maxRecordSize {
			return 0, fault.New(fault.Unsupported, "a record has at most %d bytes", maxRecordSize)
		}
	}
	var moved int64
	err := l.within(ctx, func(q session) error {
		var one int
		err := q.row(ctx, `SELECT 1 FROM secretref_keys WHERE id = ? AND state = {active} {claim}`, int64(to)).Scan(&one)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return store.ErrNotActive
		case err != nil:
			return err
		}
		moved, err = q.move(ctx, q, int64(from), int64(to), swaps)
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(moved), nil
}

// span returns the first and the last of the names.
func span(swaps []store.Swap) (first, last []byte) {
	if len(swaps) == 0 {
		return nil, nil
	}
	low, high := swaps[0].Name, swaps[0].Name
	for i := range swaps {
		low, high = min(low, swaps[i].Name), max(high, swaps[i].Name)
	}
	return []byte(low), []byte(high)
}

// Retire implements [store.Lease].
func (l *lease) Retire(ctx context.Context, id seal.KeyID, e store.Event) error {
	return l.within(ctx, func(q session) error {
		switch state, err := q.state(ctx, id); {
		case err != nil:
			return err
		case state != store.Retiring:
			return store.ErrChanged
		}
		if err := q.unused(ctx, id); err != nil {
			return err
		}
		if _, err := q.exec(ctx, `UPDATE secretref_keys SET state = {inactive} WHERE id = ?`, int64(id)); err != nil {
			return err
		}
		_, err := q.recordEvent(ctx, e)
		return err
	})
}

// Rewrap implements [store.Lease].
func (l *lease) Rewrap(ctx context.Context, from, to seal.Fingerprint, wrapped map[seal.KeyID][]byte, e store.Event) error {
	return l.within(ctx, func(q session) error {
		if err := q.expect(ctx, from); err != nil {
			return err
		}
		ids, err := q.lockKeys(ctx)
		if err != nil {
			return err
		}
		if len(ids) != len(wrapped) {
			return store.ErrChanged
		}
		for _, id := range ids {
			w, ok := wrapped[id]
			if !ok {
				return store.ErrChanged
			}
			if _, err := q.exec(ctx, `UPDATE secretref_keys SET wrapped = ? WHERE id = ?`, some(w), int64(id)); err != nil {
				return err
			}
		}
		if _, err := q.exec(ctx, `UPDATE secretref_meta SET root = ? WHERE id = 1`, to[:]); err != nil {
			return err
		}
		_, err = q.recordEvent(ctx, e)
		return err
	})
}

// expect returns store.ErrChanged unless the keys are wrapped with root, and
// lets nobody change that before the transaction ends.
func (q session) expect(ctx context.Context, root seal.Fingerprint) error {
	var stored []byte
	if err := q.row(ctx, `SELECT root FROM secretref_meta WHERE id = 1 FOR UPDATE`).Scan(&stored); err != nil {
		return err
	}
	if string(stored) != string(root[:]) {
		return store.ErrChanged
	}
	return nil
}

// state returns the state of a key, or none if there is no such key, and lets
// nobody change or claim it before the transaction ends.
func (q session) state(ctx context.Context, id seal.KeyID) (state store.State, err error) {
	var text string
	err = q.row(ctx, `SELECT state FROM secretref_keys WHERE id = ? FOR UPDATE`, int64(id)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return store.State(text), err
}

// lockKeys returns the ids of all keys, which nobody else can change or delete
// before the transaction ends.
func (q session) lockKeys(ctx context.Context) (ids []seal.KeyID, err error) {
	rows, err := q.query(ctx, `SELECT id FROM secretref_keys ORDER BY id {change}`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, seal.KeyID(id))
	}
	return ids, rows.Err()
}
