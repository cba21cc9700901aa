// Package ui is what the commands share: flags, exit statuses, errors, printing that
// is safe for terminals, prompts without echo, and reports of long waits.
package ui

import (
	"context"
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
)

// The exit statuses.
const (
	StatusOK = iota
	StatusFailed
	StatusUsage

	StatusInterrupted = 130 // 128 + SIGINT, as in shells
)

// Command is one subcommand. Run returns flag.ErrHelp, a [*UsageError],
// [ErrReported], or an error to print.
type Command struct {
	Name, Synopsis, Help string

	Run func(ctx context.Context, args []string, s Streams) error
}

// NewFlags returns the flag set of a command; it prints nothing by itself.
func NewFlags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f
}

// ParseFlags parses a command's flags and returns the arguments after them. It
// fails unless there are minArgs to maxArgs of those.
func ParseFlags(f *flag.FlagSet, args []string, minArgs, maxArgs int) ([]string, error) {
	err := f.Parse(args)
	withSeparator := flagTakingSeparator(f)
	isFlag := func(a string) bool { return len(a) > 1 && a[0] == '-' }
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil && isSafeFlagError(err):
		return nil, NewUsageError(err.Error())
	case err != nil:
		// The flag package would quote the argument, which may be a password that
		// starts with a dash.
		return nil, NewUsageError(
			`unknown flag; put "--" before a VALUE or NAME that starts with a dash`)
	case withSeparator != "":
		return nil, NewUsageError("the value of -" + withSeparator +
			` is "--": is a variable on the command line empty?`)
	case f.NArg() < minArgs:
		return nil, NewUsageError("missing argument")
	case f.NArg() > maxArgs && slices.ContainsFunc(f.Args(), isFlag):
		return nil, NewUsageError("too many arguments; flags must come before them")
	case f.NArg() > maxArgs:
		return nil, NewUsageError("too many arguments: does one of them need quotes?")
	}
	return f.Args(), nil
}

// isSafeFlagError reports whether an error of the flag package quotes no unknown
// argument.
func isSafeFlagError(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "invalid") || strings.HasPrefix(text, "flag needs")
}

// flagTakingSeparator returns the flag whose value is "--", or "". The flag
// package takes any argument after a flag as the flag's value.
func flagTakingSeparator(f *flag.FlagSet) (name string) {
	f.Visit(func(given *flag.Flag) {
		if given.Value.String() == "--" {
			name = given.Name
		}
	})
	return name
}
