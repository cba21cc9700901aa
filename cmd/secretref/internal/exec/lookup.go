package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"syscall"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// The exit statuses of shells and env(1) for a command that was not run.
const (
	StatusNotExecutable = 126
	StatusNotFound      = 127
)

// lookUp finds a command as a shell does, but in the current directory only if the
// name contains a path.
func lookUp(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrDot):
		return "", &ui.ExitError{Status: StatusNotExecutable,
			Err: fmt.Errorf("%s: command found only in the current directory; if you mean that "+
				"one, give its path", ui.Printable(name))}
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "", &ui.ExitError{Status: StatusNotFound,
			Err: fmt.Errorf("%s: command not found", ui.Printable(name))}
	}
	return "", startError(name, err)
}

// startError is the error for a command that exists but cannot be run.
func startError(name string, err error) *ui.ExitError {
	reason := "unknown"
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		reason = number.Error()
	} else if errors.Is(err, fs.ErrPermission) {
		reason = "permission denied"
	}
	return &ui.ExitError{Status: StatusNotExecutable,
		Err: fmt.Errorf("%s: cannot run the command: %s", ui.Printable(name), reason)}
}
