//go:build linux || darwin

package rotate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
)

// A process with these variables is a victim: it works on the keyring at the path until
// it is killed.
const (
	victimPath  = "SECRETREF_VICTIM_PATH"
	victimRound = "SECRETREF_VICTIM_ROUND"
	victimPause = "SECRETREF_VICTIM_PAUSE" // the operation before which it waits to be killed
)

func TestMain(m *testing.M) {
	if path := os.Getenv(victimPath); path != "" {
		err := runVictim(path, os.Getenv(victimRound))
		fmt.Println("failed", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runVictim writes secrets and changes keys at the same time, and prints the beginning
// and the end of each operation.
func runVictim(path, round string) error {
	ctx := context.Background()
	var k *keyring.Keyring
	err := printed("open", "", "", func() (err error) {
		f := newFaulty()
		f.Store = boltstore.New(path)
		f.before = func(call string) error { fmt.Println("step before", call); return nil }
		f.after = func(call string) error { fmt.Println("step after", call); return nil }
		k, err = openAt(ctx, path, f)
		f.before, f.after = nil, nil
		return err
	})
	if err != nil {
		return err
	}
	failed := make(chan error)
	go func() { failed <- write(ctx, k, round) }()
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

func write(ctx context.Context, k *keyring.Keyring, round string) error {
	for i := 0; ; i++ {
		name, mark := fmt.Sprintf("secret-%d", rand.IntN(24)), fmt.Sprintf("%s.%d", round, i)
		var err error
		if i%5 == 4 {
			err = printed("delete", name, "", func() error {
				err := k.Delete(ctx, name)
				if errors.Is(err, fault.NotFound) {
					return nil
				}
				return err
			})
		} else {
			err = printed("put", name, mark, func() error { return k.Put(ctx, name, []byte(marked(mark))) })
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

func changeKeys(ctx context.Context, k *keyring.Keyring) error {
	r := rotate.Rotator{Keyring: k}.Paged(5)
	for {
		err := errors.Join(
			printed("rotate", "", "", func() error { _, err := r.Rotate(ctx); return err }),
			printed("delete-inactive", "", "", func() error { _, err := r.DeleteInactive(ctx); return err }),
			printed("change-root", "", "", func() error { return r.ChangeRoot(ctx, seal.NewRootText()) }),
		)
		if err != nil {
			return fmt.Errorf("changing keys: %w", err)
		}
	}
}
