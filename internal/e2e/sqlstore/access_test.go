package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/e2e/databases"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
)

// as returns a store for another database user with the privileges.
func as(t testing.TB, s server, d *databases.Database, privileges string) *sqlstore.Store {
	user := "u" + d.Name
	password := d.CreateUser(t, user)
	admin := d.Admin(t)
	switch {
	case privileges == "":
	case s.name == postgres.name:
		exec(t, admin, fmt.Sprintf(`GRANT %s ON ALL TABLES IN SCHEMA %s TO %s`, privileges, d.Name, user))
	default:
		exec(t, admin, fmt.Sprintf("GRANT %s ON %s.* TO %s@'%%'", privileges, d.Name, user))
	}
	return sqlstore.New(d.OpenAs(t, user, password), s.dialect)
}

func TestAccess_noCreatePermission(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		created(t, s, d.Open(t), "a")
		st := as(t, s, d, "SELECT, INSERT, UPDATE, DELETE")
		ctx := t.Context()

		made, err := st.Create(ctx, root, newKey(key3), event("create"))
		require.NoError(t, err)
		require.False(t, made)
		require.NoError(t, st.Put(ctx, key1, "b", recordUnder(key1, "b")))
		require.NoError(t, st.ReserveEncryptions(ctx, key1, 10))
		l := acquire(t, st)
		require.NoError(t, l.Activate(ctx, root, key1, newKey(key2), event("activate")))
		moved, err := moveAll(ctx, st, l, key1, key2)
		require.NoError(t, err)
		require.Equal(t, 2, moved)
		require.NoError(t, l.Retire(ctx, key1, event("retire")))
		require.NoError(t, l.Rewrap(ctx, root, root, map[seal.KeyID][]byte{key1: nil, key2: nil},
			event("rewrap")))
		deleted, err := st.DeleteInactive(ctx, event("delete"))
		require.NoError(t, err)
		require.Len(t, deleted, 1)
		require.NoError(t, st.Delete(ctx, "a"))
	})
}

func TestAccess_missingPermission(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		denied := func(err error, privilege string) {
			t.Helper()
			require.ErrorIs(t, err, fault.Denied)
			assert.Contains(t, err.Error(), privilege)
		}
		ctx := t.Context()

		d := s.shared(t)
		st := as(t, s, d, "")
		_, err := st.Load(ctx)
		if s.name == postgres.name { // MySQL does not reveal which tables exist
			require.ErrorIs(t, err, store.ErrEmpty)
		} else {
			denied(err, "SELECT")
		}
		_, err = st.Create(ctx, root, newKey(key1), event("create"))
		denied(err, "CREATE")

		d = s.shared(t)
		created(t, s, d.Open(t), "a")
		st = as(t, s, d, "")
		_, err = st.Load(ctx)
		denied(err, "SELECT")
		_, err = st.Get(ctx, "a")
		denied(err, "SELECT")

		d = s.shared(t)
		created(t, s, d.Open(t), "a")
		st = as(t, s, d, "SELECT, INSERT, UPDATE")
		require.NoError(t, st.Put(ctx, key1, "a", recordUnder(key1, "b")))
		denied(st.Delete(ctx, "a"), "DELETE")
		_, err = st.Get(ctx, "a")
		require.NoError(t, err)

		d = s.shared(t)
		created(t, s, d.Open(t), "a")
		st = as(t, s, d, "SELECT")
		_, err = st.Load(ctx)
		require.NoError(t, err)
		denied(st.Put(ctx, key1, "a", recordUnder(key1, "b")), "INSERT")
		denied(st.ReserveEncryptions(ctx, key1, 1), "UPDATE")
	})
}

func TestAccess_wrongPassword(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		st := sqlstore.New(d.OpenAs(t, d.User, "Wr0ngPassw0rd"), s.dialect)
		_, err := st.Load(t.Context())
		require.ErrorIs(t, err, fault.Unauthenticated)
		assert.NotContains(t, err.Error(), "Wr0ngPassw0rd")
		t.Log(err)
	})
}

func TestAccess_connectionRefused(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		dsn := strings.Replace(d.DSN(), d.Addr, "127.0.0.1:1", 1)
		db, err := sql.Open(d.Driver(), dsn)
		require.NoError(t, err)
		defer db.Close()
		_, err = sqlstore.New(db, s.dialect).Load(t.Context())
		require.ErrorIs(t, err, fault.Unavailable)
		assert.Contains(t, err.Error(), "127.0.0.1:1")
		assert.Contains(t, err.Error(), "connection refused")
		assert.NotContains(t, err.Error(), d.Password)
	})
}

