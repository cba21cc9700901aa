package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/seed74218947/secretref"
)

// live shows a service that goes on through a rotation of its password and an
// outage of the backend.
func live(ctx context.Context, s *stage, w io.Writer) error {
	reference := secretref.VaultReference{Mount: "secret", Path: "demo/live", Key: "password", Endpoint: s.vault.URL()}.String()
	s.vault.Put("secret", "demo/live", map[string]any{"password": livePassword})
	resolver := secretref.New(nil)
	defer resolver.Close()
	password, err := resolver.Watch(ctx, reference)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "password, err := resolver.Handle(ctx, reference): password.Value() is %q.\n", password.Value().Reveal())

	s.vault.Put("secret", "demo/live", map[string]any{"password": rotatedPassword})
	if _, err := password.Refresh(ctx); err != nil { // at the latest when its TTL ends it would be so by itself
		return err
	}
	fmt.Fprintf(w, "After the secret was rotated it is %q, without a restart.\n", password.Value().Reveal())

	s.vault.Fail(9, http.StatusServiceUnavailable, nil, "Vault is sealed")
	_, outage := password.Refresh(ctx)
	fmt.Fprintf(w, "While Vault is sealed it stays %q, and Status says why it is not newer:\n    %v\n", password.Value().Reveal(), outage)
	if !errors.Is(outage, secretref.ErrUnavailable) {
		return fmt.Errorf("a sealed Vault led to %v", outage)
	}
	return equal(password.Value(), rotatedPassword)
}
