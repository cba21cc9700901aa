// Package pgxpool shows a pool of PostgreSQL connections that goes on while the
// password, and the user name with it, is rotated.
package pgxpool

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed74218947/secretref"
)

// Pool is a pgxpool.Pool that logs in with the current value of a Handle. Its
// connections are taken with Acquire: pgxpool has a hook before a login and one
// after it was accepted, but none to try again after it was refused.
type Pool struct {
	pool     *pgxpool.Pool
	login    *secretref.Handle[[]secretref.Secret]
	accepted atomic.Pointer[[]secretref.Secret] // what the latest login was accepted with
	turn     chan struct{}                      // its one place is held by who waits for a refresh
	asked    time.Time                          // when the latest refresh began; guarded by turn
}

// valueKey is the context's key for what a connection is to log in with.
type valueKey struct{}

// Open returns a Pool that connects as connString says, but for user name and
// password: those are the two values of login, which [secretref.Resolver.HandleAll]
// keeps up to date together.
func Open(ctx context.Context, connString string, login *secretref.Handle[[]secretref.Secret]) (*Pool, error) {
	config, err := pgxpool.ParseConfig(connString)
	if err != nil {
		return nil, err
	}
	p := &Pool{login: login, turn: make(chan struct{}, 1)}
	config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		value, ok := ctx.Value(valueKey{}).([]secretref.Secret)
		if !ok { // the pool connects of its own accord, for MinConns
			value = login.Value()
		}
		c.User, c.Password = value[0].Reveal(), value[1].Reveal()
		return nil
	}
	config.AfterConnect = func(ctx context.Context, _ *pgx.Conn) error {
		if value, ok := ctx.Value(valueKey{}).([]secretref.Secret); ok {
			p.accepted.Store(&value)
		}
		return nil
	}
	p.pool, err = pgxpool.NewWithConfig(ctx, config)
	return p, err
}

// Close closes all connections, and waits for those that are in use.
func (p *Pool) Close() { p.pool.Close() }

// Acquire returns a connection, to be given back with Release. As long as a
// login is refused it tries the next of values.
func (p *Pool) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	var refusal error
	for value := range p.values(ctx) {
		conn, err := p.pool.Acquire(context.WithValue(ctx, valueKey{}, value))
		if !refused(err) {
			return conn, err
		}
		refusal = err
	}
	return nil, refusal
}

// values yields the current value. A new password may be in the secret and not
// yet in the database, and get there between two attempts: so then come what
// was accepted last, and the current value again. Last comes a newer one.
func (p *Pool) values(ctx context.Context) iter.Seq[[]secretref.Secret] {
	return func(yield func([]secretref.Secret) bool) {
		last, current := p.accepted.Load(), p.login.Value()
		if !yield(current) {
			return
		}
		if last != nil && !same(*last, current) && (!yield(*last) || !yield(current)) {
			return
		}
		if newer := p.newer(ctx, current); !same(newer, current) {
			yield(newer)
		}
	}
}

// newer returns what there is after value was refused. All whose logins are
// refused before a refresh begins share it, and between two lies a second.
func (p *Pool) newer(ctx context.Context, value []secretref.Secret) []secretref.Secret {
	start := time.Now()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return value
	}
	if now := p.login.Value(); !same(now, value) || p.asked.After(start) {
		return now
	}
	select {
	case <-time.After(time.Until(p.asked.Add(time.Second))):
	case <-ctx.Done():
		return value
	}
	p.asked = time.Now()
	done := make(chan struct{})
	go func() { // it goes on when ctx ends, whose time may always be too short for it
		defer close(done)
		_, _ = p.login.Refresh(context.WithoutCancel(ctx))
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	return p.login.Value()
}

func same(a, b []secretref.Secret) bool { return slices.EqualFunc(a, b, secretref.Secret.Equal) }

// refused reports whether the database did not accept a login: SQLSTATE class
// 28, invalid authorization specification.
func refused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.HasPrefix(e.Code, "28")
}
