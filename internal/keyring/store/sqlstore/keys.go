package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// ReserveEncryptions implements [store.Store].
func (s *Store) ReserveEncryptions(ctx context.Context, id seal.KeyID, n uint64) error {
	var reserved int64
	var state string
	var encryptions uint64
	err := s.autocommit(ctx, func(q session) (err error) {
		if n <= seal.MaxEncryptions {
			reserved, err = q.exec(ctx,
				`UPDATE secretref_keys SET encryptions = encryptions + ? WHERE id = ? AND state = {active} AND encryptions <= ?`,
				int64(n), int64(id), int64(seal.MaxEncryptions-n))
		}
		if reserved == 0 && err == nil {
			err = q.row(ctx, `SELECT state, encryptions FROM secretref_keys WHERE id = ?`,
				int64(id)).Scan(&state, &encryptions)
		}
		return err
	})
	switch {
	case errors.Is(err, sql.ErrNoRows), s.clearEmpty(ctx, &err):
		return store.ErrNotActive
	case err != nil || reserved > 0:
		return err
	case store.State(state) == store.Active &&
		(n > seal.MaxEncryptions || encryptions > seal.MaxEncryptions-n):
		return store.ErrKeyExhausted
	case store.State(state) == store.Active && n == 0:
		return nil // the UPDATE changed no row, which some databases report as 0
	}
	return store.ErrNotActive
}

// DeleteInactive implements [store.Store].
func (s *Store) DeleteInactive(ctx context.Context, e store.Event) (deleted []store.Key,
	err error) {
	remove := func() error {
		return s.inTx(ctx, func(q session) error {
			deleted, err = q.deleteInactive(ctx, e)
			return err
		})
	}
	if err = remove(); errors.Is(err, store.ErrEmpty) {
		if err = s.createTables(ctx); err == nil {
			err = remove()
		}
	}
	if err != nil {
		return nil, err
	}
	return deleted, nil
}

func (s session) deleteInactive(ctx context.Context, e store.Event) ([]store.Key, error) {
	deleted, err := s.lockInactive(ctx)
	if err != nil {
		return nil, err
	}
	e.Keys = nil
	for _, k := range deleted {
		// This statement began after the key was locked, so it sees every record that was
		// put under the key before.
		if err := s.checkUnused(ctx, k.ID); err != nil {
			return nil, err
		}
		if _, err := s.exec(ctx, `DELETE FROM secretref_keys WHERE id = ?`, int64(k.ID)); err != nil {
			return nil, err
		}
		e.Keys = append(e.Keys, k.ID)
	}
	_, err = s.recordEvent(ctx, e)
	return deleted, err
}

// lockInactive returns the inactive keys and locks them until the transaction ends.
func (s session) lockInactive(ctx context.Context) (keys []store.Key, err error) {
	rows, err := s.query(ctx,
		`SELECT `+keyColumns+
			` FROM secretref_keys k WHERE k.state = {inactive} ORDER BY k.created, k.id FOR UPDATE`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, encryptions, created, activated, deactivated int64
		var state string
		var wrapped []byte
		if err := rows.Scan(&id, &state, &wrapped, &encryptions, &created, &activated,
			&deactivated); err != nil {
			return nil, err
		}
		keys = append(keys, key(id, state, wrapped, encryptions, created, activated, deactivated))
	}
	return keys, rows.Err()
}

// checkUnused returns store.ErrInUse if a record is under the key.
func (s session) checkUnused(ctx context.Context, id seal.KeyID) error {
	var one int
	err := s.row(ctx, `SELECT 1 FROM secretref_records WHERE key_id = ? LIMIT 1`, int64(id)).Scan(&one)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return store.ErrInUse
}
