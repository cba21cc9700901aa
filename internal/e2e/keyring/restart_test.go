package keyring_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

// immediately ends a PostgreSQL server as "pg_ctl stop -m immediate" does.
func immediately(t testing.TB, d *databases.Database) {
	t.Helper()
	data := ""
	require.NoError(t, d.Admin(t).QueryRowContext(t.Context(), "SHOW data_directory").Scan(&data))
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	require.NoError(t, err)
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGQUIT))
	d.Stop(t) // waits for the end
}

func TestRotate_serverStops(t *testing.T) {
	stop := func(t testing.TB, d *databases.Database) { t.Helper(); d.Stop(t) }
	kill := func(t testing.TB, d *databases.Database) { t.Helper(); d.Kill(t) }
	ends := map[string]map[string]func(testing.TB, *databases.Database){
		postgres.name: {"fast": stop, "immediate": immediately, "killed": kill},
		mariadb.name:  {"in order": stop, "killed": kill},
	}
	onEach(t, func(t *testing.T, s server) {
		p := cluster{s.own(t), s, newRoot()}
		kept := p.filled(t, 5000)
		slots := newSlots(6)
		done, cancel := context.WithCancel(t.Context())
		defer cancel()
		var writers sync.WaitGroup
		var failed atomic.Int64
		for w := range 3 {
			k, mine := p.node(t), slots[2*w:][:2]
			writers.Go(func() {
				for done.Err() == nil && !t.Failed() {
					s := mine[rand.IntN(2)]
					assert.NoError(t, s.next(t.Context(), k, func() { failed.Add(1) }))
				}
			})
		}
		for how, end := range ends[s.name] {
			for range 3 {
				moving := make(chan struct{}, 100)
				k := p.nodeWith(t,
					secretref.KeyringOptions{RootKey: p.root, Progress: func(int, int) { moving <- struct{}{} }})
				rotated := make(chan error)
				go func() {
					_, err := k.Rotate(t.Context())
					rotated <- output.keep(err)
				}()
				<-moving
				time.Sleep(rand.N(20 * time.Millisecond))
				end(t, p.Database)
				err := <-rotated
				if err != nil {
					require.ErrorIs(t, err, secretref.ErrUnavailable, how)
				}
				p.Start(t)
				t.Logf("%s: %v", how, err)

				db := p.Open(t)
				expireLease(t, db)
				if err != nil {
					again, err := k.Rotate(t.Context())
					require.NoError(t, output.keep(err), "an existing node continues")
					require.Less(t, again.Moved, len(kept)+len(slots), "it finishes the rotation in progress")
				}
				_, err = k.DeleteInactive(t.Context())
				require.NoError(t, output.keep(err))
			}
		}
		cancel()
		writers.Wait()
		assert.Positive(t, failed.Load())
		k := p.node(t)
		for _, s := range slots {
			require.NoError(t, s.read(t.Context(), k))
		}
		kept.checkIntact(t, k)
		for _, s := range slots {
			require.NoError(t, s.read(t.Context(), k))
		}
		started, ended := 0, 0
		for e, err := range k.AuditLog(t.Context()) {
			require.NoError(t, output.keep(err))
			switch e.Action + " " + e.Outcome {
			case "rotate started":
				started++
			case "rotate done":
				ended++
			}
		}
		assert.Equal(t, started, ended, "each rotation was finished")
	})
}
