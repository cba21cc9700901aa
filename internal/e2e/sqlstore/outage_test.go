package sqlstore_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
)

func TestOutage_serverStopped(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.own(t)
		st := created(t, s, d.Open(t), "a", "b")
		l := acquire(t, st)
		require.NoError(t, l.Activate(t.Context(), root, key1, newKey(key2), event("activate")))
		ctx := t.Context()
		calls := []struct {
			name string
			call func() error
		}{
			{"Create", func() error {
				_, err := st.Create(ctx, root, newKey(key3),
					event("x"))
				return err
			}},
			{"Load", func() error { _, err := st.Load(ctx); return err }},
			{"Reserve", func() error { return st.ReserveEncryptions(ctx, key2, 1) }},
			{"Get", func() error { _, err := st.Get(ctx, "a"); return err }},
			{"Put", func() error { return st.Put(ctx, key2, "c", recordUnder(key2, "c")) }},
			{"Delete", func() error { return st.Delete(ctx, "c") }},
			{"Names", func() error { _, err := st.Names(ctx, "", 1); return err }},
			{"Records", func() error {
				_, err := st.Records(ctx,
					store.Range{Limit: 1, Bytes: 1})
				return err
			}},
			{"Count", func() error { _, err := st.Count(ctx); return err }},
			{"Record", func() error { _, err := st.RecordEvent(ctx, event("x")); return err }},
			{"Events", func() error { _, err := st.Events(ctx, 0, 1); return err }},
			{"Renew", func() error { return l.Renew(ctx) }},
			{"Move", func() error { _, err := moveAll(ctx, st, l, key1, key2); return err }},
			{"Retire", func() error { return l.Retire(ctx, key1, event("x")) }},
			{"DeleteInactive", func() error { _, err := st.DeleteInactive(ctx, event("x")); return err }},
			{"Rewrap", func() error {
				return l.Rewrap(ctx, root, root, map[seal.KeyID][]byte{key2: nil},
					event("x"))
			}},
			{"Activate", func() error { return l.Activate(ctx, root, key2, newKey(key3), event("x")) }},
			{"Acquire", func() error {
				l.Release(ctx)
				l, err := st.Acquire(ctx)
				if err == nil {
					l.Release(ctx)
				}
				return err
			}},
		}
		for _, end := range []func(testing.TB){d.Stop, d.Kill} {
			end(t)
			for _, c := range calls[:len(calls)-1] {
				err := c.call()
				require.ErrorIs(t, err, fault.Unavailable, c.name)
				require.NotContains(t, err.Error(), d.Password)
			}
			d.Start(t)
			require.NoError(t, st.Put(ctx, key2, "a", recordUnder(key2, "a")))
		}
		for _, c := range calls {
			require.NoError(t, c.call(), c.name)
		}
	})
}

func TestOutage_duringCalls(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.own(t)
		st := created(t, s, d.Open(t))
		var done atomic.Bool
		var wg sync.WaitGroup
		var tried, stored [4]atomic.Int64
		for i := range tried {
			st := sqlstore.New(d.Open(t), s.dialect)
			wg.Go(func() {
				for !done.Load() {
					version := tried[i].Add(1)
					err := storeVersion(t.Context(), st, fmt.Sprint("name ", i), version)
					if err == nil {
						stored[i].Store(version)
					} else if !outage(err) {
						assert.NoError(t, err)
						return
					}
				}
			})
		}
		rotations := 0
		wg.Go(func() {
			st := sqlstore.New(d.Open(t), s.dialect)
			for !done.Load() {
				switch err := rotateOnce(t.Context(), st); {
				case err == nil:
					rotations++
				case !outage(err):
					assert.NoError(t, err)
					return
				}
			}
		})
		for i := range 6 {
			time.Sleep(rand.N(300 * time.Millisecond)) // anywhere in the calls of the others
			[]func(testing.TB){d.Stop, d.Kill}[i%2](t)
			d.Start(t)
			_, err := d.Admin(t).ExecContext(t.Context(),
				`UPDATE `+d.Name+`.secretref_lease SET expires = 1`)
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool { return t.Failed() || rotateOnce(t.Context(), st) == nil },
			time.Minute, 10*time.Millisecond)
		done.Store(true)
		wg.Wait()
		t.Logf("%d rotations, %d records stored", rotations, stored[0].Load())
		found := versions(t, st)
		for i := range stored {
			version := found[fmt.Sprint("name ", i)]
			assert.GreaterOrEqual(t, version, stored[i].Load())
			assert.LessOrEqual(t, version, tried[i].Load())
		}
	})
}

func outage(err error) bool {
	return errors.Is(err, fault.Unavailable) || errors.Is(err, fault.RotationInProgress)
}

// storeVersion stores a version under the active key.
func storeVersion(ctx context.Context, st store.Store, name string, version int64) error {
	for {
		keys, err := st.Load(ctx)
		if err != nil {
			return err
		}
		id := keys.Active().ID
		err = st.Put(ctx, id, name, recordUnder(id, fmt.Sprintf("%020d", version)))
		if !errors.Is(err, store.ErrNotActive) {
			return err
		}
	}
}

