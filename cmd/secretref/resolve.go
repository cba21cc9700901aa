package main

import (
	"context"

	"github.com/seed74218947/secretref"
)

func resolveCommand() command {
	return command{
		name:     "resolve",
		synopsis: "resolve [-strict] [-timeout D] [-store S] VALUE | -",
		help: `
Prints the secret that VALUE refers to, or VALUE itself if it is plaintext, and
nothing else: not even a newline, unless standard output is a terminal. With "-"
VALUE is read from standard input, without the newline at its end, and at a
terminal typed unseen; a password on a command line is seen by everyone who lists
processes.

  -strict                     plaintext and empty values are errors
  -timeout D                  how long one secret, and opening the keyring, may take
                              (default 10s)
` + storeFlagsHelp + `

-store opens the keyring that references with "keyring" lead to: see
"secretref help keys".`,
		run: resolve,
	}
}

func resolve(ctx context.Context, args []string, s streams) error {
	f := flags("resolve")
	strict := f.Bool("strict", false, "")
	var store storeFlags
	store.register(f)
	args, err := parse(f, args, 1, 1)
	if err != nil {
		return err
	}
	value := args[0]
	if value == "-" {
		if value, err = readValue(ctx, s, "value"); err != nil {
			return err
		}
	}
	log, stop := watchWaits(s.err, warnings(s.err))
	defer stop()
	keyring, err := store.optional(ctx, log)
	if err != nil {
		return err
	}
	defer keyring.close()
	resolver := secretref.New(&secretref.Options{Strict: *strict, Timeout: store.timeout.value(), Keyring: keyring.keyring(), Logger: log})
	defer resolver.Close()
	secret, err := resolver.Resolve(ctx, value)
	if err != nil {
		return err
	}
	return reveal(s, secret)
}

// reveal writes a secret and nothing else; a terminal needs a newline.
func reveal(s streams, secret secretref.Secret) error {
	text := secret.Reveal()
	if s.terminal {
		text += "\n"
	}
	_, err := s.exact.WriteString(text)
	return err
}
