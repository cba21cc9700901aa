package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// canary is in every secret that no test expects to see.
const canary = "canary-1f7c"

// reference returns a reference as it is written in a configuration file.
func reference(t *testing.T, endpoint, mount, path, key, auth string) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{
		"mount": mount, "path": path, "key": key, "endpoint": endpoint,
		"authenticationType": cmp.Or(auth, "TOKEN"),
	})
	require.NoError(t, err)
	return "{ENC}" + string(text)
}

// ref returns the reference to a key in the mount secret, for authentication with a token.
func (s *server) ref(t *testing.T, path, key string) string {
	t.Helper()
	return reference(t, s.URL, "secret", path, key, "")
}

// withToken returns a Resolver that authenticates with the token.
func withToken(t *testing.T, token string) *secretref.Resolver {
	t.Helper()
	return newResolver(t, &secretref.Options{Vault: secretref.VaultOptions{
		Token: func(context.Context) (string, error) { return token, nil },
	}})
}

// newResolver returns a Resolver that is closed when the test ends. By default it caches nothing.
func newResolver(t *testing.T, opts *secretref.Options) *secretref.Resolver {
	t.Helper()
	if opts == nil {
		opts = &secretref.Options{}
	}
	opts.TTL = cmp.Or(opts.TTL, -1)
	r := secretref.New(opts)
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	return r
}

// refused checks that err is of the kind and contains the words, but no secret, neither the root
// token nor one of tokens.
func (s *server) refused(t *testing.T, err, kind error, words string, tokens ...string) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	require.Contains(t, err.Error(), words)
	require.NotContains(t, err.Error(), canary)
	for _, token := range append(tokens, s.RootToken) {
		require.NotContains(t, err.Error(), token)
	}
}

const readAll = `path "secret/data/*" { capabilities = ["read"] }`

func TestResolve_kindsOfValues(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db",
			`{"text":"pa\"ss wörd\u2028<&>","empty":"","port":5432,"minus":-1.5e-7,"yes":true,"no":false,
			"a/b~c":"slash","":"nameless","null":null,"list":["`+canary+`"],"object":{"password":"`+canary+`"}}`)
		token := s.mint(t, "reader", readAll)
		r := withToken(t, token)
		for key, want := range map[string]string{
			"text": "pa\"ss wörd\u2028<&>", "empty": "", "port": "5432", "minus": "-1.5e-7", "yes": "true",
			"no":    "false",
			"a/b~c": "slash",
		} {
			got, err := r.Resolve(t.Context(), s.ref(t, "app/db", key))
			require.NoError(t, err, key)
			require.Equal(t, want, got.Reveal(), key)
		}
		for _, key := range []string{"null", "list", "object", "missing", "Text", "object/password"} {
			_, err := r.Resolve(t.Context(), s.ref(t, "app/db", key))
			s.refused(t, err, secretref.ErrPointer, key, token)
		}
	})
}

// Vault itself rounds the numbers in KV version 2. The library returns exactly the text it
// receives.
func TestResolve_numbers(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "numbers", `{"long":12345678901234567890,"price":1.50}`)
		r := withToken(t, s.RootToken)
		for key, want := range map[string]string{"long": "12345678901234567000", "price": "1.5"} {
			got, err := r.Resolve(t.Context(), s.ref(t, "numbers", key))
			require.NoError(t, err)
			require.Equal(t, want, got.Reveal())
		}
	})
}

func TestResolve_newestVersion(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		for _, password := range []string{"first", "second"} {
			s.put(t, "app/db", `{"password":"`+password+`"}`)
		}
		got, err := withToken(t, s.RootToken).Resolve(t.Context(), s.ref(t, "app/db", "password"))
		require.NoError(t, err)
		require.Equal(t, "second", got.Reveal())
	})
}

func TestResolve_charactersInPaths(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		r := withToken(t, s.RootToken)
		for _, path := range []string{"a b", "a?b=c", "a#b", "100%", "%2e%2e", "a+b", "é/ü",
			"a;b@c:d,e'f(g)*", "..a", "a&b=c"} {
			segments := strings.Split(path, "/")
			for i := range segments {
				segments[i] = url.PathEscape(segments[i])
			}
			s.put(t, strings.Join(segments, "/"), `{"password":"of `+path+`"}`)
			got, err := r.Resolve(t.Context(), s.ref(t, path, "password"))
			require.NoError(t, err, path)
			require.Equal(t, "of "+path, got.Reveal())
		}
	})
}

func TestResolve_notFound(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		for _, path := range []string{"deleted", "destroyed"} {
			s.put(t, path, `{"password":"old `+canary+`"}`)
			s.put(t, path, `{"password":"new `+canary+`"}`)
		}
		s.must(t, "DELETE", "secret/data/deleted", "")
		s.must(t, "POST", "secret/destroy/destroyed", `{"versions":[2]}`)
		s.put(t, "nothing", `null`)
		token := s.mint(t, "reader", readAll+` path "nosuch/*" { capabilities = ["read"] }`)
		r := withToken(t, token)
		for path, words := range map[string]string{
			"missing":   `no secret at path "missing"`,
			"deleted":   "was deleted (20",
			"destroyed": "was destroyed",
			"nothing":   "is empty",
		} {
			_, err := r.Resolve(t.Context(), s.ref(t, path, "password"))
			s.refused(t, err, secretref.ErrNotFound, words, token)
		}
		_, err := r.Resolve(t.Context(), reference(t, s.URL, "nosuch", "app", "password", ""))
		s.refused(t, err, secretref.ErrNotFound, `no secrets engine at mount "nosuch"`, token)
	})
}

