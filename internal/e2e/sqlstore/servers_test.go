// Package sqlstore tests the store in a database against real servers.
package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/e2e/databases"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
	"github.com/seed74218947/secretref/internal/keyring/store/storetest"
)

// server is a kind of database server that the store must work with.
type server struct {
	name        string
	dialect     sqlstore.Dialect
	shared, own func(testing.TB) *databases.Database

	// busy counts the connections to the database whose statement is waiting.
	busy string

	// weakest are the parameters of a connection whose statements take the
	// fewest locks.
	weakest []string
}

var (
	postgres = server{
		"PostgreSQL", sqlstore.PostgreSQL, databases.PostgreSQL, databases.OwnPostgreSQL,
		`SELECT count(*) FROM pg_stat_activity WHERE usename = current_schema() AND wait_event_type = 'Lock'`,
		nil,
	}
	mariadb = server{
		"MariaDB", sqlstore.MySQL, databases.MariaDB, databases.OwnMariaDB,
		`SELECT count(*) FROM information_schema.processlist
			WHERE db = DATABASE() AND id <> CONNECTION_ID() AND command <> 'Sleep' AND time_ms > 100`,
		[]string{"tx_isolation=%27READ-COMMITTED%27"},
	}
)

// onEach runs the test on all servers in parallel.
func onEach(t *testing.T, test func(t *testing.T, s server)) {
	t.Parallel()
	for _, s := range []server{postgres, mariadb} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// newOpener returns an Opener for a new database. Every other Store shares a connection pool.
func newOpener(t testing.TB, s server, params ...string) storetest.Opener {
	d := s.shared(t)
	pools := []store.Store{
		sqlstore.New(d.Open(t, params...), s.dialect),
		sqlstore.New(d.Open(t, params...), s.dialect),
	}
	next := 0
	return func(testing.TB) store.Store {
		next++
		return pools[next%len(pools)]
	}
}

// The keys of these tests.
const (
	key1 seal.KeyID = 0x8000_0000_0000_0001
	key2 seal.KeyID = 0x8000_0000_0000_0002
	key3 seal.KeyID = 3
)

var root = seal.Fingerprint{1, 2, 3}

// signed is how a key id is stored.
func signed(id seal.KeyID) int64 { return int64(id) }

func newKey(id seal.KeyID) store.Key {
	return store.Key{ID: id, Wrapped: []byte("wrapped")}
}

func event(action string) store.Event { return store.Event{Actor: "tester", Action: action} }

// recordUnder returns bytes like a record, with a different head for each text.
func recordUnder(id seal.KeyID, text string) []byte {
	record := binary.BigEndian.AppendUint64([]byte{1}, uint64(id))
	return append(append(record, text...), bytes.Repeat([]byte{'.'}, 40)...)
}

func swap(name string, from, to seal.KeyID, text string) store.Swap {
	return store.Swap{Name: name, Head: recordUnder(from, text)[:seal.HeadSize],
		Sealed: recordUnder(to, text)}
}

// created returns a store with the active key key1 and a record for each name, which
// contains the name.
func created(t testing.TB, s server, db *sql.DB, names ...string) *sqlstore.Store {
	t.Helper()
	st := sqlstore.New(db, s.dialect)
	made, err := st.Create(t.Context(), root, newKey(key1), event("create"))
	require.NoError(t, err)
	require.True(t, made)
	for _, name := range names {
		require.NoError(t, st.Put(t.Context(), key1, name, recordUnder(key1, name)))
	}
	return st
}

func acquire(t testing.TB, st store.Store) store.Lease {
	t.Helper()
	l, err := st.Acquire(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { l.Release(context.Background()) })
	return l
}

func exec(t testing.TB, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, statement string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement)
	require.NoError(t, err, statement)
}

// begin returns a connection that is in a transaction.
func begin(t testing.TB, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// waiting waits until n statements are waiting for others.
func waiting(t testing.TB, s server, d *databases.Database, n int) {
	t.Helper()
	admin := d.Admin(t)
	require.Eventually(t, func() bool {
		var busy int
		err := admin.QueryRowContext(t.Context(), s.busy).Scan(&busy)
		return err == nil && busy >= n
	}, time.Minute, 10*time.Millisecond, "%d statements should wait", n)
}

// under returns the names of the records under a key.
func under(t testing.TB, st store.Store, id seal.KeyID) (names []string) {
	t.Helper()
	records, err := st.Records(t.Context(), store.Range{Key: id, Limit: 1000, Bytes: 1 << 30})
	require.NoError(t, err)
	for _, b := range records {
		names = append(names, b.Name)
	}
	return names
}

// moveAll moves every record, in small steps, and returns their number.
func moveAll(ctx context.Context, st store.Store, l store.Lease, from, to seal.KeyID) (int, error) {
	all := 0
	for range 10_000 {
		page, err := st.Records(ctx, store.Range{Key: from, Limit: 2, Bytes: 1 << 20})
		if err != nil || len(page) == 0 {
			return all, err
		}
		swaps := make([]store.Swap, len(page))
		for i, b := range page {
			swaps[i] = store.Swap{Name: b.Name, Head: b.Sealed[:seal.HeadSize],
				Sealed: recordUnder(to, string(b.Sealed[9:len(b.Sealed)-40]))}
		}
		n, err := l.Move(ctx, from, to, swaps)
		if err != nil {
			return all, err
		}
		all += n
	}
	return all, errors.New("Move does not move some records")
}
