package sqlstore

import (
	"context"
	"errors"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// RecordEvent implements [store.Store].
func (s *Store) RecordEvent(ctx context.Context, e store.Event) (stored store.Event, err error) {
	record := func() error {
		return s.autocommit(ctx, func(q session) error {
			stored, err = q.recordEvent(ctx, e)
			return err
		})
	}
	if err = record(); errors.Is(err, store.ErrEmpty) {
		if err = s.createTables(ctx); err == nil {
			err = record()
		}
	}
	return stored, err
}

// recordEvent appends e to the audit log. Sequence numbers are not in the order in which
// transactions commit.
func (s session) recordEvent(ctx context.Context, e store.Event) (store.Event, error) {
	const insert = `INSERT INTO secretref_events (time, actor, action, outcome, key_ids, detail) VALUES (?, ?, ?, ?, ?, ?)`
	var now int64
	if err := s.row(ctx, `SELECT {now}`).Scan(&now); err != nil {
		return e, err
	}
	e.Time = fromMicros(now)
	ids := make([]string, len(e.Keys))
	for i, id := range e.Keys {
		ids[i] = id.String()
	}
	args := []any{now, []byte(e.Actor), []byte(e.Action), []byte(e.Outcome),
		[]byte(strings.Join(ids, " ")), []byte(e.Detail)}
	if s.returning {
		return e, s.row(ctx, insert+` RETURNING seq`, args...).Scan(&e.Seq)
	}
	result, err := s.result(ctx, insert, args...)
	if err == nil {
		e.Seq, err = result.LastInsertId()
	}
	return e, err
}

// Events implements [store.Store]. A sequence number is assigned before its transaction
// commits, so that an event may appear later than one with a higher number. A reader that
// follows the log should read its last minute again.
func (s *Store) Events(ctx context.Context, after int64, limit int) (events []store.Event,
	err error) {
	err = s.autocommit(ctx, func(q session) error {
		events = nil
		rows, err := q.query(ctx, `SELECT seq, time, actor, action, outcome, key_ids, detail
			FROM secretref_events WHERE seq > ? ORDER BY seq LIMIT ?`, after, int64(max(limit, 0)))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var e store.Event
			var micros int64
			var ids string
			if err := rows.Scan(&e.Seq, &micros, &e.Actor, &e.Action, &e.Outcome, &ids,
				&e.Detail); err != nil {
				return err
			}
			e.Time = fromMicros(micros)
			for text := range strings.FieldsSeq(ids) {
				id, err := seal.ParseKeyID(text)
				if err != nil {
					return fault.New(fault.Corrupt, "event %d in secretref_events has a damaged key id", e.Seq)
				}
				e.Keys = append(e.Keys, id)
			}
			events = append(events, e)
		}
		return rows.Err()
	})
	s.clearEmpty(ctx, &err)
	return events, err
}
