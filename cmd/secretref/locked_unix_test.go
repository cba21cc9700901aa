//go:build unix && !solaris && !aix

package main

import (
	"bytes"
	"os"
	"os/signal"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/flock"
)

func TestTimeout_defaultLimitsWaitForLock(t *testing.T) {
	w := newFixture(t)
	store := filepath.Join(w.dir, "k.db")
	require.Equal(t, ui.StatusOK,
		w.do("canary-kept", false, "keys", "-store", store, "put", "db").status)
	t.Setenv("A", `{"keyring":"db"}`)
	held, err := os.OpenFile(store, os.O_RDWR, 0)
	require.NoError(t, err)
	defer held.Close()
	got, err := flock.Try(held, true)
	require.NoError(t, err)
	require.True(t, got)

	// The first call of signal.Notify starts a goroutine, which must not belong to a
	// synctest bubble.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	signal.Stop(signals)

	for name, args := range map[string][]string{
		"exec":    {"exec", "-store", store, "-only", "A", "--", "false"},
		"resolve": {"resolve", "-store", store, `{"keyring":"db"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out, errs bytes.Buffer
				start := time.Now()
				status := run(t.Context(), args, ui.Streams{Out: &out, Err: &errs})
				assert.Equal(t, ui.StatusFailed, status)
				assert.Equal(t, ui.DefaultTimeout, time.Since(start).Round(time.Second))
				assert.Equal(t,
					`secretref: warning: keyring: waiting for a lock that another process holds (lock DIR/k.db)`+
						"\n"+`secretref: keyring: unavailable: waited for the lock of "DIR/k.db", which another process holds; try again when it has finished`+"\n",
					w.normal(errs.String()))
			})
		})
	}
}
