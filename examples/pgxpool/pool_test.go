package pgxpool_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/examples/pgxpool"
)

const username, password = `{"keyring":"db-username"}`, `{"keyring":"db-password"}`

// A fixture is a database, a store with the login for it, and a pool that uses both.
type fixture struct {
	*database
	store *secretref.Fake
	login *secretref.Live[[]secretref.Secret]
	pool  *pgxpool.Pool
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	w := &fixture{database: startDatabase(t), store: secretref.NewFake()}
	w.alter("app", "old")
	w.write("app", "old")
	r := secretref.New(&secretref.Options{Fake: w.store})
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	var err error
	w.login, err = r.WatchAll(t.Context(), username, password)
	require.NoError(t, err)
	w.pool, err = pgxpool.Open(t.Context(),
		"postgres://"+w.addr+"/db?sslmode=disable&pool_max_conns=100", w.login)
	require.NoError(t, err)
	t.Cleanup(w.pool.Close)
	require.NoError(t, w.query(t.Context()))
	return w
}

// write stores a login.
func (f *fixture) write(user, pass string) {
	f.store.Set(username, user)
	f.store.Set(password, pass)
}

// query always logs in, since it leaves no connection in the pool.
func (f *fixture) query(ctx context.Context) error {
	conn, err := f.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return errors.Join(conn.Ping(ctx), conn.Conn().Close(ctx))
}

func TestPool_fetchesAfterRefusedLogin(t *testing.T) {
	w := newFixture(t)
	w.write("app", "new")
	require.NoError(t, w.query(t.Context()))
	require.Equal(t, 2, w.store.Calls(), "the accepted login is not fetched again")
	w.alter("app", "new")
	require.NoError(t, w.query(t.Context()))
	require.Equal(t, 4, w.store.Calls())
	require.Equal(t, []string{"app:old", "app:old", "app:old", "app:new"}, w.tried())
}

func TestPool_usesOldLoginUntilDatabaseChanges(t *testing.T) {
	w := newFixture(t)
	w.write("app", "new")
	_, err := w.login.Refresh(t.Context())
	require.NoError(t, err)
	calls := w.store.Calls()
	require.NoError(t, w.query(t.Context()))
	w.alter("app", "new")
	require.NoError(t, w.query(t.Context()))
	require.Equal(t, []string{"app:old", "app:new", "app:old", "app:new"}, w.tried())
	require.Equal(t, calls, w.store.Calls())
}

func TestPool_databaseChangesBetweenAttempts(t *testing.T) {
	w := newFixture(t)
	w.write("app", "new")
	_, err := w.login.Refresh(t.Context())
	require.NoError(t, err)
	w.afterRefusal(func() { w.alter("app", "new") })
	require.NoError(t, w.query(t.Context()))
	require.Equal(t, []string{"app:old", "app:new", "app:old", "app:new"}, w.tried())
}

// An idle connection does not prove that the current password is accepted.
func TestPool_idleConnectionIsNoLogin(t *testing.T) {
	w := newFixture(t)
	conn, err := w.pool.Acquire(t.Context())
	require.NoError(t, err)
	conn.Release()
	w.write("app", "new")
	_, err = w.login.Refresh(t.Context())
	require.NoError(t, err)
	conn, err = w.pool.Acquire(t.Context()) // the idle one
	require.NoError(t, err)
	defer conn.Release()
	require.NoError(t, conn.Ping(t.Context()))
	require.NoError(t, w.query(t.Context()))
	require.Equal(t, []string{"app:old", "app:old", "app:new", "app:old"}, w.tried())
}

func TestPool_followsUserName(t *testing.T) {
	w := newFixture(t)
	w.alter("app_clone", "other")
	w.write("app_clone", "other")
	w.alter("app", "gone")
	require.NoError(t, w.query(t.Context()))
	require.Equal(t, []string{"app:old", "app:old", "app_clone:other"}, w.tried())
}

func TestPool_limitsFetchesForRefusedLogins(t *testing.T) {
	w := newFixture(t)
	w.alter("app", "unknown")
	start, before := time.Now(), w.store.Calls()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			err := w.query(t.Context())
			refusal, ok := errors.AsType[*pgconn.PgError](err)
			assert.True(t, ok && refusal.Code == "28P01", "%v", err)
			assert.NotContains(t, fmt.Sprintf("%+v", err), "old")
		})
	}
	wg.Wait()
	fetches := (w.store.Calls() - before) / 2 // of two secrets each
	require.LessOrEqual(t, fetches, 2+int(time.Since(start)/time.Second))
}

