package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"syscall"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// The exit statuses that shells and env(1) have for a command that did not run.
const (
	StatusNotExecutable = 126
	StatusNotFound      = 127
)

// lookUp finds a command as a shell does, but never in the current directory
// unless its name has a path.
func lookUp(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrDot):
		return "", &ui.ExitError{Status: StatusNotExecutable, Err: fmt.Errorf("%s: the command was found in the current directory only: give it with a path, if it is meant", ui.Printable(name))}
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "", &ui.ExitError{Status: StatusNotFound, Err: fmt.Errorf("%s: the command was not found", ui.Printable(name))}
	}
	return "", startError(name, err)
}

// startError is the end when the system does not run a command that is there.
func startError(name string, err error) *ui.ExitError {
	reason := "unknown"
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		reason = number.Error()
	} else if errors.Is(err, fs.ErrPermission) {
		reason = "permission denied"
	}
	return &ui.ExitError{Status: StatusNotExecutable, Err: fmt.Errorf("%s: the command cannot be run: %s", ui.Printable(name), reason)}
}
