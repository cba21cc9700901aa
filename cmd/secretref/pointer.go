package main

import (
	"context"

	"github.com/seed74218947/secretref"
)

func pointerCommand() command {
	return command{
		name:     "pointer",
		synopsis: "pointer POINTER < doc.json",
		help: `
Prints the JSON text of the value that POINTER (RFC 6901, such as /db/password)
leads to in the document on standard input, and a newline. The empty POINTER ""
is the whole document. The text is printed as it is written: a string keeps its
quotes and escapes.`,
		run: pointer,
	}
}

func pointer(ctx context.Context, args []string, s streams) error {
	args, err := parse(flags("pointer"), args, 1, 1)
	if err != nil {
		return err
	}
	p, err := secretref.ParsePointer(args[0])
	if err != nil {
		return err
	}
	if _, ok := terminal(s.in); ok {
		return &usageError{"the document is read from standard input, which is a terminal: add < doc.json"}
	}
	doc, err := readAll(ctx, s.in, maxInput)
	if err != nil {
		return err
	}
	value, err := p.Lookup(doc)
	if err != nil {
		return err
	}
	_, err = s.exact.Write(append(value[:len(value):len(value)], '\n'))
	return err
}
