// Command quickstart shows what secretref does, on one machine and in seconds:
// it starts stand-ins for AWS Secrets Manager and Vault that speak their
// protocols on loopback, writes the configuration files of three products into
// temporary home directories, and resolves them. It also keeps a value up to
// date through a rotation and an outage, keeps a secret in a keyring of its own,
// and rotates its key.
//
// Every password in it is invented. It needs nothing but Go.
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
	// An interrupt must not leave the home directories behind.
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

// chapter is one thing to show. It fails when what it shows is not so.
type chapter struct {
	title string
	tell  func(ctx context.Context, s *stage, w io.Writer) error
}

// run tells all chapters to w.
func run(ctx context.Context, w io.Writer) (err error) {
	chapters := []chapter{
		{"Three products, from their own files", products},
		{"A value, in three lines", value},
		{"A configuration struct", structure},
		{"A service that goes on: a rotated secret, an outage", live},
		{"A keyring of your own, and a key rotation", keyring},
		{"A mistake never becomes a password", mistake},
	}
	s, err := open()
	if err != nil {
		return err
	}
	defer func() {
		if left := s.close(); err == nil {
			err = left
		}
	}()
	fmt.Fprintf(w, "AWS Secrets Manager is played at %s, Vault at %s.\n", s.aws.URL(), s.vault.URL())
	fmt.Fprintln(w, "All passwords are invented; a real program would not print them.")
	for i, c := range chapters {
		fmt.Fprintf(w, "\n%d. %s\n\n", i+1, c.title)
		if err := c.tell(ctx, s, w); err != nil {
			return fmt.Errorf("chapter %d: %w", i+1, err)
		}
	}
	fmt.Fprintln(w, "\nThat is all. The same for your own files: go run ./secretref check PATH (in examples/)")
	return nil
}
