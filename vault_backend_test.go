package secretref_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/backend/backendtest"
	"github.com/seed74218947/secretref/internal/test/fakevault"
)

// vaultBackend is Vault in the conformance suite.
func vaultBackend() backendtest.Backend {
	return backendtest.Backend{
		Start: func(t testing.TB) *backendtest.Server {
			t.Setenv("AWS_PROFILE", "missing") // Vault references do not load AWS configuration
			return vaultServer(vaultFake(t), openFor(nil))
		},
		StartInProcess: func(t testing.TB) *backendtest.Server {
			vaultEnv(t)
			s := fakevault.NewInProcess()
			var latency time.Duration // the fake is created outside of the bubble
			made := vaultServer(s, openOver(func(o *secretref.Options) *secretref.Resolver {
				o.Vault.Token = func(context.Context) (string, error) { return s.RootToken(), nil }
				return secretref.NewOver(roundTripper(func(r *http.Request) (*http.Response, error) {
					time.Sleep(latency)
					return s.RoundTrip(r)
				}), o)
			}))
			made.Latency = func(d time.Duration) { latency = d }
			return made
		},
		Transient: vaultTransient(),
		Refusals:  vaultRefusals(),
		Odd: map[string]backendtest.Answer{
			"307 of a standby to another host": {Status: 307,
				Header: map[string]string{"Location": "http://10.255.255.1:8200/v1/x"}},
			"302 to a maintenance page": {Status: 302,
				Header: map[string]string{"Location": "https://sorry.example.com/"}},
			"404 of a gateway":   {Status: 404, Body: `{"message":"no route"}`},
			"403 of a gateway":   {Status: 403, Body: `{"message":"Forbidden"}`},
			"401 of a gateway":   {Status: 401, Body: `{"message":"Unauthorized"}`},
			"404 without a body": {Status: 404},
			"403 page":           {Status: 403, Body: "<html>blocked"},
		},
		DeadConnections: map[string]func(testing.TB) backendtest.Listener{
			"HTTP/2": vaultListener(true), "HTTP/1.1": vaultListener(false),
		},
		RequireSilent: requireSilent,
		Canary:        canary,
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func vaultServer(s *fakevault.Server, open openFunc) *backendtest.Server {
	at := func(endpoint, name string) string { return vaultValue(endpoint, name, "k") }
	return &backendtest.Server{
		URL:       s.URL(),
		Put:       func(name, value string) { s.Put("secret", name, map[string]any{"k": value}) },
		Reference: func(name string) string { return at(s.URL(), name) },
		At:        at,
		Intercept: s.Intercept, Latency: s.Latency, Calls: s.Calls, ResetCalls: s.ResetCalls,
		Close: s.Close,
		Open:  open, Fake: s,
	}
}

func vaultListener(http2 bool) func(testing.TB) backendtest.Listener {
	return func(t testing.TB) backendtest.Listener {
		vaultEnv(t)
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, kvBody)
		}))
		s.EnableHTTP2 = http2
		s.StartTLS()
		t.Cleanup(s.Close)
		t.Setenv(vaultTokenVariable, "tok")
		t.Setenv("VAULT_CACERT", pemFile(t, s))
		return backendtest.Listener{Address: s.Listener.Addr().String(), Open: openFor(nil),
			Reference: func(address string) string { return vaultValue("https://"+address, "a", "k") }}
	}
}

func vaultTransient() map[string]func(*backendtest.Server) {
	failures := map[string]func(*backendtest.Server){}
	for _, status := range []int{408, 412, 429, 472, 473, 500, 502, 503, 504} {
		failures[fmt.Sprint(status)] = func(s *backendtest.Server) {
			s.Fake.(*fakevault.Server).Fail(1, status, nil, "try later")
		}
	}
	failures["upgrade of the mount"] = func(s *backendtest.Server) {
		s.Fake.(*fakevault.Server).Fail(1, http.StatusBadRequest, nil,
			"Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period")
	}
	return failures
}

func vaultRefusals() map[string]backendtest.Refusal {
	prepare := func(t *testing.T, s *fakevault.Server) (tokens map[string]string) {
		for _, path := range []string{"deleted", "destroyed", "closed"} {
			s.Put("secret", path, map[string]any{"k": canary})
		}
		vaultCall(t, s, "DELETE", "secret/data/deleted", "")
		vaultCall(t, s, "PUT", "secret/destroy/destroyed", `{"versions":[1]}`)
		for _, path := range []string{"kv1", "team/old"} {
			vaultCall(t, s, "POST", "sys/mounts/"+path, `{"type":"kv"}`)
			s.Put(path, "db", map[string]any{"k": canary})
			s.Put(path, "data/flat", map[string]any{"k": canary})
			s.Put(path, "data/deep", map[string]any{"data": map[string]any{"k": canary}})
		}
		all := vaultMint(t, s, "all", `path "*" { capabilities = ["read"] }`)
		some := vaultMint(t, s, "some", `path "secret/data/deleted" { capabilities = ["read"] }`)
		revoked := vaultMint(t, s, "reader", vaultReadAll)
		vaultCall(t, s, "PUT", "auth/token/revoke", `{"token":"`+revoked+`"}`)
		return map[string]string{"all": all, "some": some, "revoked": revoked, "unknown": "hvs." + canary}
	}
	refusals := map[string]backendtest.Refusal{}
	for _, c := range []struct {
		token, mount, path string
		kind               error
		words              string
	}{
		{"all", "secret", "missing", secretref.ErrNotFound,
			`no secret at path "missing" in mount "secret"`},
		{"all", "secret", "data/db", secretref.ErrNotFound, `without the mount and without "data/"`},
		{"all", "secret", "secret/db", secretref.ErrNotFound, `without the mount and without "data/"`},
		{"all", "secret/data", "db", secretref.ErrNotFound, `the mount's path is only "secret"`},
		{"all", "secret", "deleted", secretref.ErrNotFound,
			"was deleted (" + time.Now().UTC().Format("2006-01-02")},
		{"all", "secret", "destroyed", secretref.ErrNotFound, "was destroyed"},
		{"all", "nosuch", "db", secretref.ErrNotFound, `no secrets engine at mount "nosuch"`},
		{"all", "kv1", "db", secretref.ErrUnsupported, `mount "kv1" is a KV version 1 engine`},
		{"all", "team/old", "db", secretref.ErrUnsupported, `"vault kv enable-versioning team/old"`},
		{"all", "kv1", "flat", secretref.ErrUnsupported, "KV version 1"},
		{"all", "kv1", "deep", secretref.ErrUnsupported, "KV version 1"},
		{"all", "sys", "db", secretref.ErrUnsupported, `mount "sys" is not a key/value engine`},
		{"some", "secret", "closed", secretref.ErrDenied,
			`path "secret/data/closed" { capabilities = ["read"] }`},
		{"some", "nosuch", "db", secretref.ErrDenied, "or the mount does not exist"},
		{"revoked", "secret", "closed", secretref.ErrUnauthenticated, "was revoked"},
		{"unknown", "secret", "closed", secretref.ErrUnauthenticated, "renew " + vaultTokenVariable},
	} {
		refusals[c.token+" "+c.mount+" "+c.path] = backendtest.Refusal{Kind: c.kind,
			Text: []string{c.words},
			Prepare: func(t *testing.T, made *backendtest.Server) string {
				token := prepare(t, made.Fake.(*fakevault.Server))[c.token]
				t.Setenv(vaultTokenVariable, token)
				made.Token = token
				return secretref.VaultReference{Mount: c.mount, Path: c.path, Key: "k",
					Endpoint: made.URL}.String()
			}}
	}
	return refusals
}
