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

// Terminal returns in as a file if it is a terminal.
func Terminal(in io.Reader) (*os.File, bool) {
	f, ok := in.(*os.File)
	return f, ok && IsTerminal(f)
}

// ErrInterrupted reports Ctrl-C in raw mode, where it sends no signal.
var ErrInterrupted = errors.New("interrupted")

// ReadPasswordTwice asks for a secret twice, since a typing error is not visible. The
// outcome is the participle for error texts, such as "stored".
func ReadPasswordTwice(ctx context.Context, in *os.File, prompts io.Writer, what,
	outcome string) (string, error) {
	first, err := ReadPassword(ctx, in, prompts, what)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w; nothing was %s", err, outcome)
	case first == "":
		return "", fmt.Errorf("%w; nothing was %s", ErrNothingTyped, outcome)
	}
	second, err := ReadPassword(ctx, in, prompts, "again")
	switch {
	case err != nil:
		return "", fmt.Errorf("%w; nothing was %s", err, outcome)
	case first != second:
		return "", fmt.Errorf("the two entries do not match; nothing was %s", outcome)
	}
	return first, nil
}

// ErrNothingTyped reports an empty input from a terminal.
var ErrNothingTyped = errors.New("nothing was entered")

// ReadPassword reads a line from a terminal without echo. Ctrl-D on an empty line is
// ErrNothingTyped; Ctrl-C and the end of ctx are ErrInterrupted.
func ReadPassword(ctx context.Context, in *os.File, prompts io.Writer, what string) (string,
	error) {
	fd := int(in.Fd())
	// In cooked mode a terminal silently cuts lines off after 4095 bytes.
	was, err := term.MakeRaw(fd)
	if err != nil {
		return "", fmt.Errorf("cannot turn off the terminal's echo: %w", err)
	}
	defer fmt.Fprintln(prompts)
	defer func() { _ = term.Restore(fd, was) }()
	fmt.Fprint(prompts, what+": ")
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() { // a read of a terminal cannot be interrupted, only abandoned
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

// readKeystrokes reads a line from a terminal in raw mode.
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
			return "", fmt.Errorf("cannot read the terminal: %w", err)
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
		case c < ' ' && c != '\t': // an arrow key, for example, is not meant for the password
			problem = errors.New("a control character was entered")
		case len(line) == MaxSecret:
			problem = fmt.Errorf("the input is longer than %d MiB", MaxSecret>>20)
		default:
			line = append(line, c)
		}
	}
}
