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

// writeRootKey writes a new root key to a file that does not exist.
func writeRootKey(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, secfile.Mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists, and may be the root key of a keyring: give the name of a new file", path)
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
	return ui.Line(s.Out, "a new root key is in %s: keep a copy of it, apart from backups of the keyring", ui.Printable(args[0]))
}

func checkChangeRoot(o storeflags.Flags, f options) error {
	if o.RootKeyFile != "" && f.newRootKey == "" {
		return ui.NewUsageError("give the new root key with -new-root-key-file: \"secretref keys new-root-key FILE\" makes one")
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
		return c.line("the root key in %s.key is a new one: keep a copy of it, and of the former one as long as backups from before", c.given.Store)
	}
	return c.line("the keys are wrapped with the root key in %s: give it as -root-key-file from now on, and keep the former one as long as backups from before", c.flags.newRootKey)
}
