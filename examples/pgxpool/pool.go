// Package pgxpool shows a pool of PostgreSQL connections that keeps working while the
// password and the user name are rotated.
package pgxpool

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed74218947/secretref"
)

// Pool is a pgxpool.Pool that logs in with the current value of a Live. It has its own
// Acquire, since pgxpool has hooks before a login and after a successful one, but none
// for retrying a refused one.
type Pool struct {
	pool  *pgxpool.Pool
	login *secretref.Live[[]secretref.Secret]
}

// attempt is the login of a connection and whether the server accepted it.
type attempt struct {
	value    []secretref.Secret
	accepted atomic.Bool
}

// attemptKey is the context key of an attempt.
type attemptKey struct{}

// Open returns a Pool that connects with connString. User name and password are the
// two values of login, which [secretref.Resolver.WatchAll] keeps up to date together.
func Open(ctx context.Context, connString string, login *secretref.Live[[]secretref.Secret]) (*Pool,
	error) {
	config, err := pgxpool.ParseConfig(connString)
	if err != nil {
		return nil, err
	}
	config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		value := login.Value() // the pool itself also connects, for MinConns
		if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
			value = a.value
		}
		c.User, c.Password = value[0].Reveal(), value[1].Reveal()
		return nil
	}
	config.AfterConnect = func(ctx context.Context, _ *pgx.Conn) error {
		if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
			a.accepted.Store(true)
		}
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &Pool{pool, login}, nil
}

// Close closes all connections and waits for those in use.
func (p *Pool) Close() { p.pool.Close() }

// errIdle reports that no login was needed.
var errIdle = errors.New("the connection was opened earlier")

// Acquire returns a connection, which the caller must Release. If a login is refused,
// it tries the other values that may be valid.
func (p *Pool) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	var idle *pgxpool.Conn
	conn, err := secretref.Try(ctx, p.login,
		func(ctx context.Context, value []secretref.Secret) (*pgxpool.Conn, error) {
			a := &attempt{value: value}
			conn, err := p.pool.Acquire(context.WithValue(ctx, attemptKey{}, a))
			if err == nil && !a.accepted.Load() {
				idle, err = conn, errIdle // so that value does not count as accepted
			}
			return conn, err
		}, nil)
	if idle != nil {
		return idle, nil
	}
	return conn, err
}
