// Command secretref resolves and checks the secret references that Jira,
// Confluence and Bitbucket Data Center keep in their configuration files.
//
//	secretref resolve [-strict] VALUE | -       the secret, nothing else
//	secretref config  [-json] [-reveal] PATH    what a product's file says
//	secretref check   PATH | VALUE …
//	secretref set     -backup-dir D PATH REFERENCE   the last step, safely
//	secretref exec    [-only N,…] -- COMMAND …  a command with the secrets in its environment
//	secretref pointer POINTER < doc.json        the value's JSON text
//	secretref keys    -store S COMMAND          a keyring: its secrets and keys
//	secretref serve   -store S -addr HOST:PORT -token-file F
//	secretref version
//	secretref help    [COMMAND]
//
// PATH is a configuration file or a product's home directory, S a file or the
// URL of a database. Results go to standard output, errors and warnings to
// standard error. Opening a keyring, and each secret, may take as long as -timeout
// says, 10 seconds by default; after 2 seconds a command says for what it waits.
// The exit status is 0, 1 when something failed, 2 when the command line is wrong,
// 130 after an interrupt, and with exec that of the command.
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

	"golang.org/x/term"

	"github.com/seed74218947/secretref"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the process at once
	os.Exit(run(ctx, os.Args[1:], streams{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		terminal: isTerminal(os.Stdout), watched: isTerminal(os.Stderr),
	}))
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// The exit statuses.
const (
	statusOK = iota
	statusFailed
	statusUsage

	statusInterrupted = 130 // as shells have it
)

// command is one subcommand. Its run returns flag.ErrHelp, a *usageError,
// errReported, or an error to print.
type command struct {
	name, synopsis, help string

	run func(ctx context.Context, args []string, s streams) error
}

func commands() []command {
	return []command{resolveCommand(), configCommand(), checkCommand(), setCommand(), execCommand(), pointerCommand(), keysCommand(), serveCommand(), versionCommand()}
}

// errReported is a failure that standard error or the output tells of already.
var errReported = errors.New("reported")

// usageError is a command line that cannot be understood.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// run carries out one command line and returns the exit status.
func run(ctx context.Context, args []string, s streams) int {
	s = s.guarded()
	name, err := dispatch(ctx, args, s)
	// Half an output must not pass for a whole one.
	if lost := s.flush(); lost != nil && err == nil {
		err = fmt.Errorf("the output cannot be written: %w", lost)
	}
	_, wrongUsage := errors.AsType[*usageError](err)
	switch {
	case err == nil:
		return statusOK
	case wrongUsage:
		complain(s.err, err)
		fmt.Fprintf(s.err, "Run \"%s\" for how to use it.\n", strings.TrimRight("secretref help "+name, " "))
		return statusUsage
	case !errors.Is(err, errReported):
		complain(s.err, err)
	}
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.status
	}
	if ctx.Err() != nil || errors.Is(err, errInterrupted) {
		return statusInterrupted
	}
	return statusFailed
}

// dispatch runs the command that args name and returns its name.
func dispatch(ctx context.Context, args []string, s streams) (string, error) {
	if len(args) == 0 {
		writeUsage(s.err)
		return "", &usageError{"no command is given"}
	}
	name, args := args[0], args[1:]
	if name == "help" || name == "-h" || name == "-help" || name == "--help" {
		return "", help(args, s)
	}
	c, ok := find(name)
	if !ok {
		return "", unknown()
	}
	err := c.run(ctx, args, s)
	if errors.Is(err, flag.ErrHelp) {
		return name, help([]string{name}, s)
	}
	return name, err
}

func find(name string) (command, bool) {
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

// unknown does not repeat what was typed: it may be a value whose command was
// forgotten.
func unknown() error {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return &usageError{"unknown command; there are " + strings.Join(names, ", ") + " and help"}
}

func help(args []string, s streams) error {
	switch {
	case len(args) > 1:
		return &usageError{"help takes the name of one command"}
	case len(args) == 0:
		writeUsage(s.out)
		return nil
	}
	c, ok := find(args[0])
	if !ok {
		return unknown()
	}
	fmt.Fprintf(s.out, "usage: secretref %s\n\n%s\n", c.synopsis, strings.TrimSpace(c.help))
	return nil
}

func writeUsage(w io.Writer) {
	fmt.Fprintln(w, "secretref resolves and checks secret references.\n\nusage:")
	for _, c := range commands() {
		fmt.Fprintf(w, "  secretref %s\n", c.synopsis)
	}
	fmt.Fprint(w, "  secretref help [COMMAND]\n\n",
		"PATH is a product's configuration file or home directory, VALUE a reference, S a\n",
		"keyring's file or the URL of its database.\n",
		"Exit status: 0, 1 (failed), 2 (usage), 130 (interrupted).\n")
}

// flags returns the flag set of a command; it prints nothing by itself.
func flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f
}

// parse parses a command's flags and returns the arguments after them, of which
// there must be least to most.
func parse(f *flag.FlagSet, args []string, least, most int) ([]string, error) {
	err := f.Parse(args)
	swallowed := takesSeparator(f)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil && (strings.HasPrefix(err.Error(), "invalid") || strings.HasPrefix(err.Error(), "flag needs")):
		return nil, &usageError{err.Error()}
	case err != nil:
		// The package would quote what may be a password that begins with a dash.
		return nil, &usageError{"unknown flag; a VALUE or NAME that begins with a dash stands behind \"--\""}
	case swallowed != "":
		return nil, &usageError{"-" + swallowed + " has no value but \"--\": is a variable behind it empty?"}
	case f.NArg() < least:
		return nil, &usageError{"an argument is missing"}
	case f.NArg() > most && slices.ContainsFunc(f.Args(), func(a string) bool { return len(a) > 1 && a[0] == '-' }):
		return nil, &usageError{"too many arguments: flags stand before the others"}
	case f.NArg() > most:
		return nil, &usageError{"too many arguments: does one of them need quotes?"}
	}
	return f.Args(), nil
}

// takesSeparator returns the flag whose value is "--", or "". The package takes
// what follows a flag for its value, whatever it is.
func takesSeparator(f *flag.FlagSet) (name string) {
	f.Visit(func(one *flag.Flag) {
		if one.Value.String() == "--" {
			name = one.Name
		}
	})
	return name
}

// complain prints every error that err joins on a line of its own.
func complain(w io.Writer, err error) {
	for _, e := range parts(err) {
		_ = line(w, "secretref: %s%s", message(e), remedy(e))
	}
}

// parts takes errors.Join apart. Other errors have several parents too, which
// their text leaves out on purpose; those stay whole.
func parts(err error) []error {
	if located, ok := err.(*secretref.Error); ok {
		all := parts(located.Err)
		for i, e := range all {
			all[i] = &secretref.Error{Source: located.Source, Reference: located.Reference, Err: e}
		}
		return all
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var texts []string
	for _, e := range joined.Unwrap() {
		texts = append(texts, e.Error())
	}
	if strings.Join(texts, "\n") != err.Error() {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, parts(e)...)
	}
	return all
}

// message is an error's text without the name of the program.
func message(err error) string { return strings.TrimPrefix(err.Error(), "secretref: ") }
