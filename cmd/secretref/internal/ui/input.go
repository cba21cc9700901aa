package ui

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// MaxInput is the longest standard input that is read, in bytes: far beyond
// any reference and any secret.
const MaxInput = 16 << 20

// ReadValue reads one value: typed at a terminal, which does not show it, or else
// as a line that an editor or echo has ended.
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

// ReadAll reads all of standard input, which may have so many bytes, or gives up
// when ctx ends.
func ReadAll(ctx context.Context, in io.Reader, most int64) ([]byte, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() { // a read of a terminal cannot be interrupted, only left behind
		text, err := io.ReadAll(io.LimitReader(in, most+1))
		done <- result{text, err}
	}()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("standard input was not read: %w", context.Cause(ctx))
	case got := <-done:
		if ctx.Err() != nil { // a signal ends what is before a pipe, too
			return nil, fmt.Errorf("standard input was not read: %w", context.Cause(ctx))
		}
		if got.err != nil {
			return nil, fmt.Errorf("standard input cannot be read: %w", got.err)
		}
		if int64(len(got.text)) > most {
			return nil, fmt.Errorf("standard input is longer than %d MiB", most>>20)
		}
		return got.text, nil
	}
}

// MaxSecret is the longest secret that a keyring holds, in bytes.
const MaxSecret = 1 << 20