func TestAccess_readOnlyServer(t *testing.T) {
	t.Parallel()
	d := databases.PostgreSQL(t)
	created(t, postgres, d.Open(t), "a")
	st := sqlstore.New(d.Open(t, "default_transaction_read_only=on"), sqlstore.PostgreSQL)
	_, err := st.Get(t.Context(), "a")
	require.NoError(t, err)
	err = st.Put(t.Context(), key1, "a", nil)
	require.ErrorIs(t, err, fault.Unavailable)
	assert.Contains(t, err.Error(), "primary")
}

func TestSchema_newerVersion(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		for _, change := range []string{"", `ALTER TABLE secretref_keys DROP COLUMN encryptions`,
			`ALTER TABLE secretref_meta DROP COLUMN root`} {
			db := s.shared(t).Open(t)
			st := created(t, s, db)
			exec(t, db, `UPDATE secretref_meta SET version = 2`)
			if change != "" {
				exec(t, db, change)
			}
			_, err := st.Load(t.Context())
			require.ErrorIs(t, err, fault.Unsupported)
			_, err = st.Create(t.Context(), root, newKey(key2), event("create"))
			require.ErrorIs(t, err, fault.Unsupported)
			_, err = st.Acquire(t.Context())
			require.ErrorIs(t, err, fault.Unsupported)
		}
	})
}

func TestSchema_incompleteTables(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		for _, half := range [][]string{
			{`DROP TABLE secretref_meta`},
			{`DELETE FROM secretref_meta`},
			{`DELETE FROM secretref_meta`, `DELETE FROM secretref_lease`},
			{`DROP TABLE secretref_meta`, `DROP TABLE secretref_lease`, `DROP TABLE secretref_events`},
			{`DROP TABLE secretref_meta`, `DROP TABLE secretref_lease`, `DROP TABLE secretref_events`,
				`DROP TABLE secretref_records`},
		} {
			db := s.shared(t).Open(t)
			st := sqlstore.New(db, s.dialect)
			acquire(t, st).Release(t.Context())
			for _, statement := range half {
				exec(t, db, statement)
			}
			_, err := st.Load(t.Context())
			require.ErrorIs(t, err, store.ErrEmpty)
			_, err = st.Get(t.Context(), "a")
			require.ErrorIs(t, err, fault.NotFound)
			require.ErrorIs(t, st.Put(t.Context(), key1, "a", nil), store.ErrNotActive)
			created(t, s, db, "a")
			acquire(t, st)
		}
	})
}

func TestSchema_lostTable(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		db := s.shared(t).Open(t)
		st := created(t, s, db, "a")
		exec(t, db, `DROP TABLE secretref_records`)
		_, err := st.Get(t.Context(), "a")
		require.ErrorIs(t, err, fault.Corrupt)
		require.ErrorIs(t, st.Put(t.Context(), key1, "a", nil), fault.Corrupt)
		_, err = st.Names(t.Context(), "", 10)
		require.ErrorIs(t, err, fault.Corrupt)
	})
}

func TestLoad_damage(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		for _, damage := range []string{
			`UPDATE secretref_keys SET state = 'inactive'`,
			`UPDATE secretref_keys SET state = 'lost'`,
			`UPDATE secretref_keys SET encryptions = -1`,
			`UPDATE secretref_meta SET active = 7`,
			`UPDATE secretref_meta SET active = NULL`,
			`UPDATE secretref_meta SET root = 'short'`,
			`UPDATE secretref_meta SET version = 0`,
			`DELETE FROM secretref_keys`,
		} {
			db := s.shared(t).Open(t)
			st := created(t, s, db)
			exec(t, db, damage)
			_, err := st.Load(t.Context())
			require.ErrorIs(t, err, fault.Corrupt, damage)
		}
	})
}

func TestSchema_concurrentCreation(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		for range 5 {
			d := s.shared(t)
			var wg sync.WaitGroup
			for range 8 {
				st := sqlstore.New(d.Open(t), s.dialect)
				wg.Go(func() {
					_, err := st.RecordEvent(t.Context(), event("note"))
					assert.NoError(t, err)
				})
				wg.Go(func() {
					_, err := st.Create(t.Context(), root, newKey(key1), event("create"))
					assert.NoError(t, err)
				})
			}
			wg.Wait()
			events, err := sqlstore.New(d.Open(t), s.dialect).Events(t.Context(), 0, 100)
			require.NoError(t, err)
			assert.Len(t, events, 9)
		}
	})
}

func TestPut_contextEnds(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		db := d.Open(t)
		st := created(t, s, db, "a")
		obstacle := begin(t, db)
		exec(t, obstacle, `UPDATE secretref_records SET record = record`)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := st.Put(ctx, key1, "a", recordUnder(key1, "never"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, fault.Unavailable)
		require.NoError(t, obstacle.Rollback())
	})
}
