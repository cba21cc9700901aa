package keyring_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"github.com/seed74218947/secretref"
)

// A process with these variables is a victim: it works on a keyring until it is killed.
const (
	victimDriver  = "SECRETREF_VICTIM_DRIVER"
	victimDSN     = "SECRETREF_VICTIM_DSN"
	victimDialect = "SECRETREF_VICTIM_DIALECT"
	victimRoot    = "SECRETREF_VICTIM_ROOT"
	victimRound   = "SECRETREF_VICTIM_ROUND"
	victimKeeps   = "SECRETREF_VICTIM_KEEPS_ROOT" // if "true"
	victimPause   = "SECRETREF_VICTIM_PAUSE"      // the operation before which it waits to be killed
)

// victim writes secrets and changes keys at the same time, and prints the beginning and the
// end of each operation.
func victim() error {
	ctx := context.Background()
	db, err := sql.Open(os.Getenv(victimDriver), os.Getenv(victimDSN))
	if err != nil {
		return err
	}
	dialect, err := strconv.Atoi(os.Getenv(victimDialect))
	if err != nil {
		return err
	}
	var k *secretref.Keyring
	err = printed("open", "-", "", func() (err error) {
		opts := secretref.KeyringOptions{RootKey: secretref.NewSecret(os.Getenv(victimRoot)),
			Logger: logger(os.Stderr)}
		k, err = secretref.OpenKeyring(ctx, secretref.SQLStore(db, secretref.Dialect(dialect)), &opts)
		return err
	})
	if err != nil {
		return err
	}
	failed := make(chan error)
	go func() { failed <- write(ctx, k) }()
	go func() { failed <- changeKeys(ctx, k) }()
	return <-failed
}

// printed prints the beginning and the end of an operation, one write for each line.
func printed(op, name, mark string, do func() error) error {
	fmt.Println("begin", op, name, mark)
	if os.Getenv(victimPause) == op {
		select {}
	}
	err := do()
	if err == nil {
		fmt.Println("end", op, name, mark)
	}
	return err
}

func write(ctx context.Context, k *secretref.Keyring) error {
	for i := 0; ; i++ {
		name, mark := fmt.Sprintf("secret-%d", rand.IntN(24)), fmt.Sprintf("%s.%d",
			os.Getenv(victimRound), i)
		var err error
		if i%5 == 4 {
			err = printed("delete", name, "", func() error {
				err := k.Delete(ctx, name)
				if errors.Is(err, secretref.ErrNotFound) {
					return nil
				}
				return err
			})
		} else {
			err = printed("put", name, mark, func() error {
				return k.Put(ctx, name, secretref.NewSecret(canary+marked(mark)))
			})
		}
		if err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
}

// marked returns the text with the mark, up to some pages long.
func marked(mark string) string {
	return mark + strings.Repeat(".", int(mark[len(mark)-1]-'0')*1300)
}

func changeKeys(ctx context.Context, k *secretref.Keyring) error {
	for {
		err := errors.Join(
			printed("rotate", "-", "", func() error { _, err := k.Rotate(ctx); return err }),
			printed("delete-inactive", "-", "",
				func() error { _, err := k.DeleteInactive(ctx); return err }),
		)
		if os.Getenv(victimKeeps) != "true" {
			root := secretref.NewRootKey()
			err = errors.Join(err,
				printed("change-root", "-", root.Reveal(), func() error { return k.ChangeRootKey(ctx, root) }))
		}
		if err != nil {
			return fmt.Errorf("changing keys: %w", err)
		}
	}
}
