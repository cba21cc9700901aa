package e2e

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api/auth/approle"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// appRole creates a role with these fields of auth/approle/role. It returns options that log in
// with the role and the path of the file that contains its secret ID.
func (s *server) appRole(t *testing.T, policy, fields string) (opts *secretref.Options,
	file string) {
	t.Helper()
	s.mint(t, "reader", policy)
	s.must(t, "POST", "sys/auth/approle", `{"type":"approle"}`)
	s.must(t, "POST", "auth/approle/role/app", `{"token_policies":["reader"],`+fields+`}`)
	roleID := textAt(t, s.must(t, "GET", "auth/approle/role/app/role-id", ""), "data.role_id")
	secretID := textAt(t, s.must(t, "POST", "auth/approle/role/app/secret-id", ""), "data.secret_id")
	file = filepath.Join(t.TempDir(), "secret-id")
	require.NoError(t, os.WriteFile(file, []byte(secretID+"\n"), 0o600))
	method, err := approle.NewAppRoleAuth(roleID, &approle.SecretID{FromFile: file})
	require.NoError(t, err)
	return &secretref.Options{
		Vault:         secretref.VaultOptions{Auth: method},
		AllowEndpoint: func(*url.URL) error { return nil },
	}, file
}

func TestAppRole_oneLoginForAllReads(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		opts, _ := s.appRole(t, readAll, `"token_ttl":"1h"`)
		front := countCalls(t, s)
		r := newResolver(t, opts)
		var values []string
		for i := range 30 {
			path := fmt.Sprint("app/", i)
			s.put(t, path, `{"password":"x"}`)
			values = append(values, reference(t, front.url, "secret", path, "password", ""))
		}
		read := func() {
			t.Helper()
			_, err := r.ResolveAll(t.Context(), values...)
			require.NoError(t, err)
		}
		read()
		require.Equal(t, 1, front.takeCount("/login"))
		read()
		require.Equal(t, 0, front.takeCount("/login"))

		// All reads that are refused at the same time share one new login.
		s.must(t, "POST", "auth/token/revoke", `{"token":"`+front.lastToken()+`"}`)
		read()
		require.Equal(t, 1, front.takeCount("/login"))
	})
}

func TestAppRole_tokenIsReplacedBeforeItEnds(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		t.Parallel()
		s.put(t, "app/db", `{"password":"x"}`)
		opts, _ := s.appRole(t, readAll, `"token_ttl":"9s","token_max_ttl":"9s"`)
		front := countCalls(t, s)
		r := newResolver(t, opts)
		readUntilLogins(t, front, 3, 9*time.Second, func() error {
			_, err := r.Resolve(t.Context(), reference(t, front.url, "secret", "app/db", "password", ""))
			return err
		})
	})
}

