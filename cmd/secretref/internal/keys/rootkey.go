package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/secfile"
)

// writeRootKey writes a new root key to a file that must not exist.
func writeRootKey(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, secfile.Mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists and may contain the root key of a keyring: give the name of "+
			"a new file", path)
	}
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if _, err := f.WriteString(secretref.NewRootKey().Reveal() + "\n"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return secfile.SyncDir(path)
}

func newRootKey(args []string, s ui.Streams) error {
	if err := writeRootKey(args[0]); err != nil {
		return err
	}
	return ui.Line(s.Out, "wrote a new root key to %s; keep a copy of it, separate from backups "+
		"of the keyring", ui.Printable(args[0]))
}

func checkChangeRoot(o storeflags.Flags, f options) error {
	if o.RootKeyFile != "" && f.newRootKey == "" {
		return ui.NewUsageError("give the new root key as -new-root-key-file (create one with " +
			"\"secretref keys new-root-key FILE\")")
	}
	return nil
}

func changeRoot(ctx context.Context, c *call) error {
	next := secretref.NewRootKey()
	if c.flags.newRootKey != "" {
		var err error
		if next, err = storeflags.ReadRootKey(ctx, c.Bootstrap, c.flags.newRootKey); err != nil {
			return err
		}
	}
	if err := c.ChangeRootKey(ctx, next); err != nil {
		return err
	}
	if c.given.RootKeyFile == "" {
		return c.line("%s.key has a new root key; keep a copy of it, and keep the old one as "+
			"long as you keep backups from before the change", c.given.Store)
	}
	return c.line("the keys are now wrapped with the root key in %s; give it as -root-key-file "+
		"from now on, and keep the old one as long as you keep backups from before the change",
		c.flags.newRootKey)
}
