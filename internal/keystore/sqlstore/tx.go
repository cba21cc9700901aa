package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"math/rand/v2"
	"time"
)

// session is a connection: one for each statement, or that of a transaction.
type session struct {
	*dialect
	conn interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
}

// exec returns how many rows the statement affected. A row that an UPDATE
// leaves as it was counts with some databases, and not with others.
func (q session) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := q.result(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (q session) result(ctx context.Context, statement string, args ...any) (sql.Result, error) {
	statement, args = q.render(statement, args)
	return q.conn.ExecContext(ctx, statement, args...)
}

func (q session) query(ctx context.Context, statement string, args ...any) (*sql.Rows, error) {
	statement, args = q.render(statement, args)
	return q.conn.QueryContext(ctx, statement, args...)
}

func (q session) row(ctx context.Context, statement string, args ...any) *sql.Row {
	statement, args = q.render(statement, args)
	return q.conn.QueryRowContext(ctx, statement, args...)
}

// read runs f, which changes nothing, and may run again.
func (s *Store) read(ctx context.Context, f func(q session) error) error {
	return again(ctx, func() (vain bool, err error) { return true, f(session{s.dialect, s.db}) })
}

// do runs f, each of whose statements is a transaction. It runs again if the
// database took the last of them back.
func (s *Store) do(ctx context.Context, f func(q session) error) error {
	return again(ctx, func() (vain bool, err error) { return false, f(session{s.dialect, s.db}) })
}

// within runs f in a transaction, which ends well if f does. It runs again if
// the database took all of it back.
func (s *Store) within(ctx context.Context, f func(q session) error) error {
	return again(ctx, func() (vain bool, err error) {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return true, err
		}
		defer conn.Close()
		tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			return true, err
		}
		if s.dialect.unguard != "" {
			defer s.unguard(ctx, conn)
		}
		defer func() { _ = tx.Rollback() }()
		q := session{s.dialect, tx}
		if _, err := q.exec(ctx, s.dialect.guard); err != nil {
			return true, err
		}
		if err := f(q); err != nil {
			return false, err
		}
		return false, tx.Commit()
	})
}

// unguard leaves a connection to others as it was, or not at all.
func (s *Store) unguard(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := conn.ExecContext(ctx, s.dialect.unguard); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// again calls attempt until it succeeds or fails for good, and explains the
// error. What the database took back in favour of others is tried for half a
// minute. If an attempt was in vain, having changed nothing for certain, and
// its connection turns out to have been lost, perhaps long ago, others are
// tried, but not for long: the database may be down.
func again(ctx context.Context, attempt func() (vain bool, err error)) error {
	const longest, patience, connections = 400 * time.Millisecond, 30 * time.Second, 4
	start := time.Now()
	for i, pause := 1, 4*time.Millisecond; ; i, pause = i+1, min(2*pause, longest) {
		vain, err := attempt()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return explain(ctx, err)
		case takenBack(err) && time.Since(start) < patience:
		case vain && disconnected(err) && i < connections:
		default:
			return explain(ctx, err)
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return explain(ctx, err)
		}
	}
}
