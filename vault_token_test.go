package secretref_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestVaultToken_environment(t *testing.T) {
	s := vaultFake(t)
	s.Put("secret", "db", map[string]any{"k": "v"})
	r := vaultResolver(t, nil)
	for _, token := range []string{vaultMint(t, s, "reader", vaultReadAll),
		vaultMint(t, s, "reader", vaultReadAll)} {
		t.Setenv(vaultTokenVariable, " "+token+"\r\n")
		s.ResetCalls()
		got, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", "k"))
		require.NoError(t, err)
		require.Equal(t, "v", got.Reveal())
		require.Equal(t, token, s.Requests()[0].Token)
	}
	s.ResetCalls()
	for value, words := range map[string][]string{
		"": {vaultTokenVariable + " is not set",
			"container entrypoints often drop variables", "VAULT_TOKEN is set, but neither"},
		" \n":               {vaultTokenVariable + " is not set"},
		canary + "\nX: y":   {"characters that no token has: check " + vaultTokenVariable},
		canary + "\x7f":     {"characters that no token has"},
		canary + "\xff":     {"characters that no token has"},
		canary + "\u200bzw": {"characters that no token has"},
	} {
		t.Setenv(vaultTokenVariable, value)
		t.Setenv("VAULT_TOKEN", s.RootToken())
		_, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", "k"))
		require.ErrorIs(t, err, secretref.ErrUnauthenticated)
		for _, w := range words {
			require.Contains(t, err.Error(), w)
		}
		requireSilent(t, err)
	}
	t.Setenv("VAULT_TOKEN", "")
	t.Setenv(vaultTokenVariable, "")
	_, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", "k"))
	require.NotContains(t, err.Error(), " VAULT_TOKEN")
	require.Zero(t, s.Calls())
}

func TestVaultToken_function(t *testing.T) {
	s := vaultFake(t)
	s.Put("secret", "db", map[string]any{"k": "v"})
	good := vaultMint(t, s, "reader", vaultReadAll)
	errOwn := errors.New("own reason")
	type result struct {
		token string
		err   error
	}
	for name, c := range map[string]struct {
		results []result // the last one is repeated
		kind    error
		called  int // the function
		calls   int
	}{
		"a valid token":           {[]result{{good + "\n", nil}}, nil, 1, 1},
		"a new token after a 403": {[]result{{"old-" + canary, nil}, {good, nil}}, nil, 2, 2},
		"the same token after a 403": {[]result{{"old-" + canary, nil}},
			secretref.ErrUnauthenticated, 2, 1},
		"two invalid tokens": {[]result{{"old-" + canary, nil}, {"older-" + canary, nil}},
			secretref.ErrUnauthenticated, 2, 2},
		"an error": {[]result{{"", errOwn}}, secretref.ErrUnauthenticated, 1, 0},
		"an error after a 403": {[]result{{"old-" + canary, nil}, {"", errOwn}},
			secretref.ErrUnauthenticated, 2, 1},
		"a transient error": {[]result{{"",
			fmt.Errorf("%w: %w", errOwn, secretref.ErrUnavailable)}, {good, nil}}, nil, 2, 1},
		"a permanent outage, with an error": {[]result{{"",
			fmt.Errorf("%w: %w", errOwn, secretref.ErrUnavailable)}}, secretref.ErrUnavailable, 2, 0},
		"an empty token": {[]result{{" \n", nil}}, secretref.ErrUnauthenticated, 1, 0},
		"a token with a line break": {[]result{{canary + "\r\nX: y", nil}},
			secretref.ErrUnauthenticated, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s.ResetCalls()
			called := 0
			r := vaultResolver(t,
				&secretref.Options{Timeout: 220 * time.Millisecond,
					Vault: secretref.VaultOptions{Token: func(context.Context) (string, error) {
						called++
						last := c.results[min(called, len(c.results))-1]
						return last.token, last.err
					}}})
			got, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", "k"))
			if c.kind == nil {
				require.NoError(t, err)
				require.Equal(t, "v", got.Reveal())
			} else {
				require.ErrorIs(t, err, c.kind)
				requireSilent(t, err)
			}
			require.GreaterOrEqual(t, called, c.called)
			if c.kind == secretref.ErrUnavailable { //nolint:errorlint // the table has the sentinel itself
				require.NotErrorIs(t, err, secretref.ErrUnauthenticated)
			} else {
				require.Equal(t, c.called, called)
			}
			require.Equal(t, c.calls, s.Calls())
			if strings.Contains(name, "error") && c.kind != nil {
				require.ErrorIs(t, err, errOwn, "the caller's error is wrapped, and not printed")
			}
		})
	}
}

