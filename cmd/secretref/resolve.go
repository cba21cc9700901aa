package main

import (
	"context"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func resolveCommand() ui.Command {
	return ui.Command{
		Name:     "resolve",
		Synopsis: "resolve [-strict] [-timeout D] [-store S] VALUE | -",
		Help: `
Prints the secret that VALUE refers to, or VALUE itself if it is plaintext. Nothing
else is printed, not even a newline, unless standard output is a terminal. If VALUE
is "-", it is read from standard input: one newline at its end is removed, and a
terminal does not echo it. Any user of the machine can see the arguments of a
command, so do not write a password there.

  -strict                     plaintext and empty values are errors
` + ui.TimeoutHelp + `
` + storeflags.Help + `

-store opens the keyring for references with "keyring"; see "secretref help keys".`,
		Run: resolve,
	}
}

func resolve(ctx context.Context, args []string, s ui.Streams) error {
	f := ui.NewFlags("resolve")
	strict := f.Bool("strict", false, "")
	var store storeflags.Flags
	store.Register(f)
	args, err := ui.ParseFlags(f, args, 1, 1)
	if err != nil {
		return err
	}
	value := args[0]
	if value == "-" {
		if value, err = ui.ReadValue(ctx, s, "value"); err != nil {
			return err
		}
	}
	log, stop := ui.ReportWaits(s.Err, ui.NewWarningLogger(s.Err))
	defer stop()
	keyring, err := store.OpenIfGiven(ctx, log)
	if err != nil {
		return err
	}
	defer keyring.CloseIfOpen()
	resolver := secretref.New(&secretref.Options{Strict: *strict, Timeout: store.Timeout.Value(),
		Keyring: keyring.OrNil(), Logger: log})
	defer resolver.Close()
	secret, err := resolver.Resolve(ctx, value)
	if err != nil {
		return err
	}
	return ui.PrintSecret(s, secret)
}
