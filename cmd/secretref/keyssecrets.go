package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/seed74218947/secretref"
)

// maxSecret is the longest secret that a keyring holds, in bytes.
const maxSecret = 1 << 20

func putSecret(ctx context.Context, c *keysCall) error {
	return c.Put(ctx, c.args[0], c.secret)
}

// readSecret reads the secret that is to be stored: typed at a terminal, or else
// byte for byte. It does so before the keyring is opened, so that a command that
// failed before a pipe leaves neither an empty secret nor an empty keyring.
func readSecret(ctx context.Context, c *keysCall) error {
	if f, ok := terminal(c.streams.in); ok {
		typed, err := typeTwice(ctx, f, c.streams.err, "secret", "stored")
		if errors.Is(err, errNothingTyped) {
			err = fmt.Errorf("%w; to store an empty secret: printf '' | secretref keys put -empty NAME", err)
		}
		c.secret = secretref.NewSecret(typed)
		return err
	}
	text, err := readAll(ctx, c.streams.in, maxSecret)
	switch {
	case err != nil:
		return err
	case len(text) == 0 && !c.flags.empty:
		return errors.New("there is nothing on standard input: did the command before the pipe fail? -empty stores an empty secret")
	case bytes.HasSuffix(text, []byte("\n")):
		warnings(c.streams.err).Warn("the secret ends in a newline, which is part of it: if it should not be, store it again without (printf, or echo -n)")
	}
	c.secret = secretref.NewSecret(string(text))
	return nil
}

func getSecret(ctx context.Context, c *keysCall) error {
	secret, err := c.Get(ctx, c.args[0])
	if err != nil {
		return err
	}
	return reveal(c.streams, secret)
}

func deleteSecret(ctx context.Context, c *keysCall) error { return c.Delete(ctx, c.args[0]) }

func listNames(ctx context.Context, c *keysCall) error {
	for name, err := range c.Names(ctx) {
		if err != nil {
			return err
		}
		if err := c.line("%s", printable(name)); err != nil {
			return err
		}
	}
	return nil
}
