package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// kubernetes sets up a login at auth/clusters/one for the account app-sa in the namespace prod,
// with the policy reader. It returns the options of a Resolver that logs in with the JWT.
func (s *server) kubernetes(t *testing.T, policy, jwt string) *secretref.Options {
	t.Helper()
	s.mint(t, "reader", policy)
	s.must(t, "POST", "sys/auth/clusters/one", `{"type":"kubernetes"}`)
	s.must(t, "POST", "auth/clusters/one/config", startCluster(t).config(t))
	s.must(t, "POST", "auth/clusters/one/role/app", `{"bound_service_account_names":["app-sa"],
		"bound_service_account_namespaces":["prod"],"audience":"vault","token_policies":["reader"],"token_ttl":"1h"}`)
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(jwt+"\n"), 0o600))
	return &secretref.Options{Vault: secretref.VaultOptions{Role: "app", AuthPath: "clusters/one",
		JWTPath: file}}
}

func TestKubernetes_oneLoginForAllReads(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"x"}`)
		s.put(t, "app/ldap", `{"password":"y"}`)
		r := newResolver(t, s.kubernetes(t, readAll, jwt(t, nil)))
		front := countCalls(t, s)
		var values []string
		for _, path := range []string{"app/db", "app/ldap"} {
			values = append(values, reference(t, front.url, "secret", path, "password", "KUBERNETES"))
		}
		got, err := r.ResolveAll(t.Context(), values...)
		require.NoError(t, err)
		require.Equal(t, []string{"x", "y"}, []string{got[0].Reveal(), got[1].Reveal()})
		require.ElementsMatch(t, []string{
			"PUT /v1/auth/clusters/one/login", "GET /v1/secret/data/app/db", "GET /v1/secret/data/app/ldap",
		}, front.take())

		// A token that is revoked is replaced.
		s.must(t, "POST", "auth/token/revoke", `{"token":"`+front.lastToken()+`"}`)
		again, err := r.Resolve(t.Context(),
			reference(t, front.url, "secret", "app/new", "password", "KUBERNETES"))
		s.refused(t, err, secretref.ErrNotFound, "app/new", jwt(t, nil))
		require.True(t, again.IsZero())
		calls := front.take()
		require.Equal(t, []string{
			"GET /v1/secret/data/app/new", "PUT /v1/auth/clusters/one/login", "GET /v1/secret/data/app/new",
		}, calls[:3])
	})
}

func TestKubernetes_refusedLogin(t *testing.T) {
	for name, c := range map[string]struct {
		jwt   func(t *testing.T) string
		role  string
		words string
	}{
		"wrong namespace": {func(t *testing.T) string {
			return jwt(t, func(c *claims) { c.Kubernetes.Namespace = "dev" })
		}, "app", "bound_service_account_namespaces"},
		"wrong account": {func(t *testing.T) string {
			return jwt(t, func(c *claims) { c.Kubernetes.Account.Name = "other" })
		}, "app", "bound_service_account_names"},
		"wrong audience": {func(t *testing.T) string {
			return jwt(t, func(c *claims) { c.Audience = []string{"elsewhere"} })
		}, "app", "audience"},
		"refused by the cluster": {func(t *testing.T) string { return forged(jwt(t, nil)) }, "app",
			"auth/clusters/one"},
		"not a JWT": {func(*testing.T) string { return "not-a-jwt-at-all" }, "app",
			"auth/clusters/one"},
		"no such role": {func(t *testing.T) string { return jwt(t, nil) }, "nosuch",
			`no role "nosuch"`},
	} {
		t.Run(name, func(t *testing.T) {
			bothServers(t, func(t *testing.T, s *server) {
				s.put(t, "app/db", `{"password":"`+canary+`"}`)
				token := c.jwt(t)
				opts := s.kubernetes(t, readAll, token)
				opts.Vault.Role = c.role
				_, err := newResolver(t, opts).Resolve(t.Context(),
					reference(t, s.URL, "secret", "app/db", "password", "KUBERNETES"))
				s.refused(t, err, secretref.ErrUnauthenticated, c.words, token)
			})
		})
	}
}

func TestKubernetes_denied(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"`+canary+`"}`)
		opts := s.kubernetes(t, `path "secret/data/other" { capabilities = ["read"] }`, jwt(t, nil))
		_, err := newResolver(t, opts).Resolve(t.Context(),
			reference(t, s.URL, "secret", "app/db", "password", "KUBERNETES"))
		s.refused(t, err, secretref.ErrDenied, `path "secret/data/app/db" { capabilities = ["read"] }`,
			jwt(t, nil))
	})
}