func TestAppRole_refusedLoginIsNotRepeated(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"`+canary+`"}`)
		opts, file := s.appRole(t, readAll, `"token_ttl":"1h"`)
		require.NoError(t, os.WriteFile(file, []byte(canary), 0o600))
		front := countCalls(t, s)
		_, err := newResolver(t, opts).Resolve(t.Context(),
			reference(t, front.url, "secret", "app/db", "password", ""))
		s.refused(t, err, secretref.ErrUnauthenticated, "Vault refuses the login of VaultOptions.Auth")
		require.Equal(t, 1, front.takeCount(""))

		require.NoError(t, os.Remove(file))
		_, err = newResolver(t, opts).Resolve(t.Context(),
			reference(t, front.url, "secret", "app/db", "password", ""))
		s.refused(t, err, secretref.ErrUnauthenticated, "VaultOptions.Auth failed before it called Vault")
		require.ErrorIs(t, err, os.ErrNotExist)
		require.Zero(t, front.takeCount(""))
	})
}

func TestDeniedPath_makesNoLoginPerRead(t *testing.T) {
	const elsewhere = `path "secret/data/other" { capabilities = ["read"] }`
	bothServers(t, func(t *testing.T, s *server) {
		pod := s.kubernetes(t, elsewhere, jwt(t, nil))
		method, _ := s.appRole(t, elsewhere, `"token_ttl":"1h"`)
		for auth, opts := range map[string]*secretref.Options{"KUBERNETES": pod, "TOKEN": method} {
			front := countCalls(t, s)
			r := newResolver(t, opts)
			for range 100 {
				_, err := r.Resolve(t.Context(), reference(t, front.url, "secret", "app/db", "password", auth))
				require.ErrorIs(t, err, secretref.ErrDenied)
			}
			require.LessOrEqual(t, front.takeCount("/login"), 5)
		}
	})
}

// Twenty concurrent reads need twenty tokens if each token can be used once.
func TestTokenUses_oneUseEach(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"x"}`)
		pod := s.kubernetes(t, readAll, jwt(t, nil))
		s.must(t, "POST", "auth/clusters/one/role/app", `{"token_num_uses":1}`)
		method, _ := s.appRole(t, readAll, `"token_ttl":"1h","token_num_uses":1`)
		for auth, opts := range map[string]*secretref.Options{"KUBERNETES": pod, "TOKEN": method} {
			front := countCalls(t, s)
			r := newResolver(t, opts)
			var readers sync.WaitGroup
			for i := range 20 {
				path := fmt.Sprint("app/", i)
				s.put(t, path, `{"password":"x"}`)
				readers.Go(func() {
					_, err := r.Resolve(t.Context(), reference(t, front.url, "secret", path, "password", auth))
					assert.NoError(t, err, auth)
				})
			}
			readers.Wait()
			require.Equal(t, 20, front.takeCount("/login"), auth)
		}
	})
}

// No other request consumes a use of the token.
func TestTokenUses_twoReads(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"x"}`)
		r := withToken(t, s.leased(t, `"num_uses":2`))
		for range 2 {
			_, err := r.Resolve(t.Context(), s.ref(t, "app/db", "password"))
			require.NoError(t, err)
		}
		_, err := r.Resolve(t.Context(), s.ref(t, "app/db", "password"))
		require.ErrorIs(t, err, secretref.ErrUnauthenticated)
	})
}

// A Vault Agent adds its token to requests that have none and accepts only such requests.
func TestNoToken_agentAddsToken(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"x"}`)
		own := s.leased(t, `"ttl":"1h"`)
		target, err := url.Parse(s.URL)
		require.NoError(t, err)
		var sent, adds atomic.Bool
		adds.Store(true)
		agent := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if _, ok := r.In.Header["X-Vault-Token"]; ok {
				sent.Store(true)
			}
			if adds.Load() {
				r.Out.Header.Set("X-Vault-Token", own)
			}
		}})
		t.Cleanup(agent.Close)
		r := newResolver(t, &secretref.Options{Vault: secretref.VaultOptions{NoToken: true}})
		got, err := r.Resolve(t.Context(), reference(t, agent.URL, "secret", "app/db", "password", ""))
		require.NoError(t, err)
		require.Equal(t, "x", got.Reveal())
		_, err = r.Resolve(t.Context(), reference(t, agent.URL, "other", "app/db", "password", ""))
		s.refused(t, err, secretref.ErrDenied, "other/data/app/db", own)
		adds.Store(false)
		_, err = r.Resolve(t.Context(), reference(t, agent.URL, "secret", "app/db", "password", ""))
		s.refused(t, err, secretref.ErrUnauthenticated, "use_auto_auth_token", own)
		require.False(t, sent.Load())
	})
}

// When a token is refused, the next one is requested from the function.
func TestTokenUses_tokenFunction(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"x"}`)
		s.mint(t, "reader", readAll)
		r := newResolver(t,
			&secretref.Options{Vault: secretref.VaultOptions{Token: func(context.Context) (string, error) {
				return s.leased(t, `"num_uses":1`), nil
			}}})
		for range 3 {
			_, err := r.Resolve(t.Context(), s.ref(t, "app/db", "password"))
			require.NoError(t, err)
		}
	})
}
