package sqlstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
)

func TestLease_duration(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		db := s.shared(t).Open(t)
		st := created(t, s, db)
		before := func() time.Time {
			keys, err := st.Load(t.Context())
			require.NoError(t, err)
			return keys.Now
		}
		began := before()
		l := acquire(t, st)
		checkRemaining := func() { // by the clock of the database
			t.Helper()
			var micros int64
			require.NoError(t,
				db.QueryRowContext(t.Context(), `SELECT expires FROM secretref_lease`).Scan(&micros))
			expires := time.UnixMicro(micros)
			assert.False(t, expires.Before(began.Add(15*time.Second)), "too early")
			assert.False(t, expires.After(before().Add(15*time.Second)), "too late")
		}
		checkRemaining()
		exec(t, db, expireNow)
		require.NoError(t, l.Renew(t.Context()))
		checkRemaining()
		_, err := st.Acquire(t.Context())
		require.ErrorIs(t, err, fault.RotationInProgress)
	})
}

func TestLease_expired(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		db := d.Open(t)
		st, other := created(t, s, db, "a", "b"), sqlstore.New(d.Open(t), s.dialect)
		old := acquire(t, st)
		exec(t, db, expireNow)
		require.NoError(t, old.Activate(t.Context(), root, key1, newKey(key2), event("activate")))
		exec(t, db, expireNow)
		moved, err := old.Move(t.Context(), key1, key2, []store.Swap{swap("a", key1, key2, "a")})
		require.NoError(t, err)
		require.Equal(t, 1, moved)

		exec(t, db, expireNow)
		l := acquire(t, other)
		ctx := t.Context()
		for name, call := range map[string]func() error{
			"Renew":    func() error { return old.Renew(ctx) },
			"Activate": func() error { return old.Activate(ctx, root, key2, newKey(key3), event("x")) },
			"Move": func() error {
				_, err := old.Move(ctx, key1, key2, []store.Swap{swap("b", key1, key2, "b")})
				return err
			},
			"Retire": func() error { return old.Retire(ctx, key1, event("x")) },
			"Rewrap": func() error {
				return old.Rewrap(ctx, root, seal.Fingerprint{9}, map[seal.KeyID][]byte{key1: nil, key2: nil},
					event("x"))
			},
		} {
			require.ErrorIs(t, call(), fault.RotationInProgress, name)
		}
		old.Release(ctx)
		assert.Equal(t, []string{"b"}, under(t, st, key1), "the previous holder changes nothing")
		require.NoError(t, l.Renew(ctx), "nor does it release the lease of another")
		_, err = st.Acquire(ctx)
		require.ErrorIs(t, err, fault.RotationInProgress)

		_, err = moveAll(ctx, other, l, key1, key2)
		require.NoError(t, err)
		require.NoError(t, l.Retire(ctx, key1, event("retire")))
		events, err := st.Events(ctx, 0, 100)
		require.NoError(t, err)
		assert.Len(t, events, 3)
	})
}

func TestLease_callInProgress(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		db := d.Open(t)
		st := created(t, s, db, "a")
		l := acquire(t, st)
		require.NoError(t, l.Activate(t.Context(), root, key1, newKey(key2), event("activate")))
		exec(t, db, expireNow)

		obstacle := begin(t, db)
		exec(t, obstacle, `UPDATE secretref_records SET record = record`)
		move := later(func() error {
			_, err := l.Move(t.Context(), key1, key2, []store.Swap{swap("a", key1, key2, "a")})
			return err
		})
		waiting(t, s, d, 1)
		_, err := st.Acquire(t.Context()) // does not wait for the call, which waits for obstacle
		require.ErrorIs(t, err, fault.RotationInProgress)
		require.NoError(t, obstacle.Rollback())
		require.NoError(t, move())
	})
}

// After a power failure of the client, its connections stay open.
func TestLease_silentHolder(t *testing.T) {
	t.Parallel()
	var free []func()
	for _, s := range []server{postgres, mariadb} {
		free = append(free, fallSilent(t, s))
	}
	for _, free := range free {
		free()
	}
}

// fallSilent leaves a Move whose client does not respond, and returns a function that waits
// until others can continue.
func fallSilent(t *testing.T, s server) (free func()) {
	d := s.shared(t)
	db := d.Open(t)
	st := created(t, s, db, "a", "b")
	line := newLine(t, d)
	l := acquire(t, sqlstore.New(line.open(t, d), s.dialect))
	require.NoError(t, l.Activate(t.Context(), root, key1, newKey(key2), event("activate")))

	obstacle := begin(t, db)
	exec(t, obstacle, `UPDATE secretref_records SET record = record WHERE name = 'b'`)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	move := later(func() error {
		_, err := l.Move(ctx, key1, key2,
			[]store.Swap{swap("a", key1, key2, "a"), swap("b", key1, key2, "b")})
		return err
	})
	waiting(t, s, d, 1)
	line.cut()
	require.NoError(t, obstacle.Rollback())
	start := time.Now()

	return func() {
		require.Eventually(t, func() bool {
			l, err := st.Acquire(t.Context())
			if err != nil {
				assert.ErrorIs(t, err, fault.RotationInProgress)
				return false
			}
			defer l.Release(t.Context())
			_, err = moveAll(t.Context(), st, l, key1, key2)
			return assert.NoError(t, err) && assert.NoError(t, l.Retire(t.Context(), key1, event("retire")))
		}, 2*time.Minute, 100*time.Millisecond)
		t.Logf("%s: free after %v", s.name, time.Since(start))
		cancel()
		require.ErrorIs(t, move(), context.Canceled)
	}
}

func TestSession_restoresTimeout(t *testing.T) {
	t.Parallel()
	db := mariadb.shared(t).Open(t, "wait_timeout=12345")
	db.SetMaxOpenConns(1)
	st := created(t, mariadb, db)
	require.NoError(t, acquire(t, st).Renew(t.Context()))
	var seconds int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT @@SESSION.wait_timeout`).Scan(&seconds))
	require.Equal(t, 12345, seconds)
}

// The clock of MySQL stands still during a statement, which may have begun before another
// one extended the lease.
func TestLease_clockSkew(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		db := s.shared(t).Open(t)
		st := created(t, s, db)
		acquire(t, st)
		exec(t, db, `UPDATE secretref_lease SET expires = expires + 10000000`)
		_, err := st.Acquire(t.Context())
		require.ErrorIs(t, err, fault.RotationInProgress)
		exec(t, db, `UPDATE secretref_lease SET expires = expires + 3600000000`) // the clock was put back
		acquire(t, st)
	})
}
