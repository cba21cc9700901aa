// Package rotation tests that programs keep working while the passwords of their databases are
// rotated, with real PostgreSQL and MariaDB servers and a real Vault.
package rotation_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

// window is how long a new password is in only one of the two places.
const window = 300 * time.Millisecond

// A client is a program that logs in for every query it makes.
type client struct {
	query   func(context.Context) error
	alter   func(t *testing.T, user, password string) // changes the password in the database
	refused func(error) bool
}

func TestConnector_rotation(t *testing.T) {
	for name, start := range map[string]func(*testing.T, *databases.Database,
		*secretref.Live[[]secretref.Secret]) client{
		"database/sql with PostgreSQL": postgresClient,
		"database/sql with MariaDB":    mariadbClient,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := databases.PostgreSQL
			if strings.Contains(name, "MariaDB") {
				d = databases.MariaDB
			}
			rotate(t, d(t), start)
		})
	}
}

// rotate rotates the password of d's user under load, in both orders of the two steps.
func rotate(t *testing.T, d *databases.Database,
	start func(*testing.T, *databases.Database, *secretref.Live[[]secretref.Secret]) client) {
	v := startVault(t)
	v.put(t, d.User, d.Password)
	h := v.watch(t)
	c := start(t, d, h)
	l := startLoad(t, c.query)
	began := time.Now()
	passwords := []string{d.Password}
	next := func() string {
		passwords = append(passwords, rand.Text())
		return passwords[len(passwords)-1]
	}

	for n := range 3 { // the database first
		password := next()
		first := time.Now()
		c.alter(t, d.User, password)
		time.Sleep(window)
		v.put(t, d.User, password)
		second := time.Now()
		time.Sleep(1500 * time.Millisecond)
		l.wait(t)
		failed := l.since(first)
		last := time.Duration(0)
		for _, f := range failed {
			last = max(last, f.ended.Sub(second))
			assert.True(t, c.refused(f.err), "%v", f.err)
			assert.False(t, f.begun.After(second), "a query failed that began %v after the window",
				f.begun.Sub(second))
		}
		reads := v.readsSince(first)
		assert.LessOrEqual(t, reads, 2+int(time.Since(first)/time.Second), "reads of the secret")
		t.Logf("database first, %d: %d queries failed, the last %v after the window; %d reads of the secret", n+1, len(failed), last, reads)
	}
	for n := range 3 { // the secret first
		password := next()
		first := time.Now()
		v.put(t, d.User, password)
		if n > 0 { // with n = 0 the new password is fetched only when the old one is refused
			_, err := h.Refresh(t.Context())
			require.NoError(t, err)
		}
		time.Sleep(window)
		c.alter(t, d.User, password)
		second := time.Now()
		l.wait(t)
		time.Sleep(window)
		l.wait(t)
		failed := l.since(first)
		for _, f := range failed {
			assert.NoError(t, f.err, "%v after the first, %v after the second change", f.ended.Sub(first),
				f.ended.Sub(second))
		}
		reads := v.readsSince(first)
		assert.LessOrEqual(t, reads, 2, "reads of the secret")
		t.Logf("the secret first, %d: %d queries failed; %d reads of the secret", n+1, len(failed), reads)
	}
	l.end()
	for _, f := range l.since(began) {
		for _, password := range passwords {
			require.NotContains(t, fmt.Sprintf("%+v", f.err), password)
		}
	}
	t.Logf("%d queries in %v", l.queries.Load(), time.Since(began).Round(time.Millisecond))
}

// postgresClient returns a client with a database/sql pool without idle connections.
func postgresClient(t *testing.T, d *databases.Database,
	h *secretref.Live[[]secretref.Secret]) client {
	return client{
		query:   oneRow(open(t, secretref.Connector(h, postgresConnect(t, d, nil), nil))),
		alter:   alterer(d.Admin(t), "ALTER ROLE %s PASSWORD '%s'"),
		refused: refusedByPostgres,
	}
}

// postgresConnect returns a function that connects with a user name and a password. If tried is not
// nil, it is called after each attempt.
func postgresConnect(t *testing.T, d *databases.Database,
	tried func(login []secretref.Secret, err error)) func(context.Context,
	[]secretref.Secret) (driver.Conn, error) {
	t.Helper()
	config, err := pgx.ParseConfig(d.DSN())
	require.NoError(t, err)
	return func(ctx context.Context, login []secretref.Secret) (driver.Conn, error) {
		c := *config
		c.User, c.Password = login[0].Reveal(), login[1].Reveal()
		conn, err := stdlib.GetConnector(c).Connect(ctx)
		if tried != nil {
			tried(login, err)
		}
		return conn, err
	}
}

func refusedByPostgres(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "28P01"
}

func mariadbClient(t *testing.T, d *databases.Database,
	h *secretref.Live[[]secretref.Secret]) client {
	config, err := mysql.ParseDSN(d.DSN())
	require.NoError(t, err)
	connect := func(ctx context.Context, login []secretref.Secret) (driver.Conn, error) {
		c := config.Clone()
		c.User, c.Passwd, c.Logger = login[0].Reveal(), login[1].Reveal(), &mysql.NopLogger{}
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return nil, err
		}
		return connector.Connect(ctx)
	}
	refused := func(err error) bool {
		e, ok := errors.AsType[*mysql.MySQLError](err)
		return ok && e.Number == 1045 // ER_ACCESS_DENIED_ERROR
	}
	return client{
		query:   oneRow(open(t, secretref.Connector(h, connect, refused))),
		alter:   alterer(d.Admin(t), "ALTER USER %s@'%%' IDENTIFIED BY '%s'"),
		refused: refused,
	}
}

// open returns a pool without idle connections, so that every query logs in.
func open(t *testing.T, c driver.Connector) *sql.DB {
	t.Helper()
	db := sql.OpenDB(c)
	db.SetMaxIdleConns(-1)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db
}

func oneRow(db *sql.DB) func(context.Context) error {
	return func(ctx context.Context) error {
		var one int
		return db.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	}
}

func alterer(admin *sql.DB, statement string) func(t *testing.T, user, password string) {
	return func(t *testing.T, user, password string) {
		t.Helper()
		_, err := admin.ExecContext(t.Context(), fmt.Sprintf(statement, user, password))
		require.NoError(t, err)
	}
}