// loginMethod is a function as an api.AuthMethod.
type loginMethod func(context.Context, *api.Client) (*api.Secret, error)

func (m loginMethod) Login(ctx context.Context, c *api.Client) (*api.Secret,
	error) {
	return m(ctx, c)
}

func TestVaultAuth(t *testing.T) {
	s := vaultFake(t)
	s.Put("secret", "db", map[string]any{"k": "v"})
	vaultPod(t, s, vaultReadAll)
	logins := 0
	options := secretref.VaultOptions{Auth: loginMethod(func(ctx context.Context,
		c *api.Client) (*api.Secret, error) {
		logins++
		return c.Logical().WriteWithContext(ctx, "auth/kubernetes/login",
			map[string]any{"role": "app", "jwt": vaultJWT()})
	})}
	_, err := vaultResolver(t, &secretref.Options{Vault: options}).Resolve(t.Context(),
		vaultValue(s.URL(), "db", "k"))
	require.ErrorIs(t, err, secretref.ErrDenied)
	require.ErrorContains(t, err, "AllowEndpoint")
	require.Zero(t, s.Calls())

	r := vaultResolver(t,
		&secretref.Options{Vault: options, AllowEndpoint: func(*url.URL) error { return nil }})
	for _, value := range []string{vaultValue(s.URL(), "db", "k"), vaultValue(s.URL(), "db", "k"),
		vaultPodValue(s.URL(), "db", "k")} {
		got, err := r.Resolve(t.Context(), value)
		require.NoError(t, err)
		require.Equal(t, "v", got.Reveal())
	}
	require.Equal(t, 1, logins)
	made, _ := vaultCalls(s)
	require.Equal(t, 2, made, "KUBERNETES has a login of its own")
}

func TestVaultToken_none(t *testing.T) {
	s := vaultFake(t)
	t.Setenv("VAULT_TOKEN", s.RootToken())
	_, err := vaultResolver(t,
		&secretref.Options{Vault: secretref.VaultOptions{NoToken: true}}).Resolve(t.Context(),
		vaultValue(s.URL(), "db", "k"))
	require.Error(t, err)
	require.Empty(t, s.Requests()[0].Token)
}

func TestVaultOptions_exclusive(t *testing.T) {
	token := func(context.Context) (string, error) { return "", nil }
	method := loginMethod(nil)
	for _, options := range []secretref.VaultOptions{
		{Auth: method, Token: token}, {NoToken: true, Token: token}, {NoToken: true, Auth: method},
	} {
		require.Panics(t, func() { secretref.New(&secretref.Options{Vault: options}) })
	}
}

func TestVaultToken_errors(t *testing.T) {
	vaultEnv(t)
	s := vaultFake(t)
	for name, c := range map[string]struct {
		err   error
		kind  error
		words string
	}{
		"without a message": {errors.New(canary), secretref.ErrUnauthenticated,
			"VaultOptions.Token failed"},
		"with a message": {secretref.WithMessage(errors.New(canary), "the token file is empty"),
			secretref.ErrUnauthenticated, "VaultOptions.Token failed: the token file is empty"},
		"temporarily": {secretref.WithMessage(fmt.Errorf("%w: "+canary, secretref.ErrUnavailable),
			"the agent starts"), secretref.ErrUnavailable,
			"temporarily has no token: the agent starts"},
	} {
		t.Run(name, func(t *testing.T) {
			r := vaultResolver(t,
				&secretref.Options{Timeout: 50 * time.Millisecond, Vault: secretref.VaultOptions{
					Token: func(context.Context) (string, error) { return "", c.err }}})
			_, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", "k"))
			require.ErrorIs(t, err, c.kind)
			require.ErrorContains(t, err, c.words)
			requireQuiet(t, err)
			walkErrors(err, func(e error) { require.NotContains(t, e.Error(), canary) })
		})
	}
}
