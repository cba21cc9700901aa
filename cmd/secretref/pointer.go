package main

import (
	"context"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func pointerCommand() ui.Command {
	return ui.Command{
		Name:     "pointer",
		Synopsis: "pointer POINTER < doc.json",
		Help: `
Reads a JSON document from standard input and prints the JSON text of the value at
POINTER (RFC 6901, such as /db/password), followed by a newline. The empty POINTER
"" means the whole document. The text is printed unchanged: a string keeps its
quotes and escapes.`,
		Run: pointer,
	}
}

func pointer(ctx context.Context, args []string, s ui.Streams) error {
	args, err := ui.ParseFlags(ui.NewFlags("pointer"), args, 1, 1)
	if err != nil {
		return err
	}
	p, err := secretref.ParsePointer(args[0])
	if err != nil {
		return err
	}
	if _, ok := ui.Terminal(s.In); ok {
		return ui.NewUsageError("the document is read from standard input, which is a terminal; " +
			"add < doc.json")
	}
	doc, err := ui.ReadAll(ctx, s.In, ui.MaxInput)
	if err != nil {
		return err
	}
	value, err := p.Lookup(doc)
	if err != nil {
		return err
	}
	_, err = s.Exact.Write(append(value[:len(value):len(value)], '\n'))
	return err
}
