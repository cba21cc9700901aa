//go:build !unix

package exec

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// resetSignals does nothing: replaceProcess handles signals while it waits for the
// command.
func resetSignals() {}

// replaceProcess runs the command as a child process and returns its exit status.
// An interrupt reaches all processes of a console, so the command receives it
// directly; this process stays until the command has ended.
func replaceProcess(path string, command, env []string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	child := exec.Cmd{
		Path: path, Args: command, Env: env,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	err := child.Run()
	ended, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case ok:
		return &ui.ExitError{Status: ended.ExitCode(), Err: ui.ErrReported}
	}
	return startError(command[0], err)
}
