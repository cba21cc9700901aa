// Command secretref resolves and checks the secret references that Jira,
// Confluence, Bitbucket, Bamboo and Crowd Data Center keep in their configuration files.
//
//	secretref resolve [-strict] VALUE | -       print the secret, nothing else
//	secretref config  [-json] [-reveal] PATH    print the database settings of a product's file
//	secretref check   PATH | VALUE …            check that references resolve
//	secretref set     -backup-dir D PATH REFERENCE   write a reference into the file
//	secretref exec    [-only N,…] -- COMMAND …  run a command with secrets in its environment
//	secretref pointer POINTER < doc.json        print the JSON text of a value
//	secretref keys    -store S COMMAND          manage a keyring: its secrets and keys
//	secretref serve   -store S -addr HOST:PORT -token-file F
//	secretref version
//	secretref help    [COMMAND]
//
// PATH is a configuration file or a product's home directory; S is a file or the
// URL of a database. Results go to standard output, errors and warnings to
// standard error. Opening a keyring and fetching each secret may take as long as
// -timeout allows, 10 seconds by default; after 2 seconds the command reports what
// it is waiting for. The exit status is 0, 1 if something failed, 2 if the command
// line is wrong, 130 after an interrupt; exec returns the status of its command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/seed74218947/secretref/cmd/secretref/internal/check"
	"github.com/seed74218947/secretref/cmd/secretref/internal/config"
	"github.com/seed74218947/secretref/cmd/secretref/internal/exec"
	"github.com/seed74218947/secretref/cmd/secretref/internal/keys"
	"github.com/seed74218947/secretref/cmd/secretref/internal/serve"
	"github.com/seed74218947/secretref/cmd/secretref/internal/set"
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the process at once
	os.Exit(run(ctx, os.Args[1:], ui.Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		OutIsTerminal: ui.IsTerminal(os.Stdout), ErrIsTerminal: ui.IsTerminal(os.Stderr),
	}))
}

func commands() []ui.Command {
	return []ui.Command{
		resolveCommand(), config.Command(), check.Command(), set.Command(), exec.Command(),
		pointerCommand(), keys.Command(), serve.Command(), versionCommand(),
	}
}

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string, s ui.Streams) int {
	s = s.Sanitized()
	name, err := dispatch(ctx, args, s)
	// Truncated output must not pass for complete output.
	if failed := s.Flush(); failed != nil && err == nil {
		err = fmt.Errorf("cannot write the output: %w", failed)
	}
	_, wrongUsage := errors.AsType[*ui.UsageError](err)
	switch {
	case err == nil:
		return ui.StatusOK
	case wrongUsage:
		printErrors(s.Err, err)
		command := strings.TrimRight("secretref help "+name, " ")
		fmt.Fprintf(s.Err, "Run \"%s\" for usage.\n", command)
		return ui.StatusUsage
	case !errors.Is(err, ui.ErrReported):
		printErrors(s.Err, err)
	}
	if exit, ok := errors.AsType[*ui.ExitError](err); ok {
		return exit.Status
	}
	if ctx.Err() != nil || errors.Is(err, ui.ErrInterrupted) {
		return ui.StatusInterrupted
	}
	return ui.StatusFailed
}

// dispatch runs the command that args name and returns its name.
func dispatch(ctx context.Context, args []string, s ui.Streams) (string, error) {
	if len(args) == 0 {
		writeUsage(s.Err)
		return "", ui.NewUsageError("missing command")
	}
	name, args := args[0], args[1:]
	if name == "help" || name == "-h" || name == "-help" || name == "--help" {
		return "", help(args, s)
	}
	c, ok := findCommand(name)
	if !ok {
		return "", unknownCommandError()
	}
	err := c.Run(ctx, args, s)
	if errors.Is(err, flag.ErrHelp) {
		return name, help([]string{name}, s)
	}
	return name, err
}

func findCommand(name string) (ui.Command, bool) {
	all := commands()
	i := slices.IndexFunc(all, func(c ui.Command) bool { return c.Name == name })
	if i < 0 {
		return ui.Command{}, false
	}
	return all[i], true
}

// unknownCommandError does not quote the word: it may be a secret value if the
// command was forgotten.
func unknownCommandError() error {
	var names []string
	for _, c := range commands() {
		names = append(names, c.Name)
	}
	return ui.NewUsageError("unknown command; the commands are " + strings.Join(names, ", ") +
		" and help")
}

func help(args []string, s ui.Streams) error {
	switch {
	case len(args) > 1:
		return ui.NewUsageError("help takes the name of one command")
	case len(args) == 0:
		writeUsage(s.Out)
		return nil
	}
	c, ok := findCommand(args[0])
	if !ok {
		return unknownCommandError()
	}
	fmt.Fprintf(s.Out, "usage: secretref %s\n\n%s\n", c.Synopsis, strings.TrimSpace(c.Help))
	return nil
}

func writeUsage(w io.Writer) {
	fmt.Fprintln(w, "secretref resolves and checks secret references.\n\nusage:")
	for _, c := range commands() {
		fmt.Fprintf(w, "  secretref %s\n", c.Synopsis)
	}
	fmt.Fprint(w, "  secretref help [COMMAND]\n\n",
		"PATH is a product's configuration file or home directory, VALUE a reference, and\n",
		"S a keyring's file or the URL of its database.\n",
		"Exit status: 0, 1 (failed), 2 (usage), 130 (interrupted).\n")
}

// printErrors prints each of the errors that err joins on its own line.
func printErrors(w io.Writer, err error) {
	for _, e := range ui.SplitErrors(err) {
		_ = ui.Line(w, "secretref: %s%s", ui.Message(e), storeflags.KeyringHint(e))
	}
}
