package sqlstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/e2e/databases"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// later starts f, and returns a function that waits for its error.
func later(f func() error) (result func() error) {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return func() error {
		select {
		case err := <-done:
			return err
		case <-time.After(time.Minute):
			return context.DeadlineExceeded
		}
	}
}

func TestActivate_waitsForClaim(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		db := d.Open(t, s.weakest...)
		st := created(t, s, db, "a")
		l := acquire(t, st)

		obstacle := begin(t, db)
		exec(t, obstacle, `UPDATE secretref_records SET record = record WHERE key_id <> 0`)
		put := later(func() error { return st.Put(t.Context(), key1, "a", recordUnder(key1, "new")) })
		waiting(t, s, d, 1)
		activate := later(func() error {
			return l.Activate(t.Context(), root, key1, newKey(key2),
				event("activate"))
		})
		waiting(t, s, d, 2)
		keys, err := st.Load(t.Context())
		require.NoError(t, err)
		require.Equal(t, key1, keys.Active().ID)

		require.NoError(t, obstacle.Rollback())
		require.NoError(t, put())
		require.NoError(t, activate())
		assert.Equal(t, []string{"a"}, under(t, st, key1), "the rotation sees the new record")
	})
}

func TestActivate_refusesLatePut(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		db := d.Open(t, s.weakest...)
		st := created(t, s, db, "a")
		l := acquire(t, st)

		// Activate has changed the keys, and waits before its last statement.
		obstacle, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer obstacle.Close()
		if s.name == postgres.name {
			exec(t, obstacle, `BEGIN`)
			exec(t, obstacle, `LOCK TABLE secretref_events`)
		} else {
			exec(t, obstacle, `LOCK TABLES secretref_events WRITE`)
		}
		activate := later(func() error {
			return l.Activate(t.Context(), root, key1, newKey(key2),
				event("activate"))
		})
		waiting(t, s, d, 1)
		old := later(func() error { return st.Put(t.Context(), key1, "a", recordUnder(key1, "old")) })
		fresh := later(func() error { return st.Put(t.Context(), key1, "b", recordUnder(key1, "old")) })
		waiting(t, s, d, 3)
		if s.name == postgres.name {
			exec(t, obstacle, `ROLLBACK`)
		} else {
			exec(t, obstacle, `UNLOCK TABLES`)
		}
		require.NoError(t, activate())
		require.ErrorIs(t, old(), store.ErrNotActive)
		require.ErrorIs(t, fresh(), store.ErrNotActive)
		require.NoError(t, st.Put(t.Context(), key2, "a", recordUnder(key2, "new")))
		assert.Empty(t, under(t, st, key1))
		assert.Equal(t, []string{"a"}, under(t, st, key2))
	})
}

func TestActivate_manyPuts(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		// Each Put is slow, as with a distant replica, and overlaps with others.
		d := s.shared(t)
		db := d.Open(t, s.weakest...)
		st := created(t, s, db)
		slow(t, s, d)
		l := acquire(t, st)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for ctx.Err() == nil {
					if err := st.Put(ctx, key1, fmt.Sprint(i), recordUnder(key1, "text")); err != nil {
						assert.ErrorIs(t, err, store.ErrNotActive)
						return
					}
				}
			})
		}
		require.Eventually(t, func() bool { return len(under(t, st, key1)) == 16 }, time.Minute,
			time.Millisecond)
		assert.NoError(t, st.ReserveEncryptions(ctx, key1, 1000))
		assert.NoError(t, l.Rewrap(ctx, root, root, map[seal.KeyID][]byte{key1: []byte("wrapped")},
			event("rewrap")))
		assert.NoError(t, l.Activate(ctx, root, key1, newKey(key2), event("activate")))
		wg.Wait()
		assert.NoError(t, ctx.Err(), "a Put under the old key continued")
	})
}

