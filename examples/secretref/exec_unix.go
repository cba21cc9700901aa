//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// freeSignals lets a signal that comes before the command is started end this
// process, as it would end the command: one that were caught would be lost when
// the command takes over.
func freeSignals() { signal.Reset(os.Interrupt, syscall.SIGTERM) }

// become replaces this process by the command and returns only an error. Files
// that Go has opened are closed by that.
func become(path string, command, env []string) error {
	return cannotRun(command[0], syscall.Exec(path, command, env))
}
