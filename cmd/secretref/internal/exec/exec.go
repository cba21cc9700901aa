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
		Name:     "exec",
		Synopsis: "exec [-only NAME,...] [-skip NAME,...] [-keep NAME,...] [-strict] [-timeout D] [-store S] -- COMMAND [ARG ...]",
		Help: `
Resolves the references in the values of environment variables and becomes
COMMAND, with the secrets in their places. Signals, standard input and output,
the process id and the exit status are COMMAND's own. If one reference cannot be
resolved COMMAND is not started.

Where HUP and INT are ignored (nohup) COMMAND ignores them too. It does not inherit
other ignored signals, nor all that are blocked: the runtime of Go resets them. To
have one ignored: secretref exec -- sh -c 'trap "" PIPE; exec COMMAND'.

  -only NAME,...              look at these variables only
  -skip NAME,...              leave these variables alone
  -keep NAME,...              do not remove these variables
  -strict                     a value that looks like a reference and has a mistake
                              is an error, also without a prefix. With -only: these
                              variables must be set, be references and lead to
                              secrets that are not empty
  -timeout D                  how long one secret, and opening the keyring, may take
                              (default 10s)
` + storeflags.Help + `

A value that is a reference is replaced by its secret. References with a prefix
that stand in other text, behind at least one letter or digit, are replaced
there: percent-encoded in a URL (scheme:// stands before it in the same word, and
no semicolon between), verbatim elsewhere, with a warning if the secret has other
characters in it than A-Z, a-z, 0-9 and -._~. A secret with such characters is an
error where the URL may have ended already: behind a comma, a vertical bar or,
before a query, :name=. Put that password into a variable of its own.

Everything else is passed on unchanged, byte for byte, with a warning where it is
the reference of another tool, or has no prefix and looks like a reference with a
mistake. A reference with a prefix and a mistake, text beside references that
looks like one, and {ATL_SECURED} are errors, and with -only or -strict so is what
looks like a reference; -skip leaves the variable alone.

COMMAND does not get the credentials of this program: SECRET_STORE_VAULT_TOKEN,
and all variables whose name begins with SECRETREF_, which are never looked at.
-keep passes them on, for an Atlassian product that reads Vault itself, say. AWS
credentials and PGPASSWORD are passed on, since COMMAND may use them, too.

The arguments of COMMAND are passed on as they are: everyone who lists processes
sees them. Where COMMAND needs a secret as an argument, let a shell fill it in,
if at all: secretref exec -- sh -c 'COMMAND "$NAME"'.

-store opens the keyring that references with "keyring" lead to: see
"secretref help keys". If it cannot be opened in time, since another process has it
locked, say, COMMAND is not started.

The exit status is 1 when something is wrong with a reference, 126 when COMMAND
cannot be run and 127 when there is none, and else COMMAND's. On Windows COMMAND
is a child of this process, which waits for it.`,
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
			log.Warn(fmt.Sprintf("argument %d of the command holds a reference and is passed on as it is: references are resolved in variables", i+1))
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("the command was not started: %w", context.Cause(ctx))
	}
	stop()
	return replaceProcess(path, command, chosen.environment(env))
}

// parseArguments parses the command line into which variables are meant, where
// the keyring is, and the command with its arguments.
func parseArguments(args []string) (c selection, store storeflags.Flags, command []string, err error) {
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
	// The flag package forgets whether there was a "--". Without one, a slip such
	// as "-only A B" would run B.
	n := len(args) - len(command)
	switch separated := n > 0 && args[n-1] == "--"; {
	case !separated && len(command) > 0:
		return c, store, nil, ui.NewUsageError("\"--\" is missing: it stands between the flags and the command")
	case len(command) == 0:
		return c, store, nil, ui.NewUsageError("the command is missing: it stands behind \"--\"")
	}
	return c, store, command, nil
}
