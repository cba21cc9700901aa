// Package approle shows how a program gives secretref a Vault token by a way
// that it has not itself: here by AppRole.
package approle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/seed74218947/secretref"
)

// Token returns what VaultOptions.Token is to be. It logs in once for all who
// ask, keeps the token for two thirds of its lease, and logs in again when it
// was refused. The secret id is read again at each login.
func Token(endpoint, roleID, secretIDFile string) func(context.Context) (string, error) {
	var (
		mu    sync.Mutex
		token string
		until time.Time
		given = map[<-chan struct{}]string{} // the token that a fetch under way was given
	)
	return func(ctx context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		fetch := ctx.Done()
		// A fetch that asks a second time was refused with what it was given.
		if token == "" || token == given[fetch] || time.Now().After(until) {
			auth, err := logIn(ctx, endpoint, roleID, secretIDFile)
			if err != nil {
				return "", err
			}
			token = auth.ClientToken
			until = time.Now().Add(time.Duration(auth.LeaseDuration) * time.Second * 2 / 3)
		}
		given[fetch] = token
		context.AfterFunc(ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			delete(given, fetch)
		})
		return token, nil
	}
}

func logIn(ctx context.Context, endpoint, roleID, secretIDFile string) (*api.SecretAuth, error) {
	secretID, err := os.ReadFile(secretIDFile)
	if err != nil {
		return nil, err
	}
	config := api.DefaultConfig()
	config.Address = endpoint
	config.MaxRetries = 0 // the Resolver tries again
	client, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	client.ClearToken() // that of VAULT_TOKEN
	secret, err := client.Logical().WriteWithContext(ctx, "auth/approle/login", map[string]any{
		"role_id": roleID, "secret_id": strings.TrimSpace(string(secretID)),
	})
	var answered *api.ResponseError
	switch {
	case errors.As(err, &answered) && answered.StatusCode < 500:
		return nil, err // the role or the secret id is wrong
	case err != nil:
		return nil, fmt.Errorf("%w: %w", secretref.ErrUnavailable, err) // to be tried again
	case secret == nil || secret.Auth == nil:
		return nil, errors.New("the AppRole login brought no token")
	}
	return secret.Auth, nil
}
