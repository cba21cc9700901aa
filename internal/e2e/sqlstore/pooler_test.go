package sqlstore_test

import (
	"database/sql"
	"io"
	"net"
	"strings"
	"testing"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/e2e/databases"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
)

func opened(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestPgBouncer_wrongPassword(t *testing.T) {
	t.Parallel()
	d := databases.PgBouncer(t, databases.PostgreSQL(t), "transaction")
	for _, driver := range []string{"pgx", "postgres"} {
		_, err := sqlstore.New(opened(t, driver, d.DSNAs(d.User, "Wr0ngPassw0rd")),
			sqlstore.PostgreSQL).Load(t.Context())
		require.ErrorIs(t, err, fault.Unauthenticated, driver)
		require.NotContains(t, err.Error(), "Wr0ngPassw0rd")
	}
}

// With the parameter that the error names, the store works through a transaction pooler.
func TestPgBouncer_transactionPooling(t *testing.T) {
	t.Parallel()
	d := databases.PgBouncer(t, databases.PostgreSQL(t), "transaction")
	for driver, parameter := range map[string]string{"pgx": "default_query_exec_mode=exec",
		"postgres": "binary_parameters=yes"} {
		st := sqlstore.New(opened(t, driver, d.DSN(parameter)), sqlstore.PostgreSQL)
		if made, err := st.Create(t.Context(), root, newKey(key1), event("create")); assert.NoError(t,
			err) && made {
			acquire(t, st).Release(t.Context())
		}
		// Without it, two pools share the sessions of the pooler.
		var failure error
		for range 20 {
			for range 2 {
				db, err := sql.Open(driver, d.DSN())
				require.NoError(t, err)
				defer db.Close()
				db.SetMaxOpenConns(1)
				st := sqlstore.New(db, sqlstore.PostgreSQL)
				for range 3 {
					if _, err := st.Records(t.Context(), store.Range{Limit: 1, Bytes: 1}); err != nil {
						failure = err
					}
				}
			}
			if failure != nil {
				break
			}
		}
		if driver == "pgx" {
			require.Error(t, failure)
		}
		if failure != nil {
			require.ErrorIs(t, failure, fault.Unavailable)
			require.ErrorContains(t, failure, parameter)
		}
		for range 20 {
			require.NoError(t, st.Put(t.Context(), key1, "a", recordUnder(key1, "a")))
			_, err := st.Get(t.Context(), "a")
			require.NoError(t, err)
		}
	}
}

func TestAccess_serverWithoutTLS(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() { // the reply of PostgreSQL without TLS
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := io.ReadFull(conn, make([]byte, 8)); err == nil {
				_, _ = conn.Write([]byte("N"))
			}
			_ = conn.Close()
		}
	}()
	dsn := "postgres://app:hunter2@" + l.Addr().String() + "/db?sslmode=require"
	mariadb := databases.MariaDB(t)
	for _, row := range []struct {
		driver, dsn string
		dialect     sqlstore.Dialect
	}{
		{"pgx", dsn, sqlstore.PostgreSQL},
		{"postgres", dsn, sqlstore.PostgreSQL},
		{"mysql", mariadb.DSN("tls=true"), sqlstore.MySQL},
	} {
		_, err := sqlstore.New(opened(t, row.driver, row.dsn), row.dialect).Load(t.Context())
		require.ErrorIs(t, err, fault.Unavailable, row.driver)
		require.ErrorContains(t, err, "does not speak TLS", row.driver)
		require.False(t, strings.Contains(err.Error(), "hunter2"))
	}
}
