//go:build unix

package exec

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// resetSignals makes a signal terminate this process before the command is started, as
// it would terminate the command. A caught signal would be lost on exec.
func resetSignals() { signal.Reset(os.Interrupt, syscall.SIGTERM) }

// replaceProcess replaces this process by the command; it only returns on errors.
// Files opened by Go are closed on exec.
func replaceProcess(path string, command, env []string) error {
	err := syscall.Exec(path, command, env)
	failed := startError(command[0], err)
	if errors.Is(err, syscall.E2BIG) {
		failed.Err = fmt.Errorf("%w; the longest of its arguments and variables is %s", failed.Err,
			longestEntry(command, env))
	}
	return failed
}

// longestEntry names the longest of the arguments and variables of a command.
func longestEntry(command, env []string) (name string) {
	longest := -1
	for i, arg := range command {
		if len(arg) > longest {
			longest, name = len(arg), fmt.Sprintf("argument %d", i)
		}
	}
	for _, entry := range env {
		if len(entry) > longest {
			entryName, _ := splitEntry(entry)
			longest, name = len(entry), describeVariable(entryName)
		}
	}
	return name
}