func TestResolve_denied(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"`+canary+`"}`)
		for name, policy := range map[string]string{
			"elsewhere":  `path "secret/data/other" { capabilities = ["read"] }`,
			"nodata":     `path "secret/app/db" { capabilities = ["read"] }`,
			"incapable":  `path "secret/data/app/db" { capabilities = ["list"] }`,
			"overridden": readAll + ` path "secret/data/app/db" { capabilities = ["deny"] }`,
		} {
			token := s.mint(t, name, policy)
			_, err := withToken(t, token).Resolve(t.Context(), s.ref(t, "app/db", "password"))
			s.refused(t, err, secretref.ErrDenied,
				`path "secret/data/app/db" { capabilities = ["read"] }`, token)
			require.NotErrorIs(t, err, secretref.ErrUnauthenticated)
		}
	})
}

func TestResolve_unauthenticated(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"`+canary+`"}`)
		revoked := s.mint(t, "reader", readAll)
		s.must(t, "POST", "auth/token/revoke", `{"token":"`+revoked+`"}`)
		for _, token := range []string{revoked, "hvs.garbage"} {
			_, err := withToken(t, token).Resolve(t.Context(), s.ref(t, "app/db", "password"))
			s.refused(t, err, secretref.ErrUnauthenticated, "SECRET_STORE_VAULT_TOKEN", token)
			require.NotErrorIs(t, err, secretref.ErrDenied)
		}
	})
}

func TestResolve_tokenVariable(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"x"}`)
		r := newResolver(t, nil)
		t.Setenv("SECRET_STORE_VAULT_TOKEN", "")
		t.Setenv("VAULT_TOKEN", s.RootToken)
		_, err := r.Resolve(t.Context(), s.ref(t, "app/db", "password"))
		s.refused(t, err, secretref.ErrUnauthenticated, "VAULT_TOKEN is set")

		t.Setenv("SECRET_STORE_VAULT_TOKEN", s.mint(t, "reader", readAll))
		got, err := r.Resolve(t.Context(), s.ref(t, "app/db", "password"))
		require.NoError(t, err)
		require.Equal(t, "x", got.Reveal())
	})
}

func TestResolve_sealed(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"x"}`)
		token := s.mint(t, "reader", readAll)
		r := withToken(t, token)
		s.seal()
		// Only this call has a short deadline: the others need more time on a slow machine.
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := r.Resolve(ctx, s.ref(t, "app/db", "password"))
		s.refused(t, err, secretref.ErrUnavailable, "", token)

		// If Retry-After is longer than the time left, the call fails at once and says why.
		front := countCalls(t, s)
		front.answer = func(resp *http.Response) error {
			resp.Header.Set("Retry-After", "3600")
			return nil
		}
		_, err = withToken(t, token).Resolve(t.Context(),
			reference(t, front.url, "secret", "app/db", "password", ""))
		s.refused(t, err, secretref.ErrUnavailable, "is sealed", token)
		require.Len(t, front.take(), 1)

		s.unseal()
		got, err := r.Resolve(t.Context(), s.ref(t, "app/db", "password"))
		require.NoError(t, err)
		require.Equal(t, "x", got.Reveal())
	})
}

func TestResolve_kvVersion1(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.must(t, "POST", "sys/mounts/team/kv", `{"type":"kv"}`)
		s.must(t, "POST", "sys/mounts/explicit", `{"type":"kv","options":{"version":"1"}}`)
		token := s.mint(t, "reader",
			`path "+/data/*" { capabilities = ["read"] } path "team/*" { capabilities = ["read"] }`)
		r := withToken(t, token)
		for _, mount := range []string{"team/kv", "explicit"} {
			s.must(t, "POST", mount+"/app/db", `{"password":"`+canary+`"}`)
			// The path data/app/db of version 1 looks like app/db of version 2.
			s.must(t, "POST", mount+"/data/lookalike", `{"data":{"password":"`+canary+`"}}`)
			s.must(t, "POST", mount+"/data/flat", `{"password":"`+canary+`"}`)
			for _, path := range []string{"app/db", "lookalike", "flat", "missing"} {
				_, err := r.Resolve(t.Context(), reference(t, s.URL, mount, path, "password", ""))
				s.refused(t, err, secretref.ErrUnsupported, "KV version 1", token)
			}
		}
	})
}

func TestResolveAll_oneReadPerSecret(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"user":"u","password":"x"}`)
		front := countCalls(t, s)
		got, err := withToken(t, s.RootToken).ResolveAll(t.Context(),
			reference(t, front.url, "secret", "app/db", "user", ""),
			reference(t, front.url, "secret", "app/db", "password", ""))
		require.NoError(t, err)
		require.Equal(t, []string{"u", "x"}, []string{got[0].Reveal(), got[1].Reveal()})
		require.Equal(t, []string{"GET /v1/secret/data/app/db"}, front.take())
	})
}
