//go:build !unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// freeSignals does nothing: the wait for the command catches what comes.
func freeSignals() {}

// become runs the command as a child and returns its exit status. An interrupt
// reaches all processes of a console, so that the command has it already; this
// one stays until the command has ended.
func become(path string, command, env []string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	child := exec.Cmd{Path: path, Args: command, Env: env, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	err := child.Run()
	ended, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case ok:
		return &exitError{ended.ExitCode(), errReported}
	}
	return cannotRun(command[0], err)
}
