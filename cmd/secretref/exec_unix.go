//go:build unix

package main

import (
	"errors"
	"fmt"
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
	err := syscall.Exec(path, command, env)
	failed := cannotRun(command[0], err)
	if errors.Is(err, syscall.E2BIG) {
		failed.error = fmt.Errorf("%w; the longest of arguments and variables is %s", failed.error, longest(command, env))
	}
	return failed
}

// longest names the longest of a command's arguments and variables.
func longest(command, env []string) (name string) {
	most := -1
	for i, arg := range command {
		if len(arg) > most {
			most, name = len(arg), fmt.Sprintf("argument %d", i)
		}
	}
	for _, entry := range env {
		if len(entry) > most {
			owner, _ := cut(entry)
			most, name = len(entry), variable(owner)
		}
	}
	return name
}
