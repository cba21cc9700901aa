package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func putSecret(ctx context.Context, c *call) error {
	return c.Put(ctx, c.args[0], c.secret)
}

// readNewSecret reads the secret to store: from a terminal without echo, or else byte
// for byte. It runs before the keyring is opened, so that if the command before a pipe
// fails, neither an empty secret nor an empty keyring remains.
func readNewSecret(ctx context.Context, c *call) error {
	if f, ok := ui.Terminal(c.streams.In); ok {
		typed, err := ui.ReadPasswordTwice(ctx, f, c.streams.Err, "secret", "stored")
		if errors.Is(err, ui.ErrNothingTyped) {
			err = fmt.Errorf("%w; to store an empty secret: printf '' | secretref keys put "+
				"-empty NAME", err)
		}
		c.secret = secretref.NewSecret(typed)
		return err
	}
	text, err := ui.ReadAll(ctx, c.streams.In, ui.MaxSecret)
	switch {
	case err != nil:
		return err
	case len(text) == 0 && !c.flags.empty:
		return errors.New("standard input is empty: did the command before the pipe fail? (use " +
			"-empty to store an empty secret)")
	case bytes.HasSuffix(text, []byte("\n")):
		ui.NewWarningLogger(c.streams.Err).Warn("the secret ends in a newline, which is part of " +
			"it; if that is not intended, store it again without one (printf, or echo -n)")
	}
	c.secret = secretref.NewSecret(string(text))
	return nil
}

func getSecret(ctx context.Context, c *call) error {
	secret, err := c.Get(ctx, c.args[0])
	if err != nil {
		return err
	}
	return ui.PrintSecret(c.streams, secret)
}

func deleteSecret(ctx context.Context, c *call) error { return c.Delete(ctx, c.args[0]) }

func listNames(ctx context.Context, c *call) error {
	for name, err := range c.Names(ctx) {
		if err != nil {
			return err
		}
		if err := c.line("%s", ui.Printable(name)); err != nil {
			return err
		}
	}
	return nil
}
