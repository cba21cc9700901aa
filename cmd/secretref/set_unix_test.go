//go:build linux || darwin

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func TestSet_warnsOfHardLinks(t *testing.T) {
	w := newFixture(t)
	plaintextFiles(w)
	require.NoError(t, os.Link(w.path(jiraFile), w.path("jira/other.xml")))
	got := w.do("", false, "set", "-backup-dir", "DIR/backup", "DIR/"+jiraFile, trackerSecret)
	require.Equal(t, ui.StatusOK, got.status, got.err)
	assert.Contains(t, got.out, "the file had 2 names")
	assert.Contains(t, fileText(t, w.path("jira/other.xml")), "canary-tracker")
}

func TestSet_interruptLeavesFile(t *testing.T) {
	w := newFixture(t)
	plaintextFiles(w)
	before := fileText(t, w.path(jiraFile))
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, errs strings.Builder
	args := []string{"set", "-force", "-class", "com.example.Store", "-backup-dir",
		w.path("backup"), w.path(jiraFile), "x"}
	assert.Equal(t, ui.StatusInterrupted, run(ctx, args, ui.Streams{Out: &out, Err: &errs}))
	assert.Equal(t, "secretref: context canceled; nothing was changed\n", errs.String())
	assert.Equal(t, before, fileText(t, w.path(jiraFile)))
	assert.NoDirExists(t, w.path("backup"))
}

// killedArgs is the variable with the command line of a process to be killed.
const killedArgs = "SECRETREF_TEST_SET_ARGS"

// TestSet_processToKill is the process that TestSet_survivesKill kills.
func TestSet_processToKill(t *testing.T) {
	args := os.Getenv(killedArgs)
	if args == "" {
		t.Skip("run by TestSet_survivesKill")
	}
	var typed []string
	require.NoError(t, json.Unmarshal([]byte(args), &typed))
	fmt.Println("ready")
	os.Exit(run(t.Context(), typed, ui.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// runSetAndKill runs this test binary as that process. It kills it some time after it
// is ready, or lets it end if after is zero.
func runSetAndKill(t *testing.T, after time.Duration, args string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSet_processToKill$")
	c.Env = append(os.Environ(), killedArgs+"="+args)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
	}
	if after > 0 {
		time.Sleep(after)
		_ = c.Process.Kill()
	}
	for lines.Scan() {
		assert.NotContains(t, lines.Text(), canary)
	}
	_ = c.Wait()
	require.NoError(t, ctx.Err())
}

func TestSet_survivesKill(t *testing.T) {
	w := newFixture(t)
	plaintextFiles(w)
	path := w.path(jiraFile)
	before := fileText(t, path)
	args, err := json.Marshal([]string{"set", "-backup-dir", w.path("backup"), path, trackerSecret})
	require.NoError(t, err)
	begun := time.Now()
	runSetAndKill(t, 0, string(args))
	whole := time.Since(begun)
	after := fileText(t, path)
	require.NotEqual(t, before, after)
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	for range rounds {
		require.NoError(t, os.WriteFile(path, []byte(before), 0o600))
		runSetAndKill(t, rand.N(whole)+1, string(args))
		require.Contains(t, []string{before, after}, fileText(t, path))
		for _, name := range dirNames(t, w.path("backup")) {
			if !strings.HasPrefix(name, ".") {
				require.Contains(t, []string{before, after}, fileText(t, w.path("backup/"+name)))
			}
		}
	}
}
