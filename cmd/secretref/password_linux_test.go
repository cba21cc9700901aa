package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// pseudoTerminal returns a terminal and its controlling side.
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

// echoes reports whether a terminal echoes its input.
func echoes(t *testing.T, terminal *os.File) bool {
	flags, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	require.NoError(t, err)
	return flags.Lflag&unix.ECHO != 0
}

// answers types a line after each prompt, once the terminal does not echo.
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
			for end := time.Now().Add(10 * time.Second); echoes(a.t,
				a.terminal); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					a.t.Error("the terminal echoes its input")
					break
				}
			}
			_, _ = a.person.WriteString(line)
		}()
	}
	return a.prompts.Write(p)
}

func TestPassword_isReadWithoutEcho(t *testing.T) {
	long := strings.Repeat("canary-", 1000) // longer than a line in cooked mode
	put := on("put", "db")
	set := []string{"set", "-backup-dir", "DIR/backup", "-force", "-plaintext-from", "-",
		"DIR/jira"}
	reference := []string{"set", "-dry-run", "DIR/jira", "-"}
	const storeEmpty = "; to store an empty secret: printf '' | secretref keys put -empty NAME\n"
	for _, c := range []struct {
		args   []string
		lines  []string
		want   string // the stored, written or printed text
		status int
		says   string
	}{
		{put, []string{"canary-typed é\n", "canary-typed é\n"}, "canary-typed é", ui.StatusOK,
			"secret: \nagain: \n"},
		{put, []string{long + "\r", long + "\r"}, long, ui.StatusOK, "secret: \nagain: \n"},
		{put, []string{"canary-typedé\x7f\x7fd\n", "wrong\x15canary-type\td\x7f\bd\n"},
			"canary-typed", ui.StatusOK, "secret: \nagain: \n"},
		{put, []string{"canary-typed\n", "canary-tipped\n"}, "canary-db", ui.StatusFailed,
			"secret: \nagain: \nsecretref: the two entries do not match; nothing was stored\n"},
		{put, []string{"\n"}, "canary-db", ui.StatusFailed,
			"secret: \nsecretref: nothing was entered; nothing was stored" + storeEmpty},
		{put, []string{"\x04"}, "canary-db", ui.StatusFailed,
			"secret: \nsecretref: nothing was entered; nothing was stored" + storeEmpty},
		{put, []string{"canary\n", "\x04"}, "canary-db", ui.StatusFailed,
			"secret: \nagain: \nsecretref: nothing was entered; nothing was stored" + storeEmpty},
		{put, []string{"canary\x03"}, "canary-db", ui.StatusInterrupted,
			"secret: \nsecretref: interrupted; nothing was stored\n"},
		{put, []string{"canary\x1b[A\n"}, "canary-db", ui.StatusFailed,
			"secret: \nsecretref: a control character was entered; nothing was stored\n"},

		{set, []string{"canary-typed\n", "canary-typed\n"}, "canary-typed", ui.StatusOK,
			"password: \nagain: \n"},
		{set, []string{"canary-typed\n", "canary-tipped\n"}, trackerSecret, ui.StatusFailed,
			"password: \nagain: \nsecretref: the two entries do not match; nothing was written\n"},
		{set, []string{"\x04"}, trackerSecret, ui.StatusFailed,
			"password: \nsecretref: nothing was entered; nothing was written\n"},
		{set, []string{"\x03"}, trackerSecret, ui.StatusInterrupted,
			"password: \nsecretref: interrupted; nothing was written\n"},
		{reference, []string{trackerSecret + "\n"}, trackerSecret, ui.StatusOK, "reference: \n"},
		{reference, []string{"\x03"}, trackerSecret, ui.StatusInterrupted,
			"reference: \nsecretref: interrupted\n"},

		{[]string{"resolve", "-"}, []string{trackerSecret + "\r"}, "canary-tracker", ui.StatusOK,
			"value: \n"},
		{[]string{"resolve", "-"}, []string{"canary-plain\n"}, "canary-plain", ui.StatusOK,
			"value: \n"},
		{[]string{"resolve", "-"}, []string{"\x04"}, "", ui.StatusFailed,
			"value: \nsecretref: nothing was entered\n"},
		{[]string{"resolve", "-"}, []string{"canary\x03"}, "", ui.StatusInterrupted,
			"value: \nsecretref: interrupted\n"},
	} {
		w := newFixture(t)
		keyring(w)
		terminal, person := pseudoTerminal(t)
		before, err := term.GetState(int(terminal.Fd()))
		require.NoError(t, err)
		a := &answers{t: t, terminal: terminal, person: person, lines: c.lines}
		var out strings.Builder
		args := slices.Clone(c.args)
		for i := range args {
			args[i] = w.fill(args[i])
		}
		status := run(t.Context(), args, ui.Streams{In: terminal, Out: &out, Err: a})
		assert.Equal(t, c.status, status, a.prompts.String())
		assert.Equal(t, c.says, a.prompts.String())
		after, err := term.GetState(int(terminal.Fd()))
		require.NoError(t, err)
		assert.Equal(t, before, after)
		switch c.args[0] {
		case "keys":
			assert.Equal(t, c.want, w.do("", false, on("get", "db")...).out)
			assert.Empty(t, out.String())
		case "set":
			text, err := os.ReadFile(w.path(jiraFile))
			require.NoError(t, err)
			assert.Contains(t, string(text), ">"+c.want+"<")
			assert.NotContains(t, out.String(), canary)
		default:
			assert.Equal(t, c.want, out.String())
		}
	}
}

func TestPassword_signalRestoresTerminal(t *testing.T) {
	w := newFixture(t)
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
	status := run(ctx, []string{"keys", "-store", w.path("k.db"), "put", "db"},
		ui.Streams{In: terminal, Out: &out, Err: &errs})
	assert.Equal(t, ui.StatusInterrupted, status)
	assert.Equal(t, "secret: \nsecretref: interrupted; nothing was stored\n", errs.String())
	after, err := term.GetState(int(terminal.Fd()))
	require.NoError(t, err)
	assert.Equal(t, before, after)
	assert.Equal(t, "canary-db", w.do("", false, on("get", "db")...).out)
}

func TestPointer_refusesTerminalInput(t *testing.T) {
	terminal, _ := pseudoTerminal(t)
	var out, errs strings.Builder
	assert.Equal(t, ui.StatusUsage,
		run(t.Context(), []string{"pointer", "/a"},
			ui.Streams{In: terminal, Out: &out, Err: &errs}))
	assert.Contains(t, errs.String(), "< doc.json")
}

func TestIsTerminal(t *testing.T) {
	terminal, _ := pseudoTerminal(t)
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	assert.True(t, ui.IsTerminal(terminal))
	assert.False(t, ui.IsTerminal(null))
}
