package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/coord"
)

func execCommand() command {
	return command{
		name:     "exec",
		synopsis: "exec [-only NAME,...] [-skip NAME,...] [-strict] [-store S] -- COMMAND [ARG ...]",
		help: `
Resolves the references in the values of environment variables and becomes
COMMAND, with the secrets in their places. Signals, standard input and output,
the process id and the exit status are COMMAND's own. If one reference cannot be
resolved COMMAND is not started.

  -only NAME,...              look at these variables only
  -skip NAME,...              leave these variables alone
  -strict                     with -only: these variables must be set, be
                              references and lead to secrets that are not empty
` + storeFlagsHelp + `

A value that is a reference is replaced by its secret. References with a prefix
that stand in other text, behind at least one letter or digit, are replaced
there: percent-encoded in a URL (scheme:// stands before it in the same word, and
no semicolon between), verbatim elsewhere. Everything else is passed on
unchanged, byte for byte, with a warning where it is the reference of another
tool. A value that is meant as a reference and has a mistake, and {ATL_SECURED},
is an error; -skip leaves the variable alone. Variables whose name begins with
SECRETREF_ are this command's own and never looked at.

The arguments of COMMAND are passed on as they are: everyone who lists processes
sees them. Where COMMAND needs a secret as an argument, let a shell fill it in,
if at all: secretref exec -- sh -c 'COMMAND "$NAME"'.

-store opens the keyring that references with "keyring" lead to: see
"secretref help keys".

The exit status is 1 when something is wrong with a reference, 126 when COMMAND
cannot be run and 127 when there is none, and else COMMAND's. On Windows COMMAND
is a child of this process, which waits for it.`,
		run: execute,
	}
}

func execute(ctx context.Context, args []string, s streams) error {
	chosen, store, command, err := execArguments(args)
	if err != nil {
		return err
	}
	freeSignals()
	path, err := lookUp(command[0])
	if err != nil {
		return err
	}
	log := warnings(s.err)
	job, err := planEnvironment(os.Environ(), chosen, log)
	if err != nil {
		return err
	}
	env, err := job.resolve(ctx, store, log)
	if err != nil {
		return err
	}
	for i, arg := range command[1:] {
		if holdsReference(arg) {
			log.Warn(fmt.Sprintf("argument %d of the command holds a reference and is passed on as it is: references are resolved in variables", i+1))
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("the command was not started: %w", context.Cause(ctx))
	}
	return become(path, command, env)
}

// execArguments parses the command line into which variables are meant, where
// the keyring is, and the command with its arguments.
func execArguments(args []string) (c chosen, store storeFlags, command []string, err error) {
	f := flags("exec")
	f.Var(&c.only, "only", "")
	f.Var(&c.skip, "skip", "")
	f.BoolVar(&c.strict, "strict", false, "")
	store.register(f)
	command, err = parse(f, args, 0, math.MaxInt)
	if err != nil {
		return c, store, nil, err
	}
	// The flag package forgets whether there was a "--". Without one, a slip such
	// as "-only A B" would run B.
	n := len(args) - len(command)
	switch separated := n > 0 && args[n-1] == "--"; {
	case !separated && len(command) > 0:
		return c, store, nil, &usageError{"\"--\" is missing: it stands between the flags and the command"}
	case len(command) == 0:
		return c, store, nil, &usageError{"the command is missing: it stands behind \"--\""}
	case c.strict && len(c.only) == 0:
		return c, store, nil, &usageError{"-strict needs -only: an environment is full of values that are no references"}
	}
	return c, store, command, nil
}

// names is a flag that takes names of variables with commas between them, and
// can be given more than once.
type names []string

var _ flag.Value = (*names)(nil)

func (n *names) String() string { return strings.Join(*n, ",") }

func (n *names) Set(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" || name[0] == '-' || strings.Contains(name, "=") {
			return errors.New("it takes names of variables with commas between them")
		}
		*n = append(*n, name)
	}
	return nil
}

func (n names) has(name string) bool {
	return slices.ContainsFunc(n, func(one string) bool {
		return one == name || runtime.GOOS == "windows" && strings.EqualFold(one, name)
	})
}

// chosen says which variables are looked at.
type chosen struct {
	only, skip names
	strict     bool
}

func (c chosen) has(name string) bool {
	return (len(c.only) == 0 || c.only.has(name)) && !c.skip.has(name) && !strings.HasPrefix(name, "SECRETREF_")
}

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
func cannotRun(name string, err error) error {
	reason := "unknown"
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		reason = number.Error()
	} else if errors.Is(err, fs.ErrPermission) {
		reason = "permission denied"
	}
	return &exitError{statusNotExecutable, fmt.Errorf("%s: the command cannot be run: %s", printable(name), reason)}
}

// holdsReference reports whether a text is a reference, or has one in it.
func holdsReference(text string) bool {
	if _, err := secretref.Parse(text); err == nil {
		return true
	}
	_, _, found, err := coord.Find(text)
	return found && err == nil
}
