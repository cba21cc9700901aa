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
Prints the secret that VALUE refers to, or VALUE itself if it is plaintext, and
nothing else: not even a newline, unless standard output is a terminal. With "-"
VALUE is read from standard input, without the newline at its end, and at a
terminal typed unseen; a password on a command line is seen by everyone who lists
processes.

  -strict                     plaintext and empty values are errors
  -timeout D                  how long one secret, and opening the keyring, may take
                              (default 10s)
` + storeflags.Help + `

-store opens the keyring that references with "keyring" lead to: see
"secretref help keys".`,
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
	resolver := secretref.New(&secretref.Options{Strict: *strict, Timeout: store.Timeout.Value(), Keyring: keyring.OrNil(), Logger: log})
	defer resolver.Close()
	secret, err := resolver.Resolve(ctx, value)
	if err != nil {
		return err
	}
	return ui.PrintSecret(s, secret)
}
