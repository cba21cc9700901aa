//go:build unix

package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// hangup is the standard input of a terminal that is closed.
type hangup struct{ ctx context.Context }

func (h hangup) Read([]byte) (int, error) {
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		return 0, err
	}
	<-h.ctx.Done()
	return 0, io.EOF
}

func TestSet_hangupCancels(t *testing.T) {
	w := newFixture(t)
	survived := make(chan os.Signal, 1)
	signal.Notify(survived, syscall.SIGHUP) // otherwise it would end the test
	defer signal.Stop(survived)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var out, errs strings.Builder
	args := []string{"set", "-backup-dir", w.path("backup"), w.path(jiraFile), "-"}
	status := run(t.Context(), args, ui.Streams{In: hangup{ctx}, Out: &out, Err: &errs})
	assert.Equal(t, ui.StatusFailed, status)
	assert.Contains(t, errs.String(), "standard input was not read: hangup")
	assert.NoError(t, ctx.Err(), "the command must not wait for the end of the input")
}

// brokenOutput is a standard output without a reader.
type brokenOutput struct{}

func (brokenOutput) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestSet_writesNothingIfOutputIsLost(t *testing.T) {
	w := newFixture(t)
	plaintextFiles(w)
	before := fileText(t, w.path(jiraFile))
	args := []string{"set", "-backup-dir", w.path("backup"), w.path(jiraFile), trackerSecret}
	assert.Equal(t, ui.StatusFailed,
		run(t.Context(), args, ui.Streams{Out: brokenOutput{}, Err: io.Discard}))
	assert.Equal(t, before, fileText(t, w.path(jiraFile)))
	assert.NoDirExists(t, w.path("backup"))
}
