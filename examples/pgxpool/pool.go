// Package pgxpool shows a pool of PostgreSQL connections that goes on while the
// password, and the user name with it, is rotated.
package pgxpool

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed74218947/secretref"
)

// Pool is a pgxpool.Pool that logs in with the current value of a Live. Its
// connections are taken with Acquire: pgxpool has a hook before a login and one
// after it was accepted, but none to try again after it was refused.
type Pool struct {
	pool  *pgxpool.Pool
	login *secretref.Live[[]secretref.Secret]
}

// attempt is what a connection is to log in with, and whether that was accepted.
type attempt struct {
	value    []secretref.Secret
	accepted atomic.Bool
}

// attemptKey is the context's key for an attempt.
type attemptKey struct{}

// Open returns a Pool that connects as connString says, but for user name and
// password: those are the two values of login, which [secretref.Resolver.WatchAll]
// keeps up to date together.
func Open(ctx context.Context, connString string, login *secretref.Live[[]secretref.Secret]) (*Pool, error) {
	config, err := pgxpool.ParseConfig(connString)
	if err != nil {
		return nil, err
	}
	config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		value := login.Value() // the pool connects of its own accord, for MinConns
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

// Close closes all connections, and waits for those that are in use.
func (p *Pool) Close() { p.pool.Close() }

// errIdle says that no login was needed.
var errIdle = errors.New("the connection was opened earlier")

// Acquire returns a connection, to be given back with Release. If a login is
// refused, it tries the other values that the database may know.
func (p *Pool) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	var idle *pgxpool.Conn
	conn, err := secretref.Try(ctx, p.login, func(ctx context.Context, value []secretref.Secret) (*pgxpool.Conn, error) {
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
