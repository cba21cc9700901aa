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

// lease is held as long as its token is the one in secretref_lease. By the clock of the
// database it can be taken over 15 seconds after it was last extended. Until another
// process takes it over, which changes the token, it still works. A call in progress
// keeps the row locked, however long it takes.
type lease struct {
	store    *Store
	token    int64
	released bool
}

var _ store.Lease = (*lease)(nil)

// releaseTimeout limits how long Release takes.
const releaseTimeout = time.Second

func heldError() error {
	return fault.New(fault.RotationInProgress,
		"another process is changing keys, or crashed less than 15 seconds ago")
}

func lostError() error {
	return fault.New(fault.RotationInProgress,
		"the lease was not renewed in time, and another process has taken it over")
}

// Acquire implements [store.Store]. It also takes over a lease that expires much later than
// possible, since the clock of the database has then been set back. It tolerates a little
// later: the clock of MySQL stands still during a statement, which may have begun before
// the one that extended the lease, and be slow.
func (s *Store) Acquire(ctx context.Context) (store.Lease, error) {
	if err := s.createTables(ctx); err != nil {
		return nil, err
	}
	l := &lease{store: s}
	err := s.inTx(ctx, func(q session) error {
		err := q.row(ctx, `SELECT token FROM secretref_lease WHERE id = 1
			AND (expires <= {now} OR expires > {now} + 2 * {leaseTTL}) FOR UPDATE SKIP LOCKED`).Scan(&l.token)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return heldError()
		case err != nil:
			return err
		}
		l.token++
		_, err = q.exec(ctx,
			`UPDATE secretref_lease SET token = ?, expires = {now} + {leaseTTL} WHERE id = 1`, l.token)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// inTx calls f in a transaction that first extends the lease.
func (l *lease) inTx(ctx context.Context, f func(q session) error) error {
	if l.released {
		return lostError()
	}
	return l.store.inTx(ctx, func(q session) error {
		held, err := q.exec(ctx,
			`UPDATE secretref_lease SET expires = {now} + {leaseTTL} WHERE id = 1 AND token = ?`, l.token)
		if err != nil {
			return err
		}
		if held == 0 { // the lease is lost, or was extended to the same microsecond
			var token int64
			err := q.row(ctx, `SELECT token FROM secretref_lease WHERE id = 1 AND token = ? FOR UPDATE`,
				l.token).Scan(&token)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				return lostError()
			case err != nil:
				return err
			}
		}
		return f(q)
	})
}

// Renew implements [store.Lease].
func (l *lease) Renew(ctx context.Context) error {
	return l.inTx(ctx, func(session) error { return nil })
}

// Release implements [store.Lease].
func (l *lease) Release(ctx context.Context) {
	if l.released {
		return
	}
	l.released = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	_ = l.store.autocommit(ctx, func(q session) error { // if it fails the lease expires
		_, err := q.exec(ctx, `UPDATE secretref_lease SET expires = 0 WHERE id = 1 AND token = ?`,
			l.token)
		return err
	})
}

// Activate implements [store.Lease].
func (l *lease) Activate(ctx context.Context, root seal.Fingerprint, from seal.KeyID,
	next store.Key, e store.Event) error {
	return l.inTx(ctx, func(q session) error {
		if err := q.lockMeta(ctx, root); err != nil {
			return err
		}
		if q.queueLock != "" {
			if _, err := q.exec(ctx, q.queueLock); err != nil {
				return err
			}
		}
		active, err := q.lockState(ctx, from) // waits for every Put that has claimed the key
		if err != nil {
			return err
		}
		var retiring int
		if err := q.row(ctx,
			`SELECT count(*) FROM secretref_keys WHERE state = {retiring}`).Scan(&retiring); err != nil {
			return err
		}
		if active != store.Active || retiring > 0 {
			return store.ErrChanged
		}
		var now int64
		if err := q.row(ctx, `SELECT {now}`).Scan(&now); err != nil {
			return err
		}
		if _, err := q.exec(ctx,
			`UPDATE secretref_keys SET state = {retiring}, deactivated = ? WHERE id = ?`, now,
			int64(from)); err != nil {
			return err
		}
		if err := q.insertKey(ctx, next, now); err != nil {
			return err
		}
		if _, err := q.exec(ctx, `UPDATE secretref_meta SET active = ? WHERE id = 1`,
			int64(next.ID)); err != nil {
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
	err := l.inTx(ctx, func(q session) error {
		var one int
		err := q.row(ctx, `SELECT 1 FROM secretref_keys WHERE id = ? AND state = {active} {claim}`,
			int64(to)).Scan(&one)
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

// nameRange returns the first and the last name.
func nameRange(swaps []store.Swap) (first, last []byte) {
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
	return l.inTx(ctx, func(q session) error {
		switch state, err := q.lockState(ctx, id); {
		case err != nil:
			return err
		case state != store.Retiring:
			return store.ErrChanged
		}
		if err := q.checkUnused(ctx, id); err != nil {
			return err
		}
		if _, err := q.exec(ctx, `UPDATE secretref_keys SET state = {inactive} WHERE id = ?`,
			int64(id)); err != nil {
			return err
		}
		_, err := q.recordEvent(ctx, e)
		return err
	})
}

// Rewrap implements [store.Lease].
func (l *lease) Rewrap(ctx context.Context, from, to seal.Fingerprint,
	wrapped map[seal.KeyID][]byte, e store.Event) error {
	return l.inTx(ctx, func(q session) error {
		if err := q.lockMeta(ctx, from); err != nil {
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
			if _, err := q.exec(ctx, `UPDATE secretref_keys SET wrapped = ? WHERE id = ?`, nonNil(w),
				int64(id)); err != nil {
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

// lockMeta locks the meta row until the transaction ends. It returns store.ErrChanged
// unless the keys are wrapped with root.
func (s session) lockMeta(ctx context.Context, root seal.Fingerprint) error {
	var stored []byte
	if err := s.row(ctx,
		`SELECT root FROM secretref_meta WHERE id = 1 FOR UPDATE`).Scan(&stored); err != nil {
		return err
	}
	if string(stored) != string(root[:]) {
		return store.ErrChanged
	}
	return nil
}

// lockState locks a key until the transaction ends and returns its state, or "" if there
// is no such key.
func (s session) lockState(ctx context.Context, id seal.KeyID) (state store.State, err error) {
	var text string
	err = s.row(ctx, `SELECT state FROM secretref_keys WHERE id = ? FOR UPDATE`, int64(id)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return store.State(text), err
}

// lockKeys locks all keys until the transaction ends and returns their ids.
func (s session) lockKeys(ctx context.Context) (ids []seal.KeyID, err error) {
	rows, err := s.query(ctx, `SELECT id FROM secretref_keys ORDER BY id {change}`)
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
