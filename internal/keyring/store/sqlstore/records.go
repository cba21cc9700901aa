package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// maxRecordSize is the size of the column, a MEDIUMBLOB of MySQL. Depending on its SQL
// mode, MySQL truncates longer values.
const maxRecordSize = 1<<24 - 1

// Get implements [store.Store] with one round trip.
func (s *Store) Get(ctx context.Context, name string) (record []byte, err error) {
	err = s.autocommit(ctx, func(q session) error {
		return q.row(ctx, `SELECT record FROM secretref_records WHERE name = ?`,
			[]byte(name)).Scan(&record)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows), s.clearEmpty(ctx, &err):
		return nil, fault.New(fault.NotFound, "no secret is stored under %q", name)
	case err != nil:
		return nil, err
	}
	return nonNil(record), nil
}

// Put implements [store.Store] with one statement, so that a client that stops responding
// holds no lock.
func (s *Store) Put(ctx context.Context, id seal.KeyID, name string, record []byte) error {
	if name == "" || len(name) > store.MaxName || len(record) > maxRecordSize {
		return fault.New(fault.Unsupported, "a name has 1 to %d bytes, and a record at most %d",
			store.MaxName, maxRecordSize)
	}
	var stored int64
	statement, args := s.dialect.put([]byte(name), nonNil(record), int64(id))
	err := s.autocommit(ctx, func(q session) (err error) {
		stored, err = q.exec(ctx, statement, args...)
		return err
	})
	if s.clearEmpty(ctx, &err) || err == nil && stored == 0 {
		return store.ErrNotActive
	}
	return err
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, name string) error {
	var deleted int64
	err := s.autocommit(ctx, func(q session) (err error) {
		deleted, err = q.exec(ctx, `DELETE FROM secretref_records WHERE name = ?`, []byte(name))
		return err
	})
	if s.clearEmpty(ctx, &err) || err == nil && deleted == 0 {
		return fault.New(fault.NotFound, "no secret is stored under %q", name)
	}
	return err
}

// Names implements [store.Store].
func (s *Store) Names(ctx context.Context, after string, limit int) (names []string, err error) {
	err = s.autocommit(ctx, func(q session) error {
		names = nil
		rows, err := q.query(ctx,
			`SELECT name FROM secretref_records WHERE name > ? ORDER BY name LIMIT ?`, []byte(after),
			int64(max(limit, 0)))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
		}
		return rows.Err()
	})
	s.clearEmpty(ctx, &err)
	return names, err
}

// Records implements [store.Store]. It first reads the lengths, so that the database sends
// hardly more than the page, however long the records are.
func (s *Store) Records(ctx context.Context, r store.Range) (records []store.Record, err error) {
	args := []any{[]byte(r.After)}
	where := `name > ?`
	if r.Key != 0 {
		args = append(args, int64(r.Key))
		where += ` AND ` + s.dialect.under
	}
	err = s.autocommit(ctx, func(q session) error {
		records = nil
		n, err := q.countFitting(ctx, r, where, args)
		if err != nil || n == 0 {
			return err
		}
		rows, err := q.queryPage(ctx, `name, key_id, record`, where, n, args)
		if err != nil {
			return err
		}
		defer rows.Close()
		for bytes := 0; rows.Next() && (len(records) == 0 || bytes < r.Bytes); {
			var b store.Record
			var id int64
			if err := rows.Scan(&b.Name, &id, &b.Sealed); err != nil {
				return err
			}
			b.Key, b.Sealed = seal.KeyID(id), nonNil(b.Sealed)
			bytes += len(b.Sealed)
			records = append(records, b)
		}
		return rows.Err()
	})
	s.clearEmpty(ctx, &err)
	return records, err
}

// countFitting returns the number of records on a page.
func (s session) countFitting(ctx context.Context, r store.Range, where string, args []any) (n int,
	err error) {
	rows, err := s.queryPage(ctx, s.length, where, max(r.Limit, 0), args)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for bytes := 0; rows.Next() && (n == 0 || bytes < r.Bytes); n++ {
		var length int
		if err := rows.Scan(&length); err != nil {
			return 0, err
		}
		bytes += length
	}
	return n, rows.Err()
}

// queryPage selects rows in the order of their names. The limit is a literal so that the
// planner sees its value.
func (s session) queryPage(ctx context.Context, columns, where string, limit int,
	args []any) (*sql.Rows, error) {
	return s.query(ctx,
		`SELECT `+columns+` FROM secretref_records `+s.byName+` WHERE `+where+` ORDER BY name LIMIT `+
			strconv.Itoa(limit), args...)
}

// Count implements [store.Store].
func (s *Store) Count(ctx context.Context) (count map[seal.KeyID]int, err error) {
	err = s.autocommit(ctx, func(q session) error {
		count = make(map[seal.KeyID]int)
		rows, err := q.query(ctx, `SELECT key_id, count(*) FROM secretref_records GROUP BY key_id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			var n int
			if err := rows.Scan(&id, &n); err != nil {
				return err
			}
			count[seal.KeyID(id)] = n
		}
		return rows.Err()
	})
	s.clearEmpty(ctx, &err)
	return count, err
}

// clearEmpty reports whether *err says that the tables do not exist, and then clears it:
// without a keyring there are no records. But if there is a keyring, one of its tables
// has been lost, and *err becomes fault.Corrupt.
func (s *Store) clearEmpty(ctx context.Context, err *error) bool {
	if !errors.Is(*err, store.ErrEmpty) {
		return false
	}
	switch _, load := s.Load(ctx); {
	case errors.Is(load, store.ErrEmpty):
		*err = nil
	case load == nil:
		*err = fault.New(fault.Corrupt, "there is a keyring, but one of its secretref_ tables is missing")
	default:
		*err = load
	}
	return *err == nil
}
