package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// maxInput is the longest standard input that is read, in bytes: far beyond
// any reference and any secret.
const maxInput = 16 << 20

// readValue reads one value: typed at a terminal, which does not show it, or else
// as a line that an editor or echo has ended.
func readValue(ctx context.Context, s streams, what string) (string, error) {
	if f, ok := terminal(s.in); ok {
		return typeUnseen(ctx, f, s.err, what)
	}
	return readLine(ctx, s.in)
}

func readLine(ctx context.Context, in io.Reader) (string, error) {
	text, err := readAll(ctx, in, maxInput)
	if err != nil {
		return "", err
	}
	value, cut := strings.CutSuffix(string(text), "\n")
	if cut {
		value = strings.TrimSuffix(value, "\r")
	}
	return value, nil
}

// readAll reads all of standard input, which may have so many bytes, or gives up
// when ctx ends.
func readAll(ctx context.Context, in io.Reader, most int64) ([]byte, error) {
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
