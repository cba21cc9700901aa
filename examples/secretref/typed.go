package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/seed74218947/secretref"
)

// terminal returns the terminal that in is, if it is one.
func terminal(in io.Reader) (*os.File, bool) {
	f, ok := in.(*os.File)
	return f, ok && isTerminal(f)
}

// typeSecret asks for a secret twice, since nobody sees a slip of the finger.
func typeSecret(ctx context.Context, in *os.File, prompts io.Writer) (secretref.Secret, error) {
	first, err := typeUnseen(ctx, in, prompts, "secret: ")
	if err != nil {
		return secretref.Secret{}, err
	}
	if first.Reveal() == "" {
		return secretref.Secret{}, errors.New("nothing was typed, so nothing is stored; to store an empty secret: printf '' | secretref keys put NAME")
	}
	second, err := typeUnseen(ctx, in, prompts, "again: ")
	switch {
	case err != nil:
		return secretref.Secret{}, err
	case !first.Equal(second):
		return secretref.Secret{}, errors.New("what was typed the second time is something else, so nothing is stored")
	}
	return first, nil
}

// typeUnseen reads a line from a terminal, which does not show it.
func typeUnseen(ctx context.Context, in *os.File, prompts io.Writer, prompt string) (secretref.Secret, error) {
	terminal := int(in.Fd())
	was, err := term.GetState(terminal)
	if err != nil {
		return secretref.Secret{}, fmt.Errorf("the terminal cannot be made to hide what is typed: %w", err)
	}
	fmt.Fprint(prompts, prompt)
	defer fmt.Fprintln(prompts)
	type result struct {
		line secretref.Secret
		err  error
	}
	done := make(chan result, 1)
	go func() { // a read of a terminal cannot be interrupted, only left behind
		line, err := term.ReadPassword(terminal)
		done <- result{secretref.NewSecret(string(line)), err}
	}()
	select {
	case <-ctx.Done():
		_ = term.Restore(terminal, was)
		return secretref.Secret{}, fmt.Errorf("nothing was stored: %w", context.Cause(ctx))
	case got := <-done:
		if got.err != nil {
			return secretref.Secret{}, fmt.Errorf("the terminal cannot be read: %w", got.err)
		}
		return got.line, nil
	}
}
