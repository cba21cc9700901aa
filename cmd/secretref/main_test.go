package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// full is a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestRun_failsIfOutputIsLost(t *testing.T) {
	newFixture(t)
	var errs strings.Builder
	status := run(t.Context(), []string{"resolve", "plain"},
		ui.Streams{In: strings.NewReader(""), Out: full{}, Err: &errs})
	assert.Equal(t, ui.StatusFailed, status)
	assert.Equal(t, "secretref: cannot write the output: no space left on device\n", errs.String())
}

// silent is an input that blocks.
type silent struct{ context.Context }

func (s silent) Read([]byte) (int, error) {
	<-s.Done()
	return 0, io.EOF
}

func TestRun_interruptDuringInput(t *testing.T) {
	newFixture(t)
	for _, args := range [][]string{{"resolve", "-"}, {"pointer", "/a"}} {
		ctx, interrupt := context.WithCancel(t.Context())
		interrupt()
		var out, errs strings.Builder
		status := run(ctx, args, ui.Streams{In: silent{t.Context()}, Out: &out, Err: &errs})
		assert.Equal(t, ui.StatusInterrupted, status)
		assert.Empty(t, out.String())
		assert.Equal(t, "secretref: standard input was not read: context canceled\n", errs.String())
	}
}

func TestRun_interruptDuringFetch(t *testing.T) {
	newFixture(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, command := range []string{"resolve", "check"} {
		var out, errs strings.Builder
		status := run(ctx, []string{command, trackerSecret}, ui.Streams{Out: &out, Err: &errs})
		assert.Equal(t, ui.StatusInterrupted, status)
		assert.Contains(t, out.String()+errs.String(),
			"no answer before the caller's context ended")
	}
}

func TestPrintErrors_oneLinePerError(t *testing.T) {
	hidden := fmt.Errorf("kind%w%w", errors.New(""), errors.New(canary+"\n"))
	hidden = quiet{hidden}
	err := errors.Join(errors.New("secretref: one"), errors.Join(errors.New("two"), hidden), nil)
	var b strings.Builder
	printErrors(&b, err)
	assert.Equal(t, "secretref: one\nsecretref: two\nsecretref: said\\nin two lines\n", b.String())
}

// quiet wraps causes that its text omits, as the library's errors do.
type quiet struct{ error }

func (quiet) Error() string     { return "said\nin two lines" }
func (q quiet) Unwrap() []error { return []error{q.error} }
