package rotation_test

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

// rotating returns a connector whose current password is accepted, and a function that changes the
// password in the database and, if both is true, in the secret.
func rotating(t *testing.T, v *vaultServer) (c driver.Connector,
	rotate func(both bool) (password string)) {
	t.Helper()
	d := databases.PostgreSQL(t)
	v.put(t, d.User, d.Password)
	c = secretref.Connector(v.watch(t), postgresConnect(t, d, nil), nil)
	require.NoError(t, connect(t.Context(), c))
	alter := alterer(d.Admin(t), "ALTER ROLE %s PASSWORD '%s'")
	return c, func(both bool) string {
		password := rand.Text()
		alter(t, d.User, password)
		if both {
			v.put(t, d.User, password)
		}
		return password
	}
}

func connect(ctx context.Context, c driver.Connector) error {
	conn, err := c.Connect(ctx)
	if err == nil {
		err = conn.Close()
	}
	return err
}

func TestConnector_limitsFetchesWhileRefused(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	d := databases.PostgreSQL(t)
	wrong := rand.Text()
	v.put(t, d.User, wrong)
	c := secretref.Connector(v.watch(t), postgresConnect(t, d, nil), nil)

	start := time.Now()
	var wg sync.WaitGroup
	took := make([]time.Duration, 100)
	for n := range took {
		wg.Go(func() {
			time.Sleep(time.Duration(n/4) * 80 * time.Millisecond) // four at a time, within two seconds
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begun := time.Now()
			err := connect(ctx, c)
			took[n] = time.Since(begun)
			if assert.True(t, refusedByPostgres(err), "%v", err) {
				for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err)} {
					assert.NotContains(t, text, wrong)
					assert.NotContains(t, text, v.token)
				}
			}
		})
	}
	wg.Wait()
	reads, slowest := v.readsSince(start), time.Duration(0)
	for _, d := range took {
		slowest = max(slowest, d)
	}
	t.Logf("%d reads of the secret in %v, the slowest attempt took %v", reads, time.Since(start),
		slowest)
	assert.LessOrEqual(t, reads, 2+int(time.Since(start)/time.Second))
}

func TestConnector_returnsRefusalWithoutVault(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	c, rotate := rotating(t, v)
	password := rotate(true)
	v.set(down)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := connect(ctx, c)
	require.NoError(t, ctx.Err())
	require.True(t, refusedByPostgres(err), "%v", err)
	require.NotContains(t, err.Error(), password)

	v.set(nil)
	require.Eventually(t, func() bool { return connect(t.Context(), c) == nil }, 2*time.Minute,
		100*time.Millisecond)
}

func TestConnector_canceled(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	c, rotate := rotating(t, v)
	rotate(true)
	v.set(silent)
	for name, end := range map[string]func() (context.Context, context.CancelFunc){
		"timeout": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 2*time.Second)
		},
		"cancel": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(2*time.Second, cancel)
			return ctx, cancel
		},
	} {
		ctx, cancel := end()
		start := time.Now()
		err := connect(ctx, c)
		cancel()
		require.Less(t, time.Since(start), 20*time.Second, name) // the fetch itself ends after 30 s
		require.True(t, refusedByPostgres(err), "%s: %v", name, err)
	}
}

// Vault takes longer to answer than a connection attempt may take. The fetch goes on, so a later
// attempt has the new password.
func TestConnector_shortTimeout(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	c, rotate := rotating(t, v)
	rotate(true)
	v.set(slow(700 * time.Millisecond))
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		return connect(ctx, c) == nil
	}, 2*time.Minute, 10*time.Millisecond)
}

// A connection string may name several hosts, one of which may not be ready.
func TestConnector_refusalAmongJoinedErrors(t *testing.T) {
	t.Parallel()
	starting, wrong := &pgconn.PgError{Code: "57P03"}, &pgconn.PgError{Code: "28P01"}
	for _, refusal := range []error{errors.Join(wrong, starting), errors.Join(starting, wrong)} {
		store := secretref.NewFake()
		store.Set(keyringRef, "old")
		h := watch(t, store)
		store.Set(keyringRef, "new")
		c := secretref.Connector(h,
			func(_ context.Context, password secretref.Secret) (driver.Conn, error) {
				if password.Reveal() != "new" {
					return nil, refusal
				}
				return noConn{}, nil
			}, nil)
		assert.NoError(t, connect(t.Context(), c))
	}
}

func TestConnector_slowLogin(t *testing.T) {
	t.Parallel()
	store := secretref.NewFake()
	store.Set(keyringRef, "first")
	h := watch(t, store)
	rotate := func(password string) {
		store.Set(keyringRef, password)
		_, err := h.Refresh(t.Context())
		require.NoError(t, err)
	}
	var accepted atomic.Value
	accepted.Store("first")
	began, hold := make(chan struct{}), make(chan struct{})
	c := secretref.Connector(h,
		func(ctx context.Context, password secretref.Secret) (driver.Conn, error) {
			if password.Reveal() != accepted.Load() {
				return nil, &pgconn.PgError{Code: "28P01"}
			}
			if ctx.Value(slowKey{}) != nil {
				close(began)
				<-hold
			}
			return noConn{}, nil
		}, nil)

	slow := make(chan error)
	go func() { slow <- connect(context.WithValue(t.Context(), slowKey{}, true), c) }()
	<-began
	accepted.Store("second")
	rotate("second")
	require.NoError(t, connect(t.Context(), c))
	close(hold)
	require.NoError(t, <-slow)
	rotate("third") // in the secret, and not yet in the database
	require.NoError(t, connect(t.Context(), c))
}

const keyringRef = `{"keyring":"db"}`

type slowKey struct{}

func watch(t *testing.T, store *secretref.Fake) *secretref.Live[secretref.Secret] {
	t.Helper()
	r := secretref.New(&secretref.Options{Fake: store})
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	h, err := r.Watch(t.Context(), keyringRef)
	require.NoError(t, err)
	return h
}

// noConn is a connection that can only be closed.
type noConn struct{ driver.Conn }

func (noConn) Close() error { return nil }
