//go:build unix

package exec

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// resetSignals lets a signal that comes before the command is started end this
// process, as it would end the command: one that were caught would be lost when
// the command takes over.
func resetSignals() { signal.Reset(os.Interrupt, syscall.SIGTERM) }

// replaceProcess replaces this process by the command and returns only an error. Files
// that Go has opened are closed by that.
func replaceProcess(path string, command, env []string) error {
	err := syscall.Exec(path, command, env)
	failed := startError(command[0], err)
	if errors.Is(err, syscall.E2BIG) {
		failed.Err = fmt.Errorf("%w; the longest of its arguments and variables is %s", failed.Err, longestEntry(command, env))
	}
	return failed
}

// longestEntry names the longest of a command's arguments and variables.
func longestEntry(command, env []string) (name string) {
	most := -1
	for i, arg := range command {
		if len(arg) > most {
			most, name = len(arg), fmt.Sprintf("argument %d", i)
		}
	}
	for _, entry := range env {
		if len(entry) > most {
			owner, _ := splitEntry(entry)
			most, name = len(entry), describeVariable(owner)
		}
	}
	return name
}
