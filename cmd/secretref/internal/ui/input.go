package ui

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// MaxInput limits standard input, in bytes: far more than any reference or secret.
const MaxInput = 16 << 20

// ReadValue reads one value: from a terminal without echo, or from a pipe or file,
// where one newline at the end is removed.
func ReadValue(ctx context.Context, s Streams, what string) (string, error) {
	if f, ok := Terminal(s.In); ok {
		return ReadPassword(ctx, f, s.Err, what)
	}
	return ReadLine(ctx, s.In)
}

func ReadLine(ctx context.Context, in io.Reader) (string, error) {
	text, err := ReadAll(ctx, in, MaxInput)
	if err != nil {
		return "", err
	}
	value, cut := strings.CutSuffix(string(text), "\n")
	if cut {
		value = strings.TrimSuffix(value, "\r")
	}
	return value, nil
}

// ReadAll reads all of standard input. It fails if that is longer than maxSize bytes
// or when ctx ends.
func ReadAll(ctx context.Context, in io.Reader, maxSize int64) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() { // a read of a terminal cannot be interrupted, only abandoned
		text, err := io.ReadAll(io.LimitReader(in, maxSize+1))
		done <- result{text, err}
	}()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("standard input was not read: %w", context.Cause(ctx))
	case got := <-done:
		if ctx.Err() != nil { // the signal may also have ended the command before a pipe
			return nil, fmt.Errorf("standard input was not read: %w", context.Cause(ctx))
		}
		if got.err != nil {
			return nil, fmt.Errorf("cannot read standard input: %w", got.err)
		}
		if int64(len(got.text)) > maxSize {
			return nil, fmt.Errorf("standard input is longer than %d MiB", maxSize>>20)
		}
		return got.text, nil
	}
}

// MaxSecret limits the secrets of a keyring, in bytes.
const MaxSecret = 1 << 20
