package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"golang.org/x/term"
)

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Terminal returns the terminal that in is, if it is one.
func Terminal(in io.Reader) (*os.File, bool) {
	f, ok := in.(*os.File)
	return f, ok && IsTerminal(f)
}

// ErrInterrupted is a Ctrl-C, typed where it makes no signal.
var ErrInterrupted = errors.New("interrupted")

// ReadPasswordTwice asks for a secret twice, since nobody sees a slip of the finger. The
// outcome is what does not become of it if nothing is typed, as "stored".
func ReadPasswordTwice(ctx context.Context, in *os.File, prompts io.Writer, what, outcome string) (string, error) {
	first, err := ReadPassword(ctx, in, prompts, what)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w, so nothing is %s", err, outcome)
	case first == "":
		return "", fmt.Errorf("%w, so nothing is %s", ErrNothingTyped, outcome)
	}
	second, err := ReadPassword(ctx, in, prompts, "again")
	switch {
	case err != nil:
		return "", fmt.Errorf("%w, so nothing is %s", err, outcome)
	case first != second:
		return "", fmt.Errorf("what was typed the second time is something else, so nothing is %s", outcome)
	}
	return first, nil
}

var ErrNothingTyped = errors.New("nothing was typed")

// ReadPassword reads a line from a terminal, which does not show it. Ctrl-D on an
// empty line is errNothingTyped, Ctrl-C is errInterrupted, as is the end of ctx.
func ReadPassword(ctx context.Context, in *os.File, prompts io.Writer, what string) (string, error) {
	fd := int(in.Fd())
	// The terminal's own lines have at most 4095 bytes, without a word on the rest.
	was, err := term.MakeRaw(fd)
	if err != nil {
		return "", fmt.Errorf("the terminal cannot be made to hide what is typed: %w", err)
	}
	defer fmt.Fprintln(prompts)
	defer func() { _ = term.Restore(fd, was) }()
	fmt.Fprint(prompts, what+": ")
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() { // a read of a terminal cannot be interrupted, only left behind
		line, err := readKeystrokes(in)
		done <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ErrInterrupted
	case got := <-done:
		if ctx.Err() != nil {
			return "", ErrInterrupted
		}
		return got.line, got.err
	}
}

// readKeystrokes reads a line from a terminal that hands over every key.
func readKeystrokes(in io.Reader) (string, error) {
	const (
		ctrlC, ctrlD, backspace, ctrlU, ctrlBackslash, del = 3, 4, '\b', 21, 28, 127
	)
	var line []byte
	var problem error
	for key := make([]byte, 1); ; {
		n, err := in.Read(key)
		switch c := key[0]; {
		case err != nil && err != io.EOF:
			return "", fmt.Errorf("the terminal cannot be read: %w", err)
		case err != nil, n == 1 && c == ctrlD && len(line) == 0:
			return "", ErrNothingTyped
		case n == 0, c == ctrlD:
		case c == '\r', c == '\n':
			return string(line), problem
		case c == ctrlC, c == ctrlBackslash:
			return "", ErrInterrupted
		case c == ctrlU:
			line, problem = line[:0], nil
		case c == backspace, c == del:
			_, size := utf8.DecodeLastRune(line)
			line = line[:len(line)-size]
		case c < ' ' && c != '\t': // nobody means an arrow key to be in a password
			problem = errors.New("a control character was typed")
		case len(line) == MaxSecret:
			problem = fmt.Errorf("what was typed is longer than %d MiB", MaxSecret>>20)
		default:
			line = append(line, c)
		}
	}
}
