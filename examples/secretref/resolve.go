package main

import (
	"context"
	"io"

	"github.com/seed74218947/secretref"
)

func resolveCommand() command {
	return command{
		name:     "resolve",
		synopsis: "resolve [-strict] VALUE | -",
		help: `
Prints the secret that VALUE refers to, or VALUE itself if it is plaintext, and
nothing else: not even a newline, unless standard output is a terminal. With "-"
VALUE is read from standard input, without the newline at its end; a password on
a command line is seen by everyone who lists processes.

  -strict   plaintext and empty values are errors`,
		run: resolve,
	}
}

func resolve(ctx context.Context, args []string, s streams) error {
	f := flags("resolve")
	strict := f.Bool("strict", false, "")
	args, err := parse(f, args, 1, 1)
	if err != nil {
		return err
	}
	value := args[0]
	if value == "-" {
		if value, err = readValue(ctx, s.in); err != nil {
			return err
		}
	}
	resolver := secretref.New(&secretref.Options{Strict: *strict, Logger: warnings(s.err)})
	defer resolver.Close()
	secret, err := resolver.Resolve(ctx, value)
	if err != nil {
		return err
	}
	text := secret.Reveal()
	if s.terminal {
		text += "\n"
	}
	_, err = io.WriteString(s.out, text)
	return err
}
