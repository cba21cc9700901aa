package main

import (
	"bytes"
	"context"

	"github.com/seed74218947/secretref"
)

// maxSecret is the longest secret that a keyring holds, in bytes.
const maxSecret = 1 << 20

func putSecret(ctx context.Context, c *keysCall) error {
	secret, err := readSecret(ctx, c.streams)
	if err != nil {
		return err
	}
	return c.Put(ctx, c.args[0], secret)
}

// readSecret reads a secret that is to be stored: typed at a terminal, or else
// byte for byte.
func readSecret(ctx context.Context, s streams) (secretref.Secret, error) {
	if f, ok := terminal(s.in); ok {
		return typeSecret(ctx, f, s.err)
	}
	text, err := readAll(ctx, s.in, maxSecret)
	if err != nil {
		return secretref.Secret{}, err
	}
	switch log := warnings(s.err); {
	case len(text) == 0:
		log.Warn("the secret is empty")
	case bytes.HasSuffix(text, []byte("\n")):
		log.Warn("the secret ends in a newline, which is part of it: if it should not be, store it again without (printf, or echo -n)")
	}
	return secretref.NewSecret(string(text)), nil
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
		if err := c.printf("%s\n", printable(name)); err != nil {
			return err
		}
	}
	return nil
}