func TestPool_doesNotRetryOtherErrors(t *testing.T) {
	w := newFixture(t)
	before := w.store.Calls()
	w.fail("53300") // too_many_connections
	refusal, ok := errors.AsType[*pgconn.PgError](w.query(t.Context()))
	require.True(t, ok && refusal.Code == "53300")
	require.Equal(t, before, w.store.Calls())
	require.Len(t, w.tried(), 2)
}

func TestPool_canceledContext(t *testing.T) {
	w := newFixture(t)
	w.alter("app", "unknown")
	require.Error(t, w.query(t.Context())) // the next refresh may begin in a second
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	require.Error(t, w.query(ctx))
	require.Less(t, time.Since(start), 500*time.Millisecond)
}

// If the store responds after the timeout of a connection, the next connection uses
// the response.
func TestPool_shortTimeoutsFollowRotation(t *testing.T) {
	d := startDatabase(t)
	var current atomic.Pointer[string]
	store := func(password string) { current.Store(&password) }
	store("old")
	r := secretref.New(&secretref.Options{Providers: []secretref.Provider{{
		Fields: []string{"slow"},
		Fetch: func(ctx context.Context, _ []byte) ([]byte, error) {
			select {
			case <-time.After(200 * time.Millisecond):
				return []byte(*current.Load()), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}}})
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	login, err := r.WatchAll(t.Context(), "app", `{ENC}{"slow":"db"}`)
	require.NoError(t, err)
	pool, err := pgxpool.Open(t.Context(), "postgres://"+d.addr+"/db?sslmode=disable", login)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w := &fixture{database: d, login: login, pool: pool}

	store("new")
	d.alter("app", "new")
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		return w.query(ctx) == nil
	}, 5*time.Second, 10*time.Millisecond)
}

// A database implements enough of PostgreSQL's protocol for a login and a ping.
type database struct {
	addr string

	mu      sync.Mutex
	roles   map[string]string // user name to password
	logins  []string          // user:password, as they were tried
	code    string            // SQLSTATE that every login is answered with
	refusal func()
}

func startDatabase(t *testing.T) *database {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d := &database{addr: l.Addr().String(), roles: map[string]string{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				d.serve(pgproto3.NewBackend(conn, conn))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	return d
}

func (d *database) serve(b *pgproto3.Backend) {
	first, err := b.ReceiveStartupMessage()
	startup, ok := first.(*pgproto3.StartupMessage)
	if err != nil || !ok {
		return
	}
	b.Send(&pgproto3.AuthenticationCleartextPassword{})
	_ = b.SetAuthType(pgproto3.AuthTypeCleartextPassword)
	_ = b.Flush()
	answer, err := b.Receive()
	given, ok := answer.(*pgproto3.PasswordMessage)
	if err != nil || !ok {
		return
	}
	if code := d.check(startup.Parameters["user"], given.Password); code != "" {
		b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: "no"})
		_ = b.Flush()
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	_ = b.Flush()
	for {
		m, err := b.Receive()
		if _, ok := m.(*pgproto3.Query); err != nil || !ok {
			return
		}
		b.Send(&pgproto3.EmptyQueryResponse{})
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		_ = b.Flush()
	}
}

// check returns the SQLSTATE of a refused login, or "" if it is accepted.
func (d *database) check(user, pass string) string {
	d.mu.Lock()
	d.logins = append(d.logins, user+":"+pass)
	code, then := d.code, func() {}
	if want, ok := d.roles[user]; code == "" && (!ok || want != pass) {
		code = "28P01"
		if d.refusal != nil {
			then, d.refusal = d.refusal, nil
		}
	}
	d.mu.Unlock()
	then()
	return code
}

// alter sets the password of a role.
func (d *database) alter(user, pass string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.roles[user] = pass
}

// fail makes all logins fail with a SQLSTATE.
func (d *database) fail(code string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.code = code
}

// afterRefusal calls f after the next refused login.
func (d *database) afterRefusal(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusal = f
}

func (d *database) tried() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.logins
}
