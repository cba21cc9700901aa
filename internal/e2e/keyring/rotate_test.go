package keyring_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestRotateIfOlder_threeNodes(t *testing.T) {
	const nodes = 3
	onEach(t, func(t *testing.T, s server) {
		p := newCluster(t, s)
		kept := fill(t, p.node(t), 20)
		var all [nodes]*secretref.Keyring
		for i := range all {
			all[i] = p.node(t)
		}
		const age = time.Hour
		db := p.Open(t)
		for round := range 10 {
			_, err := db.ExecContext(t.Context(),
				"UPDATE secretref_keys SET activated = activated - 2 * 3600000000")
			require.NoError(t, err)
			rotated := make(chan bool)
			for _, k := range all {
				go func() {
					_, did, err := k.RotateIfOlder(t.Context(), age)
					assert.NoError(t, output.keep(err))
					rotated <- did
				}()
			}
			times := 0
			for range nodes {
				if <-rotated {
					times++
				}
			}
			require.Equal(t, 1, times, "round %d", round)
		}
		k := p.node(t)
		actions := map[string]int{}
		for e, err := range k.AuditLog(t.Context()) {
			require.NoError(t, err)
			actions[e.Action+" "+e.Outcome]++
		}
		require.Equal(t, map[string]int{"create done": 1, "rotate started": 10, "rotate done": 10},
			actions)
		kept.checkIntact(t, k)
	})
}

// Databases guess the length of columns in temporary tables.
func TestRotate_allSizes(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		p := newCluster(t, s)
		k := p.node(t)
		kept := stored{}
		longest := 1<<20 - len(canary)
		for i, size := range []int{66_000, 0, 1, 250, 260, 67_000, longest, 255, 65_400, 65_536, 3,
			131_072, longest, 20_000} {
			name := fmt.Sprintf("secret-%02d", i)
			kept[name] = strings.Repeat(string(rune('a'+i)), size)
			put(t, k, name, kept[name])
		}
		for range 3 {
			_, err := k.Rotate(t.Context())
			require.NoError(t, output.keep(err))
			kept.checkSecrets(t, k)
		}
		kept.checkIntact(t, k)
	})
}

// damage is a change of a row by someone with write access to the database.
type damage struct {
	change func(t *testing.T, p cluster, db *sql.DB)
	names  []string // of the secrets that cannot be decrypted afterwards
}

// rewrite replaces the record under a name.
func rewrite(name string, change func(record []byte) []byte) damage {
	return damage{func(t *testing.T, p cluster, db *sql.DB) {
		record := recordOf(t, p, db, name)
		set(t, p, db, name, change(record))
	}, []string{name}}
}

func recordOf(t *testing.T, p cluster, db *sql.DB, name string) (record []byte) {
	t.Helper()
	query := "SELECT record FROM secretref_records WHERE name = " + p.server.argument(1)
	require.NoError(t, db.QueryRowContext(t.Context(), query, []byte(name)).Scan(&record))
	return record
}

func set(t *testing.T, p cluster, db *sql.DB, name string, record []byte) {
	t.Helper()
	update := fmt.Sprintf("UPDATE secretref_records SET record = %s WHERE name = %s",
		p.server.argument(1), p.server.argument(2))
	_, err := db.ExecContext(t.Context(), update, record, []byte(name))
	require.NoError(t, err)
}

func rename(t *testing.T, p cluster, db *sql.DB, from, to string) {
	t.Helper()
	update := fmt.Sprintf("UPDATE secretref_records SET name = %s WHERE name = %s",
		p.server.argument(1), p.server.argument(2))
	_, err := db.ExecContext(t.Context(), update, []byte(to), []byte(from))
	require.NoError(t, err)
}

var damages = map[string]damage{
	"a flipped bit": rewrite("secret-3",
		func(record []byte) []byte { record[len(record)-1] ^= 1; return record }),
	"a cut off record": rewrite("secret-3", func(record []byte) []byte { return record[:10] }),
	"an empty record":  rewrite("secret-3", func(record []byte) []byte { return record[:0] }),
	"something else":   rewrite("secret-3", func([]byte) []byte { return []byte("hunter2") }),
	"a newer version": rewrite("secret-3",
		func(record []byte) []byte { record[0]++; return record }),
	"an unknown key": rewrite("secret-3",
		func(record []byte) []byte { record[5] ^= 1; return record }),
	"another nonce": rewrite("secret-3",
		func(record []byte) []byte { record[12] ^= 1; return record }),
	"a record with a tail": rewrite("secret-3",
		func(record []byte) []byte { return append(record, 0) }),
	"two names swapped": {func(t *testing.T, p cluster, db *sql.DB) {
		rename(t, p, db, "secret-3", "aside")
		rename(t, p, db, "secret-4", "secret-3")
		rename(t, p, db, "aside", "secret-4")
	}, []string{"secret-3", "secret-4"}},
	"a record copied to another name": {func(t *testing.T, p cluster, db *sql.DB) {
		set(t, p, db, "secret-3", recordOf(t, p, db, "secret-4"))
	}, []string{"secret-3"}},
	"another name": {func(t *testing.T, p cluster, db *sql.DB) {
		rename(t, p, db, "secret-3", "\x00\xff")
	}, []string{"\x00\xff"}},
}

