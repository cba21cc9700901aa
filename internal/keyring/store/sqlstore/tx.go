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

// do runs f, each of whose statements is a transaction. It runs again if the
// database took the last of them back.
func (s *Store) do(ctx context.Context, f func(q session) error) error {
	return again(ctx, func() error {
		if s.dialect.settings == "" {
			return f(session{s.dialect, s.db})
		}
		return s.connected(ctx, func(conn *sql.Conn) error { return f(session{s.dialect, conn}) })
	})
}

// within runs f in a transaction, which ends well if f does. It runs again if
// the database took all of it back.
func (s *Store) within(ctx context.Context, f func(q session) error) error {
	return again(ctx, func() error {
		if s.dialect.settings == "" {
			return s.transaction(ctx, s.db, f)
		}
		return s.connected(ctx, func(conn *sql.Conn) error {
			if s.dialect.unguard != "" {
				defer leave(ctx, conn, s.dialect.unguard)
			}
			return s.transaction(ctx, conn, f)
		})
	})
}

func (s *Store) transaction(ctx context.Context, on interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}, f func(q session) error) error {
	tx, err := on.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	q := session{s.dialect, tx}
	if _, err := q.exec(ctx, s.dialect.guard); err != nil {
		return err
	}
	if err := f(q); err != nil {
		return err
	}
	return tx.Commit()
}

// leave gives a connection back to others as it was, or not at all.
func leave(ctx context.Context, conn *sql.Conn, statement string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := conn.ExecContext(ctx, statement); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// again calls attempt until it succeeds or fails for good, and explains the
// error. What the database took back in favour of others is tried for half a
// minute. What was lost with its connection is not tried again: it may have
// happened.
func again(ctx context.Context, attempt func() error) error {
	const longest, patience = 400 * time.Millisecond, 30 * time.Second
	start := time.Now()
	for pause := 4 * time.Millisecond; ; pause = min(2*pause, longest) {
		err := attempt()
		if err == nil || !takenBack(err) || ctx.Err() != nil || time.Since(start) > patience {
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
