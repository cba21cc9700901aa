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

// What the columns hold. MySQL cuts off what is longer, unless told otherwise.
const (
	maxName       = 1024
	maxRecordSize = 1<<24 - 1
)

// Get implements [store.Store] with one round trip.
func (s *Store) Get(ctx context.Context, name string) (record []byte, err error) {
	err = s.do(ctx, func(q session) error {
		return q.row(ctx, `SELECT record FROM secretref_records WHERE name = ?`, []byte(name)).Scan(&record)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows), s.empty(ctx, &err):
		return nil, fault.New(fault.NotFound, "no secret is stored under %q", name)
	case err != nil:
		return nil, err
	}
	return some(record), nil
}

// Put implements [store.Store] with one statement, so that no lock waits for
// a client that has fallen silent.
func (s *Store) Put(ctx context.Context, id seal.KeyID, name string, record []byte) error {
	if name == "" || len(name) > maxName || len(record) > maxRecordSize {
		return fault.New(fault.Unsupported, "a name has 1 to %d bytes, and a record at most %d", maxName, maxRecordSize)
	}
	var stored int64
	statement, args := s.dialect.put([]byte(name), some(record), int64(id))
	err := s.do(ctx, func(q session) (err error) {
		stored, err = q.exec(ctx, statement, args...)
		return err
	})
	if s.empty(ctx, &err) || err == nil && stored == 0 {
		return store.ErrNotActive
	}
	return err
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, name string) error {
	var deleted int64
	err := s.do(ctx, func(q session) (err error) {
		deleted, err = q.exec(ctx, `DELETE FROM secretref_records WHERE name = ?`, []byte(name))
		return err
	})
	if s.empty(ctx, &err) || err == nil && deleted == 0 {
		return fault.New(fault.NotFound, "no secret is stored under %q", name)
	}
	return err
}

// Names implements [store.Store].
func (s *Store) Names(ctx context.Context, after string, limit int) (names []string, err error) {
	err = s.do(ctx, func(q session) error {
		names = nil
		rows, err := q.query(ctx, `SELECT name FROM secretref_records WHERE name > ? ORDER BY name LIMIT ?`, []byte(after), int64(max(limit, 0)))
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
	s.empty(ctx, &err)
	return names, err
}

// Records implements [store.Store]. The lengths come first, so that the
// database sends hardly more than is returned, however long the records are.
func (s *Store) Records(ctx context.Context, r store.Range) (records []store.Record, err error) {
	args := []any{[]byte(r.After)}
	where := `name > ?`
	if r.Key != 0 {
		args = append(args, int64(r.Key))
		where += ` AND ` + s.dialect.under
	}
	err = s.do(ctx, func(q session) error {
		records = nil
		fit, err := q.fit(ctx, r, where, args)
		if err != nil || fit == 0 {
			return err
		}
		rows, err := q.page(ctx, `name, key_id, record`, where, fit, args)
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
			b.Key, b.Sealed = seal.KeyID(id), some(b.Sealed)
			bytes += len(b.Sealed)
			records = append(records, b)
		}
		return rows.Err()
	})
	s.empty(ctx, &err)
	return records, err
}

// fit returns how many records a page has.
func (q session) fit(ctx context.Context, r store.Range, where string, args []any) (n int, err error) {
	rows, err := q.page(ctx, q.length, where, max(r.Limit, 0), args)
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

// page reads rows in the order of their names. The limit is not an argument:
// plans are made for its value.
func (q session) page(ctx context.Context, columns, where string, limit int, args []any) (*sql.Rows, error) {
	return q.query(ctx, `SELECT `+columns+` FROM secretref_records `+q.byName+` WHERE `+where+` ORDER BY name LIMIT `+strconv.Itoa(limit), args...)
}

// Count implements [store.Store].
func (s *Store) Count(ctx context.Context) (count map[seal.KeyID]int, err error) {
	err = s.do(ctx, func(q session) error {
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
	s.empty(ctx, &err)
	return count, err
}

// empty reports whether *err says that the tables are not there, and clears it
// then: where there is no keyring there are no records. If there is a keyring, a
// table of it has been lost, which is quite another thing.
func (s *Store) empty(ctx context.Context, err *error) bool {
	if !errors.Is(*err, store.ErrEmpty) {
		return false
	}
	switch _, load := s.Load(ctx); {
	case errors.Is(load, store.ErrEmpty):
		*err = nil
	case load == nil:
		*err = fault.New(fault.Corrupt, "there is a keyring, but one of the secretref_ tables is missing")
	default:
		*err = load
	}
	return *err == nil
}
