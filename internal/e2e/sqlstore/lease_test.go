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

func TestALeaseIsHeldFor15SecondsOfTheDatabasesClock(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		db := s.shared(t).Open(t)
		st := created(t, s, db)
		l := acquire(t, st)
		remaining := func() time.Duration {
			now, err := st.Load(t.Context())
			require.NoError(t, err)
			var micros int64
			require.NoError(t, db.QueryRowContext(t.Context(), `SELECT expires FROM secretref_lease`).Scan(&micros))
			return time.UnixMicro(micros).Sub(now.Now)
		}
		assert.InDelta(t, 15, remaining().Seconds(), 5)
		exec(t, db, lapseNow)
		require.NoError(t, l.Renew(t.Context()))
		assert.InDelta(t, 15, remaining().Seconds(), 5)
		_, err := st.Acquire(t.Context())
		require.ErrorIs(t, err, fault.RotationInProgress)
	})
}

func TestALeaseThatLapsedWorksUntilSomebodyElseTakesIt(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		db := d.Open(t)
		st, other := created(t, s, db, "a", "b"), sqlstore.New(d.Open(t), s.dialect)
		old := acquire(t, st)
		exec(t, db, lapseNow)
		require.NoError(t, old.Activate(t.Context(), root, key1, newKey(key2), event("activate")))
		exec(t, db, lapseNow)
		moved, err := old.Move(t.Context(), key1, key2, []store.Swap{swap("a", key1, key2, "a")})
		require.NoError(t, err)
		require.Equal(t, 1, moved)

		exec(t, db, lapseNow)
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
				return old.Rewrap(ctx, root, seal.Fingerprint{9}, map[seal.KeyID][]byte{key1: nil, key2: nil}, event("x"))
			},
		} {
			require.ErrorIs(t, call(), fault.RotationInProgress, name)
		}
		old.Release(ctx)
		assert.Equal(t, []string{"b"}, under(t, st, key1), "an old holder changes nothing")
		require.NoError(t, l.Renew(ctx), "nor does it give back what another one has")
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

func TestNobodyTakesTheLeaseInTheMidstOfACall(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		db := d.Open(t)
		st := created(t, s, db, "a")
		l := acquire(t, st)
		require.NoError(t, l.Activate(t.Context(), root, key1, newKey(key2), event("activate")))
		exec(t, db, lapseNow)

		obstacle := begin(t, db)
		exec(t, obstacle, `UPDATE secretref_records SET record = record`)
		move := later(func() error {
			_, err := l.Move(t.Context(), key1, key2, []store.Swap{swap("a", key1, key2, "a")})
			return err
		})
		waiting(t, s, d, 1)
		start := time.Now()
		_, err := st.Acquire(t.Context())
		require.ErrorIs(t, err, fault.RotationInProgress)
		assert.Less(t, time.Since(start), 5*time.Second, "Acquire does not wait")
		require.NoError(t, obstacle.Rollback())
		require.NoError(t, move())
	})
}

// A machine that loses its power says nothing, and its connections stay.
func TestWhatASilentHolderHasLockedIsFreeAfter15Seconds(t *testing.T) {
	t.Parallel()
	var free []func()
	for _, s := range []server{postgres, mariadb} {
		free = append(free, fallSilent(t, s))
	}
	for _, free := range free {
		free()
	}
}

// fallSilent leaves a Move that nobody ends, and returns what checks that others
// can go on all the same.
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
		_, err := l.Move(ctx, key1, key2, []store.Swap{swap("a", key1, key2, "a"), swap("b", key1, key2, "b")})
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
		}, 40*time.Second, 100*time.Millisecond)
		t.Logf("%s: free after %v", s.name, time.Since(start))
		assert.Less(t, time.Since(start), 25*time.Second)
		cancel()
		require.ErrorIs(t, move(), context.Canceled)
	}
}

func TestAConnectionIsGivenBackAsItWas(t *testing.T) {
	t.Parallel()
	db := mariadb.shared(t).Open(t, "wait_timeout=12345")
	db.SetMaxOpenConns(1)
	st := created(t, mariadb, db)
	require.NoError(t, acquire(t, st).Renew(t.Context()))
	var seconds int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT @@SESSION.wait_timeout`).Scan(&seconds))
	require.Equal(t, 12345, seconds)
}

// A statement of MySQL knows only when it began, which may be before another
// one, that prolonged the lease, had ended.
func TestALeaseThatEndsALittleTooLateIsHeld(t *testing.T) {
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
