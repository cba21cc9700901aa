package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/seed74218947/secretref"
)

// live shows a service that keeps running through a rotation of its password and an
// outage of the backend.
func live(ctx context.Context, s *stage, w io.Writer) error {
	reference := secretref.VaultReference{Mount: "secret", Path: "demo/live", Key: "password",
		Endpoint: s.vault.URL}.String()
	s.vault.put("demo/live", map[string]any{"password": livePassword})
	resolver := secretref.New(nil)
	defer resolver.Close()
	password, err := resolver.Watch(ctx, reference)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "password, err := resolver.Watch(ctx, reference): password.Value() is %q.\n",
		password.Value().Reveal())

	s.vault.put("demo/live", map[string]any{"password": rotatedPassword})
	if _, err := password.Refresh(ctx); err != nil { // without this, it happens when the TTL ends
		return err
	}
	fmt.Fprintf(w, "After the rotation it is %q, without a restart.\n", password.Value().Reveal())

	s.vault.sealed.Store(true)
	defer s.vault.sealed.Store(false)
	_, outage := password.Refresh(ctx)
	fmt.Fprintf(w, "While Vault is sealed it remains %q, and Refresh and Status report why it is "+
		"not newer:\n    %v\n", password.Value().Reveal(), outage)
	if !errors.Is(outage, secretref.ErrUnavailable) {
		return fmt.Errorf("with a sealed Vault, Refresh returned %v", outage)
	}
	return equal(password.Value(), rotatedPassword)
}