// slow makes each record that is written take 50 ms.
func slow(t *testing.T, s server, d *databases.Database) {
	admin := d.Admin(t)
	if s.name == postgres.name {
		exec(t, admin,
			`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.05); RETURN new; END'`)
		exec(t, admin,
			`CREATE TRIGGER slow BEFORE INSERT ON secretref_records FOR EACH ROW EXECUTE FUNCTION slow()`)
	} else {
		exec(t, admin,
			`CREATE TRIGGER `+d.Name+`.slow BEFORE INSERT ON `+d.Name+
				`.secretref_records FOR EACH ROW SET @slept = SLEEP(0.05)`)
	}
}

func TestPut_concurrentNewName(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		st := created(t, s, s.shared(t).Open(t))
		for round := range 20 {
			name := fmt.Sprint("name ", round)
			var wg sync.WaitGroup
			for i := range 6 {
				wg.Go(func() {
					assert.NoError(t,
						st.Put(t.Context(), key1, name, recordUnder(key1, fmt.Sprint(i))))
				})
			}
			wg.Wait()
			_, err := st.Get(t.Context(), name)
			require.NoError(t, err)
		}
	})
}

func TestDeleteInactive_waitsForTransaction(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		db := d.Open(t, s.weakest...)
		st := created(t, s, db, "a")
		l := acquire(t, st)
		require.NoError(t, l.Activate(t.Context(), root, key1, newKey(key2), event("activate")))
		_, err := moveAll(t.Context(), st, l, key1, key2)
		require.NoError(t, err)
		require.NoError(t, l.Retire(t.Context(), key1, event("retire")))

		// No Store does this: only the foreign key notices it.
		intruder := begin(t, db)
		exec(t, intruder, fmt.Sprintf(`UPDATE secretref_records SET key_id = %d`, signed(key1)))
		remove := later(func() error {
			_, err := st.DeleteInactive(t.Context(),
				event("delete"))
			return err
		})
		waiting(t, s, d, 1)
		require.NoError(t, intruder.Commit())
		require.ErrorIs(t, remove(), store.ErrInUse)
		keys, err := st.Load(t.Context())
		require.NoError(t, err)
		assert.Len(t, keys.Keys, 2)
		events, err := st.Events(t.Context(), 0, 100)
		require.NoError(t, err)
		assert.Equal(t, "retire", events[len(events)-1].Action, "a refused call stores no event")
	})
}

func TestPut_keyBeingDeleted(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		db := d.Open(t, s.weakest...)
		st := created(t, s, db)
		l := acquire(t, st)
		require.NoError(t, l.Activate(t.Context(), root, key1, newKey(key2), event("activate")))
		require.NoError(t, l.Retire(t.Context(), key1, event("retire")))

		deleting := begin(t, db)
		exec(t, deleting, `DELETE FROM secretref_keys WHERE state = 'inactive'`)
		var put func() error
		if s.name == postgres.name {
			// the old version of the row is not active either
			put = func() error { return st.Put(t.Context(), key1, "a", nil) }
		} else {
			put = later(func() error { return st.Put(t.Context(), key1, "a", nil) })
			waiting(t, s, d, 1)
		}
		require.NoError(t, deleting.Commit())
		require.ErrorIs(t, put(), store.ErrNotActive)
	})
}

func TestMove_retriesDeadlock(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		db := d.Open(t, s.weakest...)
		st := created(t, s, db, "a", "b")
		l := acquire(t, st)
		require.NoError(t, l.Activate(t.Context(), root, key1, newKey(key2), event("activate")))

		other := begin(t, db)
		exec(t, other, `UPDATE secretref_records SET record = record WHERE name = 'b'`)
		moved := 0
		move := later(func() (err error) {
			swaps := []store.Swap{swap("a", key1, key2, "a"), swap("b", key1, key2, "b")}
			moved, err = l.Move(t.Context(), key1, key2, swaps)
			return err
		})
		waiting(t, s, d, 1)
		// The database rolls one of the two back.
		_, err := other.ExecContext(t.Context(),
			`UPDATE secretref_records SET record = record WHERE name = 'a'`)
		t.Logf("the other transaction: %v", err)
		_ = other.Rollback()
		require.NoError(t, move())
		assert.Equal(t, 2, moved)
		assert.Equal(t, []string{"a", "b"}, under(t, st, key2))
	})
}