func TestRotate_damagedRowBlocks(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		for what, damage := range damages {
			t.Run(what, func(t *testing.T) {
				p := newCluster(t, s)
				k := p.node(t)
				kept := fill(t, k, 6)
				_, err := k.Rotate(t.Context())
				require.NoError(t, output.keep(err))
				damage.change(t, p, p.Open(t))
				for _, name := range append(damage.names, "secret-3") {
					delete(kept, name)
				}
				before, err := k.Keys(t.Context())
				require.NoError(t, err)

				for _, k := range []*secretref.Keyring{k, p.node(t)} {
					err = k.Verify(t.Context())
					require.ErrorIs(t, output.keep(err), secretref.ErrCorrupt)
					for _, name := range damage.names {
						require.ErrorContains(t, err, fmt.Sprintf("%q", name))
					}
					done, err := k.Rotate(t.Context())
					require.ErrorIs(t, output.keep(err), secretref.ErrRotationBlocked)
					require.ElementsMatch(t, damage.names, done.Blocked)
					require.Empty(t, done.To)
					_, err = k.Get(t.Context(), damage.names[0])
					require.Error(t, output.keep(err))
					kept.checkSecrets(t, k)
				}
				after, err := k.Keys(t.Context())
				require.NoError(t, err)
				require.Equal(t, before, after)

				for _, name := range damage.names {
					if err := k.Delete(t.Context(), name); errors.Is(output.keep(err), secretref.ErrSyntax) {
						_, err := p.Open(t).ExecContext(t.Context(),
							"DELETE FROM secretref_records WHERE name = "+p.server.argument(1), []byte(name))
						require.NoError(t, err, "an invalid name can be deleted in the database")
					} else {
						require.NoError(t, err, "a damaged secret can be deleted")
					}
				}
				kept.checkIntact(t, k)
			})
		}
	})
}

// A row is under an inactive key.
func TestDeleteInactive_keyInUse(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		p := newCluster(t, s)
		k := p.node(t)
		kept := fill(t, k, 3)
		db := p.Open(t)
		old := recordOf(t, p, db, "secret-1")
		rotation, err := k.Rotate(t.Context())
		require.NoError(t, output.keep(err))
		inactive, err := k.Inactive(t.Context())
		require.NoError(t, err)
		require.Len(t, inactive, 1)
		require.Equal(t, rotation.From, inactive[0].ID)

		set(t, p, db, "secret-1", old)
		update := "UPDATE secretref_records SET key_id = (SELECT id FROM secretref_keys WHERE state = " +
			"'inactive') WHERE name = " + p.server.argument(1)
		_, err = db.ExecContext(t.Context(), update, []byte("secret-1"))
		require.NoError(t, err)
		_, err = k.DeleteInactive(t.Context())
		require.ErrorIs(t, output.keep(err), secretref.ErrRotationBlocked)
		kept.checkSecrets(t, k)
		kept.checkIntact(t, k)
	})
}

// Each page of a thousand records is moved by one transaction. The number of other
// transactions is constant.
func TestRotate_transactionsPerPage(t *testing.T) {
	count := map[string]func(t *testing.T, db *sql.DB) (n int){
		postgres.name: func(t *testing.T, db *sql.DB) (n int) { // transactions that write
			require.NoError(t,
				db.QueryRowContext(t.Context(),
					`SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int`).Scan(&n))
			return n
		},
		mariadb.name: func(t *testing.T, db *sql.DB) (n int) {
			var name string
			require.NoError(t,
				db.QueryRowContext(t.Context(), `SHOW GLOBAL STATUS LIKE 'Com_commit'`).Scan(&name, &n))
			return n
		},
	}
	onEach(t, func(t *testing.T, s server) {
		took := map[int]int{} // by pages
		var rotating time.Duration
		for _, pages := range []int{1, 3, 6} {
			p := cluster{s.own(t), s, newRoot()}
			p.filled(t, 1000*pages)
			admin, k := p.Admin(t), p.node(t)
			before := count[s.name](t, admin)
			start := time.Now()
			done, err := k.Rotate(t.Context())
			require.NoError(t, output.keep(err))
			rotating += time.Since(start)
			took[pages] = count[s.name](t, admin) - before
			require.Equal(t, 1000*pages, done.Moved)
		}
		t.Log(took)
		// Of the server itself, and renewals of the lease, at most one in three seconds.
		others := 2 + rotating.Seconds()/3
		require.InDelta(t, took[1]+2, took[3], others)
		require.InDelta(t, took[1]+5, took[6], others)
		require.LessOrEqual(t, float64(took[1]), 6+others)
	})
}
