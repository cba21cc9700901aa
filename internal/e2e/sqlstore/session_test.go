package sqlstore_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/e2e/databases"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
	"github.com/seed74218947/secretref/internal/keyring/store/storetest"
)

// sessions are settings that the server, init_connect or a data source name may set, under
// which nothing may be lost or become unreadable.
var sessions = map[string][]string{
	mariadb.name: {
		"autocommit=0",
		"completion_type=1", // CHAIN
		"completion_type=2", // RELEASE
		"autocommit=0&completion_type=1",
		"autocommit=0&completion_type=2",
		"character_set_connection=utf16",
		"character_set_connection=ucs2&character_set_results=utf32",
		"collation_connection=utf32_bin",
		"character_set_results=utf16",
		"charset=latin1",
		"charset=sjis",
		"sql_mode=%27%27",
		"sql_mode=%27ORACLE,EMPTY_STRING_IS_NULL%27",
		"sql_mode=%27TRADITIONAL,PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES%27",
		"foreign_key_checks=0&unique_checks=0",
		"sql_auto_is_null=1",
		"sql_safe_updates=1",
		"sql_select_limit=1",
		"tx_isolation=%27READ-UNCOMMITTED%27",
	},
	postgres.name: {
		"bytea_output=escape",
		"client_encoding=SJIS&default_query_exec_mode=exec",
		"default_transaction_isolation=repeatable%20read",
		"default_query_exec_mode=exec",
		"standard_conforming_strings=off",
		"synchronous_commit=off",
		"transform_null_equals=on",
		"timezone=Asia/Kathmandu&datestyle=German",
	},
}

func TestSession(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		for _, params := range sessions[s.name] {
			t.Run(params, func(t *testing.T) {
				t.Parallel()
				checkSession(t, s, params)
			})
		}
		// All that are compatible with each other, together.
		all := map[string]string{
			mariadb.name: "autocommit=0&completion_type=1&character_set_connection=utf16&character_set_results=utf32" +
				"&sql_select_limit=1&foreign_key_checks=0&unique_checks=0&sql_mode=%27%27&tx_isolation=%27READ-UNCOMMITTED%27",
			postgres.name: "default_transaction_isolation=repeatable%20read&transform_null_equals=on&default_query_exec_mode=exec",
		}[s.name]
		t.Run("all", func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t testing.TB) storetest.Opener { return newOpener(t, s, all) })
		})
	})
}

// The settings of a connection are restored.
func TestSession_restored(t *testing.T) {
	t.Parallel()
	db := databases.MariaDB(t).Open(t,
		"autocommit=0&completion_type=1&sql_select_limit=7&character_set_results=utf8mb4")
	db.SetMaxOpenConns(1)
	st := created(t, mariadb, db, "a")
	acquire(t, st).Release(t.Context())
	for range 3 {
		var settings string
		require.NoError(t,
			db.QueryRowContext(t.Context(), `SELECT CONCAT_WS(' ', @@autocommit + 0, @@completion_type,
			@@sql_select_limit, @@character_set_results, @@wait_timeout, @@in_transaction)`).Scan(&settings))
		require.Equal(t, "0 CHAIN 7 utf8mb4 28800 0", settings)
		exec(t, db, "ROLLBACK AND NO CHAIN")
		_, err := st.Get(t.Context(), "a")
		require.NoError(t, err)
	}
}

// A session with default settings costs one additional statement, when it is first used.
func TestSession_queriedOnce(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]int{"": 1, "charset=utf8mb4": 1, "autocommit=0": 4} {
		db := databases.MariaDB(t).Open(t, "max_statement_time=60", params)
		db.SetMaxOpenConns(1)
		st := created(t, mariadb, db, "a")
		questions := func() (n int) {
			var name string
			require.NoError(t,
				db.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE 'Questions'").Scan(&name, &n))
			return n
		}
		before := questions()
		for range 5 {
			_, err := st.Get(t.Context(), "a")
			require.NoError(t, err)
		}
		assert.Equal(t, 5*want, questions()-before-1, params)
	}
}

// Tables without transactions are refused when they are created.
func TestSchema_otherEngine(t *testing.T) {
	d := databases.OwnMariaDB(t)
	exec(t, d.Admin(t), "SET GLOBAL enforce_storage_engine = Aria")
	exec(t, d.Admin(t), "SET GLOBAL sql_mode = ''")
	st := sqlstore.New(d.Open(t), sqlstore.MySQL)
	_, err := st.Create(t.Context(), root, newKey(key1), event("create"))
	require.ErrorIs(t, err, fault.Unsupported)
	require.ErrorContains(t, err, "InnoDB")
}

// checkSession changes a keyring through connections with the parameters, which it closes
// after each call, and reads through other connections.
func checkSession(t *testing.T, s server, params string) {
	ctx, d := t.Context(), s.shared(t)
	reader := sqlstore.New(d.Open(t), s.dialect)
	call := func(do func(*sqlstore.Store) error) {
		t.Helper()
		db := d.Open(t, params)
		require.NoError(t, do(sqlstore.New(db, s.dialect)))
		require.NoError(t, db.Close())
	}
	stored := func(want ...string) {
		t.Helper()
		names, err := reader.Names(ctx, "", 10)
		require.NoError(t, err)
		assert.Equal(t, want, names)
		_, err = reader.Load(ctx)
		require.NoError(t, err)
	}
	call(func(st *sqlstore.Store) error {
		_, err := st.Create(ctx, root, newKey(key1), event("create"))
		return err
	})
	for _, name := range []string{"a", "b"} {
		call(func(st *sqlstore.Store) error { return st.Put(ctx, key1, name, recordUnder(key1, name)) })
	}
	stored("a", "b")
	call(func(st *sqlstore.Store) error { return st.Delete(ctx, "a") })
	stored("b")
	call(func(st *sqlstore.Store) error { return st.ReserveEncryptions(ctx, key1, 100) })
	keys, err := reader.Load(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 100, keys.Active().Encryptions)
	call(func(st *sqlstore.Store) error { _, err := st.RecordEvent(ctx, event("note")); return err })
	call(func(st *sqlstore.Store) error { return rotateOnce(ctx, st) })
	stored("b")
	keys, err = reader.Load(ctx)
	require.NoError(t, err)
	require.Len(t, keys.Keys, 1)
	require.Equal(t, key1+1, keys.Active().ID)
	call(func(st *sqlstore.Store) error {
		l, err := st.Acquire(ctx)
		if err != nil {
			return err
		}
		defer l.Release(ctx)
		return l.Rewrap(ctx, root, seal.Fingerprint{9}, map[seal.KeyID][]byte{key1 + 1: []byte("anew")},
			event("rewrap"))
	})
	keys, err = reader.Load(ctx)
	require.NoError(t, err)
	require.Equal(t, seal.Fingerprint{9}, keys.Root)
	events, err := reader.Events(ctx, 0, 10)
	require.NoError(t, err)
	require.NotEmpty(t, events)

	// A session with these settings sees what others have stored meanwhile.
	adapted := sqlstore.New(d.Open(t, params), s.dialect)
	for _, name := range []string{"c", "d"} {
		require.NoError(t, reader.Put(ctx, key1+1, name, recordUnder(key1+1, name)))
		got, err := adapted.Get(ctx, name)
		require.NoError(t, err)
		require.Equal(t, recordUnder(key1+1, name), got)
	}
}
