package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"syscall"
)

// exitError ends this process with a status of its own.
type exitError struct {
	status int
	error  // errReported: the command has said itself what there is to say
}

func (e *exitError) Unwrap() error { return e.error }

// The exit statuses that shells and env(1) have for a command that did not run.
const (
	statusNotExecutable = 126
	statusNoCommand     = 127
)

// lookUp finds a command as a shell does, but never in the current directory
// unless its name has a path.
func lookUp(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrDot):
		return "", &exitError{statusNotExecutable, fmt.Errorf("%s: the command was found in the current directory only: give it with a path, if it is meant", printable(name))}
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "", &exitError{statusNoCommand, fmt.Errorf("%s: the command was not found", printable(name))}
	}
	return "", cannotRun(name, err)
}

// cannotRun is the end when the system does not run a command that is there.
func cannotRun(name string, err error) *exitError {
	reason := "unknown"
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		reason = number.Error()
	} else if errors.Is(err, fs.ErrPermission) {
		reason = "permission denied"
	}
	return &exitError{statusNotExecutable, fmt.Errorf("%s: the command cannot be run: %s", printable(name), reason)}
}
