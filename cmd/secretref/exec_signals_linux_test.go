package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func deliversSignals(p *program) {
	read, write, err := os.Pipe()
	require.NoError(p.t, err)
	defer read.Close()
	const script = `trap 'echo "ended with $A"; exit 9' TERM; echo $$; while :; do sleep 0.01; done`
	process := p.start(p.environment("A="+trackerSecret), nil, write, write, "--", "sh", "-c",
		script)
	require.NoError(p.t, write.Close())
	line := make([]byte, 64)
	n, err := read.Read(line)
	require.NoError(p.t, err)
	assert.Equal(p.t, fmt.Sprintln(process.Pid), string(line[:n]),
		"the command is this very process")

	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process.Pid))
	require.NoError(p.t, err)
	assert.Equal(p.t, "sh\x00-c\x00"+script+"\x00", string(cmdline))

	require.NoError(p.t, process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(read)
	require.NoError(p.t, err)
	assert.Equal(p.t, "ended with canary-tracker\n", string(rest))
	state, err := process.Wait()
	require.NoError(p.t, err)
	assert.Equal(p.t, 9, state.ExitCode())
}

func keepsInterruptIgnored(p *program) {
	var out bytes.Buffer
	shell := exec.Command("sh", "-c",
		`trap '' INT; exec "$0" exec -- sh -c 'kill -INT $$; echo "alive with $A"'`, p.path)
	shell.Env, shell.Stdout = p.environment("A="+trackerSecret), &out
	require.NoError(p.t, shell.Run())
	assert.Equal(p.t, "alive with canary-tracker\n", out.String())
}

func endsOnSignal(p *program) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(p.t, err)
	defer silent.Close()
	env := append(p.environment("A="+trackerSecret),
		"AWS_ENDPOINT_URL_SECRETS_MANAGER=http://"+silent.Addr().String())
	for i, entry := range env { // the first of two variables counts
		if strings.HasPrefix(entry, "AWS_ENDPOINT_URL_SECRETS_MANAGER=") {
			env[i] = env[len(env)-1]
		}
	}
	process := p.start(env, nil, nil, nil, "--", "touch", filepath.Join(p.dir, "started"))
	asked, err := silent.Accept()
	require.NoError(p.t, err)
	defer asked.Close()
	require.NoError(p.t, process.Signal(syscall.SIGTERM))
	state, err := process.Wait()
	require.NoError(p.t, err)
	assert.Equal(p.t, syscall.SIGTERM, state.Sys().(syscall.WaitStatus).Signal())
	assert.NoFileExists(p.t, filepath.Join(p.dir, "started"))
}

// keepsIgnoredSignals checks the list in the help. The Go runtime resets the other
// signals before any code of this program runs, and does not record their state.
func keepsIgnoredSignals(p *program) {
	var out bytes.Buffer
	shell := exec.Command("sh", "-c",
		`trap '' HUP INT QUIT PIPE TERM USR1; exec "$0" exec -- grep SigIgn /proc/self/status`, p.path)
	shell.Env, shell.Stdout = p.environment(), &out
	require.NoError(p.t, shell.Run())
	left := ignored(p.t, out.String())
	for signal, stays := range map[syscall.Signal]bool{syscall.SIGHUP: true, syscall.SIGINT: true,
		syscall.SIGQUIT: false, syscall.SIGPIPE: false, syscall.SIGTERM: false, syscall.SIGUSR1: false} {
		assert.Equal(p.t, stays, left(signal), "%v", signal)
	}

	out.Reset()
	shell = exec.Command(p.path, "exec", "--", "sh", "-c",
		`trap "" PIPE; exec grep SigIgn /proc/self/status`)
	shell.Env, shell.Stdout = p.environment(), &out
	require.NoError(p.t, shell.Run())
	assert.True(p.t, ignored(p.t, out.String())(syscall.SIGPIPE), "the command in the help")
}

// ignored parses the line SigIgn of a process' status. More signals than the tested
// ones may be ignored if the parent of the tests ignores them.
func ignored(t *testing.T, line string) func(syscall.Signal) bool {
	t.Helper()
	digits, ok := strings.CutPrefix(strings.TrimSpace(line), "SigIgn:\t")
	require.True(t, ok, line)
	mask, err := strconv.ParseUint(digits, 16, 64)
	require.NoError(t, err)
	return func(s syscall.Signal) bool { return mask>>(s-1)&1 == 1 }
}
