// Package exec is the command "exec": it resolves references in environment variables
// and runs a command with the secrets in its environment.
package exec

import (
	"context"
	"fmt"
	"math"
	"os"

	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func Command() ui.Command {
	return ui.Command{
		Name: "exec",
		Synopsis: "exec [-only NAME,...] [-skip NAME,...] [-keep NAME,...] [-strict] [-timeout " +
			"D] [-store S] -- COMMAND [ARG ...]",
		Help: `
Replaces the references in environment variables by their secrets and then replaces
this process by COMMAND. COMMAND therefore has the same process id, signals, standard
input and output, and its own exit status. If any reference cannot be resolved,
COMMAND is not started.

If HUP and INT are ignored (nohup), COMMAND ignores them too. It does not inherit
other ignored signals or all blocked ones, since the Go runtime resets them. To
ignore a signal: secretref exec -- sh -c 'trap "" PIPE; exec COMMAND'.

  -only NAME,...              resolve only these variables
  -skip NAME,...              do not resolve these variables
  -keep NAME,...              do not remove these variables
  -strict                     a malformed reference is an error even without a
                              prefix. With -only, these variables must also be set
                              and be references to secrets that are not empty
` + ui.TimeoutHelp + `
` + storeflags.Help + `

If the whole value is a reference, it is replaced by its secret. A reference with a
prefix inside other text is replaced too, if at least one letter or digit comes
before it. In a URL (scheme:// earlier in the same word, with no semicolon between)
the secret is percent-encoded. Elsewhere it is inserted verbatim, with a warning if
it has characters other than A-Z, a-z, 0-9 and -._~. If it has such characters and
the URL may already have ended (after a comma, a vertical bar or, before the query,
:name=), that is an error: put the password into a variable of its own.

All other values are passed on unchanged, byte for byte. There is a warning for the
reference of another tool, and for a malformed reference without a prefix. Errors
are: a malformed reference with a prefix, text next to references that looks like
another one, and {ATL_SECURED}; with -only or -strict also any malformed reference.
Use -skip for a variable that is not meant to be resolved.

COMMAND does not receive the credentials of this program: SECRET_STORE_VAULT_TOKEN
and all variables whose names start with SECRETREF_, which are never resolved. -keep
passes them on, for example to an Atlassian product that reads Vault itself. AWS
credentials and PGPASSWORD are passed on, since COMMAND may use them too.

The arguments of COMMAND are passed on unchanged: other users can see them in the
process list. If COMMAND requires a secret as an argument, let a shell insert it:
secretref exec -- sh -c 'COMMAND "$NAME"'.

-store opens the keyring for references with "keyring"; see "secretref help keys". If
it cannot be opened in time, for example because another process has locked it,
COMMAND is not started.

The exit status is 1 after an error in a reference, 126 if COMMAND cannot be run, 127
if it is not found, and otherwise that of COMMAND. On Windows COMMAND is a child of
this process, which waits for it.`,
		Run: run,
	}
}

func run(ctx context.Context, args []string, s ui.Streams) error {
	chosen, store, command, err := parseArguments(args)
	if err != nil {
		return err
	}
	resetSignals()
	path, err := lookUp(command[0])
	if err != nil {
		return err
	}
	log, stop := ui.ReportWaits(s.Err, ui.NewWarningLogger(s.Err))
	defer stop()
	job, err := planEnvironment(os.Environ(), chosen, log)
	if err != nil {
		return err
	}
	env, err := job.resolve(ctx, store, log)
	if err != nil {
		return err
	}
	for i, arg := range command[1:] {
		if containsReference(arg) {
			log.Warn(fmt.Sprintf("argument %d of the command contains a reference and is passed "+
				"on unchanged: only variables are resolved", i+1))
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("the command was not started: %w", context.Cause(ctx))
	}
	stop()
	return replaceProcess(path, command, chosen.environment(env))
}

// parseArguments parses the command line: the selected variables, the keyring's store,
// and the command with its arguments.
func parseArguments(args []string) (c selection, store storeflags.Flags, command []string,
	err error) {
	f := ui.NewFlags("exec")
	f.Var(&c.only, "only", "")
	f.Var(&c.skip, "skip", "")
	f.Var(&c.keep, "keep", "")
	f.BoolVar(&c.strict, "strict", false, "")
	store.Register(f)
	command, err = ui.ParseFlags(f, args, 0, math.MaxInt)
	if err != nil {
		return c, store, nil, err
	}
	// The flag package does not report whether there was a "--". Without one, a
	// mistake such as "-only A B" would run B.
	n := len(args) - len(command)
	switch separated := n > 0 && args[n-1] == "--"; {
	case !separated && len(command) > 0:
		return c, store, nil, ui.NewUsageError("missing \"--\" between the flags and the command")
	case len(command) == 0:
		return c, store, nil, ui.NewUsageError("missing command after \"--\"")
	}
	return c, store, command, nil
}
