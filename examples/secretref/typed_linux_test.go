package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// pseudoTerminal returns a terminal and where a person sits at it.
func pseudoTerminal(t *testing.T) (terminal, person *os.File) {
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = terminal.Close() })
	return terminal, person
}

// echoes reports whether a terminal shows what is typed.
func echoes(t *testing.T, terminal *os.File) bool {
	flags, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	require.NoError(t, err)
	return flags.Lflag&unix.ECHO != 0
}

// answers types a line whenever a prompt ends, once the terminal does not echo.
type answers struct {
	t                *testing.T
	terminal, person *os.File
	lines            []string
	prompts          strings.Builder
}

func (a *answers) Write(p []byte) (int, error) {
	if strings.HasSuffix(string(p), ": ") && len(a.lines) > 0 {
		line := a.lines[0]
		a.lines = a.lines[1:]
		go func() {
			for end := time.Now().Add(10 * time.Second); echoes(a.t, a.terminal); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					a.t.Error("the terminal shows what is typed")
					break
				}
			}
			_, _ = a.person.WriteString(line)
		}()
	}
	return a.prompts.Write(p)
}

func TestSecretIsTypedTwiceAndUnseen(t *testing.T) {
	w := newWorld(t)
	keyring(w)
	for _, c := range []struct {
		lines  []string
		want   string
		status int
		says   string
	}{
		{[]string{"canary-typed é\n", "canary-typed é\n"}, "canary-typed é", statusOK, "secret: \nagain: \n"},
		{[]string{"canary-typed\n", "canary-tipped\n"}, "canary-db", statusFailed,
			"secret: \nagain: \nsecretref: what was typed the second time is something else, so nothing is stored\n"},
		{[]string{"\n"}, "canary-db", statusFailed,
			"secret: \nsecretref: nothing was typed, so nothing is stored; to store an empty secret: printf '' | secretref keys put NAME\n"},
	} {
		w.must("canary-db", on("put", "db")...)
		terminal, person := pseudoTerminal(t)
		a := &answers{t: t, terminal: terminal, person: person, lines: c.lines}
		var out strings.Builder
		status := run(t.Context(), []string{"keys", "-store", w.path("k.db"), "put", "db"}, streams{in: terminal, out: &out, err: a})
		assert.Equal(t, c.status, status)
		assert.Equal(t, c.says, a.prompts.String())
		assert.Empty(t, out.String())
		assert.True(t, echoes(t, terminal))
		assert.Equal(t, c.want, w.do("", false, on("get", "db")...).out)
	}
}

func TestInterruptedTypingLeavesTheTerminalAsItWas(t *testing.T) {
	w := newWorld(t)
	keyring(w)
	terminal, _ := pseudoTerminal(t)
	before, err := term.GetState(int(terminal.Fd()))
	require.NoError(t, err)
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		for echoes(t, terminal) {
			time.Sleep(time.Millisecond)
		}
		interrupt()
	}()
	var out, errs strings.Builder
	status := run(ctx, []string{"keys", "-store", w.path("k.db"), "put", "db"}, streams{in: terminal, out: &out, err: &errs})
	assert.Equal(t, statusFailed, status)
	assert.Equal(t, "secret: \nsecretref: nothing was stored: context canceled\n", errs.String())
	after, err := term.GetState(int(terminal.Fd()))
	require.NoError(t, err)
	assert.Equal(t, before, after)
	assert.Equal(t, "canary-db", w.do("", false, on("get", "db")...).out)
}

func TestTerminalIsToldFromOtherDevices(t *testing.T) {
	terminal, _ := pseudoTerminal(t)
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	assert.True(t, isTerminal(terminal))
	assert.False(t, isTerminal(null))
}
