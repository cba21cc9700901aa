package exec

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func TestReplaceProcess_error(t *testing.T) {
	exit, ok := errors.AsType[*ui.ExitError](replaceProcess("/no/such/command", []string{"command"},
		nil))
	require.True(t, ok)
	assert.Equal(t, StatusNotExecutable, exit.Status)
	assert.EqualError(t, exit, "command: cannot run the command: no such file or directory")
}

func TestLookUp_ignoresCurrentDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("here", []byte("#!/bin/sh\n"), 0o755))
	t.Setenv("PATH", "."+string(os.PathListSeparator)+os.Getenv("PATH"))
	_, err := lookUp("here")
	exit, ok := errors.AsType[*ui.ExitError](err)
	require.True(t, ok)
	assert.Equal(t, StatusNotExecutable, exit.Status)
	assert.EqualError(t, err,
		"here: command found only in the current directory; if you mean that one, give its path")
	path, err := lookUp("./here")
	require.NoError(t, err)
	assert.Equal(t, "./here", path)
}