// versions returns the stored versions, and checks every record.
func versions(t *testing.T, st store.Store) map[string]int64 {
	keys, err := st.Load(t.Context())
	require.NoError(t, err)
	known := make(map[seal.KeyID]bool)
	for _, k := range keys.Keys {
		known[k.ID] = true
	}
	records, err := st.Records(t.Context(), store.Range{Limit: 1000, Bytes: 1 << 20})
	require.NoError(t, err)
	found := make(map[string]int64)
	for _, b := range records {
		require.True(t, known[b.Key])
		var version int64
		_, err := fmt.Sscanf(string(b.Sealed[9:29]), "%d", &version)
		require.NoError(t, err)
		require.Equal(t, recordUnder(b.Key, fmt.Sprintf("%020d", version)), b.Sealed)
		found[b.Name] = version
	}
	return found
}

// rotateOnce finishes the rotation in progress, or rotates.
func rotateOnce(ctx context.Context, st store.Store) error {
	l, err := st.Acquire(ctx)
	if err != nil {
		return err
	}
	defer l.Release(ctx)
	for {
		keys, err := st.Load(ctx)
		if err != nil {
			return err
		}
		old, active := keys.Retiring(), keys.Active()
		if old == nil {
			if err := l.Activate(ctx, keys.Root, active.ID, newKey(active.ID+1),
				event("activate")); err != nil {
				return err
			}
			continue
		}
		if _, err := moveAll(ctx, st, l, old.ID, active.ID); err != nil {
			return err
		}
		if err := l.Retire(ctx, old.ID, event("retire")); err != nil {
			return err
		}
		_, err = st.DeleteInactive(ctx, event("delete"))
		return err
	}
}

func TestKill(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		db := d.Open(t)
		st := created(t, s, db)
		before := make(map[string]int64)
		unfinished := 0
		for round := range 24 {
			kill(t, s, d.DSN())
			exec(t, db, expireNow)
			newer := func() {
				found := versions(t, st)
				for name, version := range before {
					require.GreaterOrEqual(t, found[name], version, "%s reverted to an older version", name)
				}
				before = found
			}
			newer()
			keys, err := st.Load(t.Context())
			require.NoError(t, err)
			if keys.Retiring() != nil {
				unfinished++
			}
			if round%3 == 2 {
				// The server may not have noticed yet that the client is dead.
				require.Eventually(t, func() bool {
					err := rotateOnce(t.Context(), st)
					if err != nil && !errors.Is(err, fault.RotationInProgress) {
						require.NoError(t, err)
					}
					return err == nil
				}, time.Minute, 10*time.Millisecond)
				newer() // the last statements of the client may have finished only now
			}
		}
		require.Len(t, before, len(clientNames))
		t.Logf("%d of 24 were killed during a rotation", unfinished)
	})
}

const (
	expireNow    = `UPDATE secretref_lease SET expires = 1`
	clientDriver = "SECRETREF_E2E_CLIENT_DRIVER"
	clientDSN    = "SECRETREF_E2E_CLIENT_DSN"
)

var clientNames = [...]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}

// kill runs a client process for a moment, and kills it.
func kill(t *testing.T, s server, dsn string) {
	driver := "mysql"
	if s.dialect == sqlstore.PostgreSQL {
		driver = "pgx"
	}
	self, err := os.Executable()
	require.NoError(t, err)
	client := osexec.Command(self, "-test.run=^TestClient$")
	client.Env = append(os.Environ(), clientDriver+"="+driver, clientDSN+"="+dsn)
	client.Stderr = os.Stderr
	out, err := client.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, client.Start())
	line, err := bufio.NewReader(out).ReadString('\n') // it has begun
	require.NoError(t, err, line)
	time.Sleep(rand.N(60 * time.Millisecond))
	require.NoError(t, client.Process.Kill())
	require.Error(t, client.Wait())
}

// TestClient is not a test but the client process of kill. It stores ever newer versions and
// rotates until it is killed.
func TestClient(t *testing.T) {
	driver, dsn := os.Getenv(clientDriver), os.Getenv(clientDSN)
	if dsn == "" {
		t.SkipNow()
	}
	dialect := sqlstore.MySQL
	if driver == "pgx" {
		dialect = sqlstore.PostgreSQL
	}
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	st := sqlstore.New(db, dialect)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	start := time.Now().UnixNano()
	for _, name := range clientNames {
		require.NoError(t, storeVersion(ctx, st, name, start))
	}
	fmt.Println("begun")
	var wg sync.WaitGroup
	for _, name := range clientNames {
		wg.Go(func() {
			for ctx.Err() == nil {
				require.NoError(t, storeVersion(ctx, st, name, time.Now().UnixNano()))
			}
		})
	}
	for ctx.Err() == nil {
		if err := rotateOnce(ctx, st); !errors.Is(err, fault.RotationInProgress) {
			require.NoError(t, err)
		}
	}
	wg.Wait()
}
