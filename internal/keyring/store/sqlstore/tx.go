package sqlstore

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"time"
)

const (
	initialBackoff = 4 * time.Millisecond
	maxBackoff     = 400 * time.Millisecond
	maxRetryTime   = 30 * time.Second
)

// session executes statements of the store, in a transaction or each on its own.
type session struct {
	*dialect
	conn interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
}

// exec returns the number of affected rows. Databases differ in whether they count a row
// that an UPDATE leaves unchanged.
func (s session) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := s.result(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s session) result(ctx context.Context, statement string, args ...any) (sql.Result, error) {
	statement, args = s.render(statement, args)
	return s.conn.ExecContext(ctx, statement, args...)
}

func (s session) query(ctx context.Context, statement string, args ...any) (*sql.Rows, error) {
	statement, args = s.render(statement, args)
	return s.conn.QueryContext(ctx, statement, args...)
}

func (s session) row(ctx context.Context, statement string, args ...any) *sql.Row {
	statement, args = s.render(statement, args)
	return s.conn.QueryRowContext(ctx, statement, args...)
}

// autocommit calls f, in which each statement is a transaction. It calls f again if the
// database rolled the last statement back.
func (s *Store) autocommit(ctx context.Context, f func(q session) error) error {
	return retry(ctx, func() error {
		if s.dialect.settings == "" {
			return f(session{s.dialect, s.db})
		}
		return s.withConn(ctx, func(conn *sql.Conn) error { return f(session{s.dialect, conn}) })
	})
}

// inTx calls f in a transaction, which is committed if f succeeds. It calls f again if the
// database rolled the transaction back.
func (s *Store) inTx(ctx context.Context, f func(q session) error) error {
	return retry(ctx, func() error {
		if s.dialect.settings == "" {
			return s.transaction(ctx, s.db, f)
		}
		return s.withConn(ctx, func(conn *sql.Conn) error {
			if s.dialect.restoreIdleTimeout != "" {
				defer restoreSession(ctx, conn, s.dialect.restoreIdleTimeout)
			}
			return s.transaction(ctx, conn, f)
		})
	})
}

func (s *Store) transaction(ctx context.Context, conn interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}, f func(q session) error) error {
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	q := session{s.dialect, tx}
	if _, err := q.exec(ctx, s.dialect.setIdleTimeout); err != nil {
		return err
	}
	if err := f(q); err != nil {
		return err
	}
	return tx.Commit()
}

// retry calls attempt until it succeeds or fails permanently, and explains the error. It
// repeats for up to maxRetryTime what the database rolled back because of a conflict. It
// does not repeat after a lost connection, since the change may have been committed.
func retry(ctx context.Context, attempt func() error) error {
	start := time.Now()
	for pause := initialBackoff; ; pause = min(2*pause, maxBackoff) {
		err := attempt()
		if err == nil || !isRetryable(err) || ctx.Err() != nil || time.Since(start) > maxRetryTime {
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
