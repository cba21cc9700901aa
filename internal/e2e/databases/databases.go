// Package databases starts real database servers for tests. A server runs as an unprivileged user
// in a temporary directory and listens on the loopback interface only.
//
// [PostgreSQL] and [MariaDB] return an empty database on a server that all tests of the binary
// share. [OwnPostgreSQL] and [OwnMariaDB] start a server for one test, which may stop it. The
// servers end with the test binary, however that ends. If the software is not installed, the test
// is skipped; it fails if the environment variable CI is set.
package databases

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A Database is an empty database of MariaDB, or an empty schema of PostgreSQL, and a user with all
// rights in it and none elsewhere. Both are dropped when the test ends.
type Database struct {
	*Server
	Name, User, Password string
}

// PostgreSQL returns a new database on the PostgreSQL server that the test
// binary shares.
func PostgreSQL(t testing.TB) *Database {
	t.Helper()
	return sharedPostgres.database(t)
}

// MariaDB returns a new database on the MariaDB server that the test binary
// shares.
func MariaDB(t testing.TB) *Database {
	t.Helper()
	return sharedMariaDB.database(t)
}

// OwnPostgreSQL returns a database on a PostgreSQL server that only this test uses. It ends with
// the test.
func OwnPostgreSQL(t testing.TB) *Database {
	t.Helper()
	return own(t, newPostgres)
}

// OwnMariaDB returns a database on a MariaDB server that only this test uses. It ends with the
// test.
func OwnMariaDB(t testing.TB) *Database {
	t.Helper()
	return own(t, newMariaDB)
}

// These servers are shared by the tests of the binary.
var (
	sharedPostgres = shared{make: newPostgres}
	sharedMariaDB  = shared{make: newMariaDB}
)

type shared struct {
	make   func() (*Server, error)
	once   sync.Once
	server *Server
	err    error
}

func (s *shared) database(t testing.TB) *Database {
	t.Helper()
	s.once.Do(func() { s.server, s.err = s.make() })
	installed(t, s.err)
	return s.server.create(t)
}

func own(t testing.TB, make func() (*Server, error)) *Database {
	t.Helper()
	s, err := make()
	installed(t, err)
	t.Cleanup(s.remove)
	return s.create(t)
}

// missing is the error when a server is not installed.
type missing string

func (m missing) Error() string { return string(m) }

func installed(t testing.TB, err error) {
	t.Helper()
	if m, ok := errors.AsType[missing](err); ok && os.Getenv("CI") == "" {
		t.Skip(m)
	}
	require.NoError(t, err)
}

// create creates a database and its user.
func (s *Server) create(t testing.TB) *Database {
	t.Helper()
	name := "t_" + strings.ToLower(rand.Text()[:12])
	d := &Database{Server: s, Name: name, User: name, Password: rand.Text()}
	admin, err := s.kind.open(s.kind.dsn(s.Addr, adminUser, s.password, s.kind.system, nil))
	require.NoError(t, err)
	defer admin.Close()
	for _, statement := range s.kind.create(d) {
		_, err := admin.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		admin, err := s.kind.open(s.kind.dsn(s.Addr, adminUser, s.password, s.kind.system, nil))
		require.NoError(t, err)
		defer admin.Close()
		for _, statement := range s.kind.drop(d) {
			_, _ = admin.ExecContext(ctx, statement) // the test may have left the server stopped
		}
	})
	return d
}

// Driver is the name that the server's driver has in database/sql.
func (d *Database) Driver() string { return d.kind.driver }

// DSN is the data source name for [Database.Driver], with further parameters
// of the form name=value.
func (d *Database) DSN(params ...string) string { return d.DSNAs(d.User, d.Password, params...) }

// DSNAs is [Database.DSN] for another user.
func (d *Database) DSNAs(user, password string, params ...string) string {
	return d.kind.dsn(d.Addr, user, password, d.connect(), params)
}

// URL is postgres://user@address/name or mysql://user@address/name: without the
// password.
func (d *Database) URL() string {
	return d.kind.scheme + "://" + d.User + "@" + d.Addr + "/" + d.connect()
}

// connect returns the name of the database to connect to.
func (d *Database) connect() string {
	if d.kind.schemas {
		return d.kind.system
	}
	return d.Name
}

// Open returns a new pool of connections, which is closed when the test ends.
func (d *Database) Open(t testing.TB, params ...string) *sql.DB {
	t.Helper()
	return d.OpenAs(t, d.User, d.Password, params...)
}

// OpenAs is [Database.Open] for another user.
func (d *Database) OpenAs(t testing.TB, user, password string, params ...string) *sql.DB {
	t.Helper()
	db, err := d.kind.open(d.DSNAs(user, password, params...))
	require.NoError(t, err)
	db.SetMaxIdleConns(8) // a login costs more than most queries of the tests
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Admin is [Database.Open] for the server's administrator.
func (d *Database) Admin(t testing.TB) *sql.DB {
	t.Helper()
	if d.kind.schemas {
		return d.OpenAs(t, adminUser, d.password, "search_path="+d.Name)
	}
	return d.OpenAs(t, adminUser, d.password)
}

// CreateUser creates another user and returns its password. The user may connect to the database
// and see the tables in it, but not use them.
func (d *Database) CreateUser(t testing.TB, name string) (password string) {
	t.Helper()
	password = rand.Text()
	admin := d.Admin(t)
	for _, statement := range d.kind.createUser(d, name, password) {
		_, err := admin.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, statement := range d.kind.dropUser(name) {
			_, _ = admin.ExecContext(ctx, statement)
		}
	})
	return password
}
