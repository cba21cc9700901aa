package exec

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// The command is "false": if it were started, it would replace the test process, which
// must then fail.
func TestExec_startsNothingAfterSignal(t *testing.T) {
	signal := errors.New("terminated signal received")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(signal)
	err := run(ctx, []string{"-only", "NOWHERE", "--", "false"},
		ui.Streams{Out: io.Discard, Err: io.Discard})
	assert.ErrorIs(t, err, signal)
	assert.ErrorContains(t, err, "the command was not started: ")
}
