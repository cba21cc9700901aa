// Command quickstart demonstrates secretref on one machine within seconds. It starts
// small servers on loopback that answer like AWS Secrets Manager and Vault, writes the
// configuration files of three products to temporary home directories, and resolves
// them. It also keeps a value up to date through a rotation and an outage, stores a
// secret in a keyring, and rotates the keyring's key.
//
// All passwords are invented. It needs nothing but Go.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

func main() {
	// An interrupt must not prevent the deletion of the home directories.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	err := run(ctx, os.Stdout)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// chapter is one part of the demo. It fails if the library does not behave as shown.
type chapter struct {
	title string
	show  func(ctx context.Context, s *stage, w io.Writer) error
}

// run writes all chapters to w.
func run(ctx context.Context, w io.Writer) (err error) {
	chapters := []chapter{
		{"Three products, from their own files", products},
		{"A value, in three lines", value},
		{"A configuration struct", structure},
		{"A service that keeps running: a rotated secret, an outage", live},
		{"A keyring of your own, and a key rotation", keyring},
		{"A mistake never becomes a password", mistake},
	}
	s, err := open()
	if err != nil {
		return err
	}
	defer func() {
		if failed := s.close(); err == nil {
			err = failed
		}
	}()
	fmt.Fprintf(w, "AWS Secrets Manager is simulated at %s, Vault at %s.\n", s.aws.URL, s.vault.URL)
	fmt.Fprintln(w, "All passwords are invented; a real program would not print them.")
	for i, c := range chapters {
		fmt.Fprintf(w, "\n%d. %s\n\n", i+1, c.title)
		if err := c.show(ctx, s, w); err != nil {
			return fmt.Errorf("chapter %d: %w", i+1, err)
		}
	}
	fmt.Fprintln(w, "\nDone. To check your own files: go run -C cmd/secretref . check PATH")
	return nil
}
