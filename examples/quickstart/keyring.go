package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"

	"github.com/seed74218947/secretref"
)

// keyring stores a secret on this machine, without any cloud, and rotates the key that
// encrypts it.
func keyring(ctx context.Context, s *stage, w io.Writer) error {
	keys, err := secretref.OpenKeyring(ctx, secretref.FileStore(filepath.Join(s.dir, "secrets.db")),
		nil)
	if err != nil {
		return err
	}
	defer keys.Close()
	if err := keys.Put(ctx, "jdbc-password", secretref.NewSecret(keyringPassword)); err != nil {
		return err
	}
	resolver := secretref.New(&secretref.Options{Keyring: keys})
	defer resolver.Close()
	const reference = `{ENC}{"keyring":"jdbc-password"}`
	before, err := resolver.Resolve(ctx, reference)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Put(ctx, %q, …), then %s resolves to %q.\n\n", "jdbc-password", reference,
		before.Reveal())

	rotation, err := keys.Rotate(secretref.WithActor(ctx, "demo"))
	if err != nil {
		return err
	}
	after, err := resolver.Resolve(ctx, reference)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Rotate(ctx): %d secret re-encrypted with the key %s.\n", rotation.Moved,
		rotation.To)
	fmt.Fprintf(w, "The same reference still resolves to %q.\n\n", after.Reveal())

	// The products' API. A real program would authorize its callers.
	server := httptest.NewServer(keys.Handler(func(*http.Request) (string,
		error) {
		return "demo, over HTTP", nil
	}))
	defer server.Close()
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		body, err := call(ctx, method, server.URL+"/rest/secrets/1.0/keys/inactive")
		if err != nil {
			return err
		}
		if !strings.Contains(body, rotation.From) {
			return fmt.Errorf("%s returned %s, without the key %s", method, body, rotation.From)
		}
		fmt.Fprintf(w, "%-6s /rest/secrets/1.0/keys/inactive    %s\n", method, body)
	}

	fmt.Fprintln(w, "\nThe audit log:")
	for e, err := range keys.AuditLog(ctx) {
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "    %-15s  %-7s  %-15s  %s\n", e.Action, e.Outcome, e.Actor,
			strings.Join(e.Keys, " "))
	}
	return errors.Join(equal(before, keyringPassword), equal(after, keyringPassword),
		keys.Verify(ctx))
}

// call sends a request and returns the body of a 200.
func call(ctx context.Context, method, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s: %s", method, url, response.Status)
	}
	return strings.TrimSpace(string(body)), err
}
