//go:build unix && !solaris

package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// Another process holds the lock of the keyring's file.
func TestTimeout_limitsWaitForLock(t *testing.T) {
	w := newFixture(t)
	keyringAndToken(w)
	f, err := os.OpenFile(w.path("k.db"), os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	for _, args := range [][]string{
		on("put", "x"), on("get", "db"), on("delete",
			"db"), on("names"), on("list"), on("verify"), on("audit"), on("rotate"),
		on("rotate", "-if-older-than",
			"1d"), on("inactive"), on("delete-inactive"), on("change-root"),
		{"resolve", "-store", "DIR/k.db", `{"keyring":"db"}`}, {"check", "-store", "DIR/k.db",
			`{"keyring":"db"}`},
		{"config", "-store", "DIR/k.db", "DIR/jira"}, {"exec", "-store", "DIR/k.db", "--", "false"},
		{"set", "-store", "DIR/k.db", "-dry-run", "DIR/jira", trackerSecret}, serving("-addr",
			"127.0.0.1:0"),
	} {
		t.Setenv("A", `{"keyring":"db"}`)
		i := 1 // after the name of the command
		got := w.do("canary", false,
			append(append(append([]string{}, args[:i]...), "-timeout", "20ms"), args[i:]...)...)
		assert.Equal(t, ui.StatusFailed, got.status, args)
		assert.Contains(t, got.out+got.err, "waited for the lock of", args)
	}
}
