package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"math/rand/v2"
	"time"
)

// session is a connection: of its own for each statement, or that of a
// transaction.
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
	return q.conn.ExecContext(ctx, q.text(statement), q.arguments(args)...)
}

func (q session) query(ctx context.Context, statement string, args ...any) (*sql.Rows, error) {
	return q.conn.QueryContext(ctx, q.text(statement), q.arguments(args)...)
}

func (q session) row(ctx context.Context, statement string, args ...any) *sql.Row {
	return q.conn.QueryRowContext(ctx, q.text(statement), q.arguments(args)...)
}

// do runs f, each of whose statements is a transaction. f may run again.
func (s *Store) do(ctx context.Context, f func(q session) error) error {
	return again(ctx, func() error { return f(session{s.dialect, s.db}) })
}

// within runs f in a transaction, which ends well if f does. f may run again.
func (s *Store) within(ctx context.Context, f func(q session) error) error {
	return again(ctx, func() error {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if s.dialect.unguard != "" {
			defer s.unguard(ctx, conn)
		}
		tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
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

// again repeats what the database rolled back in favour of others, and
// explains the error in the end.
func again(ctx context.Context, f func() error) error {
	const attempts, longest = 12, 400 * time.Millisecond
	for i, pause := 1, 4*time.Millisecond; ; i, pause = i+1, min(2*pause, longest) {
		err := f()
		if err == nil || i == attempts || !gaveWay(err) || ctx.Err() != nil {
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
