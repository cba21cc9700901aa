package secretref_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakevault"
)

const vaultTokenVariable = "SECRET_STORE_VAULT_TOKEN"

// vaultEnv removes the Vault settings of this machine.
func vaultEnv(t testing.TB) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "VAULT_") ||
			strings.HasPrefix(name, "SECRET_STORE_VAULT_") {
			t.Setenv(name, "")
		}
	}
}

// vaultFake starts a fake Vault and sets the environment to its root token.
func vaultFake(t testing.TB) *fakevault.Server {
	vaultEnv(t)
	s := fakevault.New()
	t.Cleanup(s.Close)
	t.Setenv(vaultTokenVariable, s.RootToken())
	return s
}

// vaultCall sends a request with the root token and returns the body of the response.
func vaultCall(t testing.TB, s *fakevault.Server, method, path, body string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL()+"/v1/"+path,
		strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("X-Vault-Token", s.RootToken())
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var answer bytes.Buffer
	_, err = answer.ReadFrom(resp.Body)
	require.NoError(t, err)
	require.Less(t, resp.StatusCode, 300, "%s %s: %s", method, path, answer.String())
	s.ResetCalls()
	return answer.Bytes()
}

// vaultMint stores a policy under a name and returns a token with it.
func vaultMint(t testing.TB, s *fakevault.Server, name, policy string) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{"policy": policy})
	require.NoError(t, err)
	vaultCall(t, s, "PUT", "sys/policies/acl/"+name, string(text))
	var made struct {
		Auth struct {
			Token string `json:"client_token"`
		}
	}
	require.NoError(t,
		json.Unmarshal(vaultCall(t, s, "POST", "auth/token/create", `{"policies":["`+name+`"]}`), &made))
	return made.Auth.Token
}

const vaultReadAll = `path "secret/*" { capabilities = ["read"] }`

// vaultValue returns a reference into the mount secret.
func vaultValue(endpoint, path, key string) string {
	return secretref.VaultReference{Mount: "secret", Path: path, Key: key, Endpoint: endpoint}.String()
}

// vaultResolver returns a Resolver that is closed after the test. By default, nothing is
// cached.
func vaultResolver(t testing.TB, opts *secretref.Options) *secretref.Resolver {
	if opts == nil {
		opts = &secretref.Options{}
	}
	opts.TTL = cmp.Or(opts.TTL, -1)
	r := secretref.New(opts)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// vaultIntercept makes s answer each call with the status and the body.
func vaultIntercept(s *fakevault.Server, status int, body string) {
	s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	})
}

// vaultSecret returns the response for a secret with the data.
func vaultSecret(data string) string {
	return `{"data":{"data":` + data +
		`,"metadata":{"version":1,"destroyed":false,"deletion_time":""}}}`
}

func TestVaultValues(t *testing.T) {
	s := vaultFake(t)
	s.Put("secret", "db", map[string]any{
		"password": "pä\u2028\"\\ \x00ss", "port": json.RawMessage("12345678901234567890.50"),
		"e":   json.RawMessage("1E+3"),
		"yes": true, "no": false, "empty": "", "a/b": "slash", "~x": "tilde", "~1": "escape",
		"two words": "space", "schlüssel": "unicode", "": "nameless",
		"null": nil, "object": map[string]any{"password": canary}, "array": []string{canary},
		"sibling": canary,
	})
	var log bytes.Buffer
	r := vaultResolver(t, &secretref.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for key, want := range map[string]string{
		"password": "pä\u2028\"\\ \x00ss", "port": "12345678901234567890.50", "e": "1E+3", "yes": "true",
		"no":  "false",
		"a/b": "slash", "~x": "tilde", "~1": "escape", "two words": "space", "schlüssel": "unicode",
	} {
		got, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", key))
		require.NoError(t, err, key)
		require.Equal(t, want, got.Reveal(), key)
	}
	require.NotContains(t, log.String(), "WARN")

	got, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", "empty"))
	require.NoError(t, err)
	require.Empty(t, got.Reveal())
	require.Contains(t, log.String(), "the secret is empty")

	for _, key := range []string{"null", "object", "array", "missing", "Password", "object/password",
		"array/0"} {
		_, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", key))
		require.ErrorIs(t, err, secretref.ErrPointer, key)
		require.Contains(t, err.Error(), fmt.Sprintf("key %q", key))
		require.NotContains(t, err.Error(), canary)
	}
}

func TestVaultAnswers(t *testing.T) {
	s := vaultFake(t)
	r := vaultResolver(t, &secretref.Options{Timeout: time.Minute})
	for body, want := range map[string]string{
		vaultSecret(`{"k":"first","k":"last"}`): "last",
		`{"data":{"data":{"k":"first"}},"data":{"data":{"k":"x"},"data":{"k":"last"},"metadata":{"version":1}}}`: "last",
		" \n" + vaultSecret(`{"k":"\ud83d\ude00"}`) +
			"\n": "\U0001f600",
	} {
		vaultIntercept(s, http.StatusOK, body)
		got, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", "k"))
		require.NoError(t, err, body)
		require.Equal(t, want, got.Reveal())
	}
	whole := vaultSecret(`{"k":"` + canary + `"}`)
	const html = "<!DOCTYPE html><title>Sign in " + canary + "</title>"
	for _, c := range []struct {
		status int
		body   string
		kind   error
		words  string
	}{
		{200, vaultSecret("{\"k\":\"" + canary + "\xff\"}"), secretref.ErrUnavailable, "invalid UTF-8"},
		{200, vaultSecret(`{"k":"x","other":"\ud800` + canary + `"}`), secretref.ErrUnavailable,
			"surrogate"},
		{200, whole + whole, secretref.ErrUnavailable, "more text after"},
		{200, whole[:len(whole)-1], secretref.ErrUnavailable, "unexpected end"},
		{200, "", secretref.ErrUnavailable, "not in Vault's JSON"},
		{200, html, secretref.ErrUnavailable, "a login page"},
		{403, html, secretref.ErrUnavailable, "a login page"},
		{404, html, secretref.ErrUnavailable, "a login page"},
		{401, html, secretref.ErrUnavailable, "a login page"},
		{204, "", secretref.ErrUnavailable, "status 204"},
		{303, html, secretref.ErrUnavailable, "status 303"},
		{307, "", secretref.ErrUnavailable, "without a usable redirect"},
		{200, `{"k":"` + canary + `"}`, secretref.ErrUnavailable, "not Vault's"},
		{200, `["` + canary + `"]`, secretref.ErrUnavailable, "not Vault's"},
		{200, `null`, secretref.ErrUnavailable, "not Vault's"},
		{200, `{"data":null,"wrap_info":{"token":"` + canary + `"}}`, secretref.ErrUnavailable,
			"not Vault's"},
		{200, `{"data":"` + canary + `"}`, secretref.ErrUnavailable, "not Vault's"},
		{200, `{"data":{"k":"` + canary + `"}}`, secretref.ErrUnsupported, "KV version 1"},
		{200, `{"data":{"data":{"k":"` + canary + `"}}}`, secretref.ErrUnsupported, "KV version 1"},
		{200, vaultSecret(`"` + canary + `"`), secretref.ErrUnsupported, "KV version 1"},
		{418, `{"errors":["` + canary + `"]}`, secretref.ErrUnsupported, "status 418"},
		{400, `{"errors":["` + canary + `"]}`, secretref.ErrUnsupported, "status 400"},
		{401, `{"errors":["` + canary + `"]}`, secretref.ErrUnauthenticated,
			"renew " + vaultTokenVariable},
	} {
		vaultIntercept(s, c.status, c.body)
		s.ResetCalls()
		_, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", "k"))
		require.ErrorIs(t, err, c.kind, "%d %s", c.status, c.body)
		require.Contains(t, err.Error(), c.words)
		requireSilent(t, err)
		require.Equal(t, 1, s.Calls(), "the failure is permanent: %s", c.body)
	}
}

func TestVaultPath(t *testing.T) {
	vaultEnv(t)
	t.Setenv(vaultTokenVariable, "t")
	var uri string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uri = r.RequestURI
		_, _ = w.Write([]byte(vaultSecret(`{"k":"v"}`)))
	}))
	defer web.Close()
	r := vaultResolver(t, nil)
	for _, c := range []struct{ base, mount, path, want string }{
		{"", "secret", "sample/secret", "/v1/secret/data/sample/secret"},
		{"/", "secret", "db", "/v1/secret/data/db"},
		{"/vault", "team/kv", "a b", "/vault/v1/team/kv/data/a%20b"},
		{"/a/b/", "secret", "db", "/a/b/v1/secret/data/db"},
		{"/a%2Fb/c%20d", "secret", "x?", "/a%2Fb/c%20d/v1/secret/data/x%3F"},
		{"", "s?x=y", "a#b", "/v1/s%3Fx=y/data/a%23b"},
		{"", "%2F", "100%/a%2Fb", "/v1/%252F/data/100%25/a%252Fb"},
		{"", "a+b", "c&d;e:f@g", "/v1/a+b/data/c&d;e:f@g"},
		{"", "größe", "日本/..a/...", "/v1/gr%C3%B6%C3%9Fe/data/%E6%97%A5%E6%9C%AC/..a/..."},
		{"", "data", "data/data", "/v1/data/data/data/data"},
		{"", "secret", "http://evil", ""},
		{"", "secret", "a/../b", ""},
		{"", "secret", "./b", ""},
		{"", "secret/", "b", ""},
		{"//x", "secret", "b", ""},
		{"/..", "secret", "b", ""},
	} {
		uri = ""
		ref := secretref.VaultReference{Mount: c.mount, Path: c.path, Key: "k",
			Endpoint: web.URL + c.base}
		_, err := r.ResolveReference(t.Context(), ref)
		require.Equal(t, c.want, uri, "%v: %v", ref, err)
		if c.want == "" {
			require.ErrorIs(t, err, secretref.ErrSyntax)
		} else {
			require.NoError(t, err)
		}
	}
	_, err := r.ResolveReference(t.Context(),
		secretref.VaultReference{Mount: "m", Path: "p", Key: "k", Endpoint: web.URL,
			AuthenticationType: 7})
	require.ErrorIs(t, err, secretref.ErrSyntax)
}

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

func TestVaultEnvironment(t *testing.T) {
	s := vaultFake(t)
	s.Put("secret", "db", map[string]any{"k": "v"})
	var trapped atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter,
		*http.Request) {
		trapped.Add(1)
	}))
	defer trap.Close()
	for name, value := range map[string]string{
		"VAULT_ADDR": trap.URL, "VAULT_AGENT_ADDR": trap.URL, "VAULT_PROXY_ADDR": trap.URL,
		"VAULT_HTTP_PROXY": trap.URL,
		"VAULT_TOKEN":      "trap\x01", "VAULT_MAX_RETRIES": "9", "VAULT_SRV_LOOKUP": "true",
		"VAULT_RATE_LIMIT":     "0.1:1",
		"VAULT_CLIENT_TIMEOUT": "1ns", "VAULT_DISABLE_REDIRECTS": "false", "VAULT_WRAP_TTL": "5m",
		"VAULT_MFA": "trap",
	} {
		t.Setenv(name, value)
	}
	r := vaultResolver(t, nil)
	start := time.Now()
	for range 10 {
		got, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", "k"))
		require.NoError(t, err)
		require.Equal(t, "v", got.Reveal())
	}
	require.Less(t, time.Since(start), time.Minute, "at VAULT_RATE_LIMIT, it takes 90 seconds")
	require.Zero(t, trapped.Load())
	for _, call := range s.Requests() {
		require.Equal(t, s.RootToken(), call.Token)
		require.NotContains(t, fmt.Sprint(call.Header), "Wrap")
	}
	s.ResetCalls()
	s.Fail(1, http.StatusInternalServerError, http.Header{"Retry-After": {"60"}})
	_, err := r.Resolve(t.Context(), vaultValue(s.URL(), "db", "k"))
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.Equal(t, 1, s.Calls(), "the Vault client does not retry")
}

func TestVaultNamespace(t *testing.T) {
	s := vaultFake(t)
	s.Put("secret", "db", map[string]any{"k": "v"})
	for _, c := range []struct{ variable, option, want string }{{"", "", ""}, {"env", "", "env"},
		{"env", "option", "option"}} {
		t.Setenv("VAULT_NAMESPACE", c.variable)
		s.ResetCalls()
		_, err := vaultResolver(t,
			&secretref.Options{Vault: secretref.VaultOptions{Namespace: c.option}}).Resolve(t.Context(),
			vaultValue(s.URL(), "db", "k"))
		require.NoError(t, err)
		require.Equal(t, c.want, s.Requests()[0].Namespace)
	}
}

func TestVaultTLS(t *testing.T) {
	vaultEnv(t)
	s := fakevault.NewTLS()
	defer s.Close()
	s.Put("secret", "db", map[string]any{"k": "v"})
	t.Setenv(vaultTokenVariable, s.RootToken())
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, s.CertPEM(), 0o600))
	resolve := func(endpoint string) (string, int, error) {
		attempts := 0
		r := vaultResolver(t,
			&secretref.Options{OnFetch: func(e secretref.FetchEvent) { attempts = e.Attempts }})
		got, err := r.Resolve(t.Context(), vaultValue(endpoint, "db", "k"))
		return got.Reveal(), attempts, err
	}
	_, attempts, err := resolve(s.URL())
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.Contains(t, err.Error(),
		"certificate of "+strings.TrimPrefix(s.URL(), "https://")+" is not trusted")
	require.Contains(t, err.Error(), "VAULT_CACERT")
	require.Equal(t, 1, attempts)
	require.Zero(t, s.Calls())

	_, attempts, err = resolve(strings.Replace(s.URL(), "https", "http", 1))
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.Contains(t, err.Error(), "write https://")
	require.Equal(t, 1, attempts)

	for name, value := range map[string]string{"VAULT_CACERT": ca,
		"VAULT_CACERT_BYTES": string(s.CertPEM()), "VAULT_CAPATH": filepath.Dir(ca),
		"VAULT_SKIP_VERIFY": "true"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			got, _, err := resolve(s.URL())
			require.NoError(t, err)
			require.Equal(t, "v", got)
			if name == "VAULT_SKIP_VERIFY" {
				return
			}
			t.Setenv("VAULT_TLS_SERVER_NAME", "elsewhere.example")
			_, _, err = resolve(s.URL())
			require.ErrorIs(t, err, secretref.ErrUnavailable)
			t.Setenv("VAULT_TLS_SERVER_NAME", "example.com")
			_, _, err = resolve(s.URL())
			require.NoError(t, err)
		})
	}
	for name, value := range map[string]string{
		"VAULT_CACERT": "/nonexistent", "VAULT_CACERT_BYTES": canary, "VAULT_CAPATH": "/nonexistent",
		"VAULT_CLIENT_CERT": ca,
		"VAULT_SKIP_VERIFY": canary, "VAULT_HEADERS": canary, "VAULT_MAX_RETRIES": canary,
		"VAULT_RATE_LIMIT":     canary,
		"VAULT_CLIENT_TIMEOUT": canary, "VAULT_SRV_LOOKUP": canary,
		"VAULT_PROXY_ADDR": "http://user:" + canary + "@\x7f",
	} {
		t.Run("garbage in "+name, func(t *testing.T) {
			t.Setenv(name, value)
			_, attempts, err := resolve(s.URL())
			require.ErrorIs(t, err, secretref.ErrUnavailable)
			require.Contains(t, err.Error(), name)
			require.Equal(t, 1, attempts)
			requireSilent(t, err)
		})
	}
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

func TestVaultSealed(t *testing.T) {
	s := vaultFake(t)
	s.Put("secret", "db", map[string]any{"k": "v"})
	vaultCall(t, s, "PUT", "sys/seal", "")
	_, err := vaultResolver(t, &secretref.Options{Timeout: 50 * time.Millisecond}).Resolve(t.Context(),
		vaultValue(s.URL(), "db", "k"))
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.Contains(t, err.Error(), "is sealed")
	// During its first refusal, Vault is unsealed.
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		s.Intercept(nil)
		unseal, err := http.NewRequestWithContext(r.Context(), "PUT", s.URL()+"/v1/sys/unseal",
			strings.NewReader(`{"key":"`+s.UnsealKey()+`"}`))
		if err == nil {
			var resp *http.Response
			if resp, err = http.DefaultTransport.RoundTrip(unseal); err == nil {
				_ = resp.Body.Close()
			}
		}
		http.Error(w, fmt.Sprintf(`{"errors":["Vault is sealed"]} %v`, err),
			http.StatusServiceUnavailable)
		return true
	})
	got, err := vaultResolver(t, nil).Resolve(t.Context(), vaultValue(s.URL(), "db", "k"))
	require.NoError(t, err)
	require.Equal(t, "v", got.Reveal())
}

// vaultPod configures a login for pods at auth/kubernetes, with the role app and the
// policy, and returns the path of a file with the pod's token.
func vaultPod(t testing.TB, s *fakevault.Server, policy string) (jwtFile string) {
	t.Helper()
	cluster := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"status":{"authenticated":true,"user":{"username":"system:serviceaccount:prod:app-sa","uid":"u1"}}}`))
	}))
	t.Cleanup(cluster.Close)
	config, err := json.Marshal(map[string]any{"kubernetes_host": cluster.URL,
		"token_reviewer_jwt": "reviewer",
		"kubernetes_ca_cert": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
			Bytes: cluster.Certificate().Raw}))})
	require.NoError(t, err)
	vaultMint(t, s, "pod", policy)
	vaultCall(t, s, "POST", "sys/auth/kubernetes", `{"type":"kubernetes"}`)
	vaultCall(t, s, "POST", "auth/kubernetes/config", string(config))
	vaultCall(t, s, "POST", "auth/kubernetes/role/app",
		`{"bound_service_account_names":"app-sa","bound_service_account_namespaces":"prod","token_policies":"pod","token_ttl":"1h"}`)
	jwtFile = filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(jwtFile, []byte(vaultJWT()+"\n"), 0o600))
	t.Setenv("SECRET_STORE_VAULT_KUBE_AUTH_ROLE", "app")
	t.Setenv("SECRET_STORE_VAULT_KUBE_AUTH_JWT_PATH", jwtFile)
	return jwtFile
}

func vaultJWT() string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." +
		part([]byte(`{"kubernetes.io":{"namespace":"prod","serviceaccount":{"name":"app-sa","uid":"u1"}}}`)) + "." + part([]byte(canary))
}

// vaultPodValue returns a reference with the authentication type KUBERNETES.
func vaultPodValue(endpoint, path, key string) string {
	return secretref.VaultReference{Mount: "secret", Path: path, Key: key, Endpoint: endpoint,
		AuthenticationType: secretref.VaultKubernetes}.String()
}

// vaultCalls counts the logins and the reads among the calls.
func vaultCalls(s *fakevault.Server) (logins, reads int) {
	for _, r := range s.Requests() {
		if strings.HasSuffix(r.Path, "/login") {
			logins++
		} else {
			reads++
		}
	}
	return logins, reads
}

func TestVaultLogin(t *testing.T) {
	s := vaultFake(t)
	vaultPod(t, s, vaultReadAll)
	t.Setenv(vaultTokenVariable, "")
	values := make([]string, 100)
	for i := range values {
		s.Put("secret", fmt.Sprint("db", i), map[string]any{"k": "v"})
		values[i] = vaultPodValue(s.URL(), fmt.Sprint("db", i), "k")
	}
	s.Latency(5 * time.Millisecond)
	r := vaultResolver(t, nil)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			_, err := r.ResolveAll(t.Context(), values...)
			require.NoError(t, err)
		})
	}
	all.Wait()
	logins, _ := vaultCalls(s)
	require.Equal(t, 1, logins)
	for _, call := range s.Requests() {
		if strings.HasSuffix(call.Path, "/login") {
			require.Equal(t, []string{"PUT", "/v1/auth/kubernetes/login", ""},
				[]string{call.Method, call.Path, call.Token})
		}
	}

	// After the token was revoked, there is one more login for all.
	vaultCall(t, s, "PUT", "auth/token/revoke",
		`{"token":"`+s.Requests()[len(s.Requests())-1].Token+`"}`)
	_, err := r.ResolveAll(t.Context(), values...)
	require.NoError(t, err)
	logins, reads := vaultCalls(s)
	require.Equal(t, 1, logins)
	require.LessOrEqual(t, reads, 150, "only the reads in progress were refused")
}

func TestVaultLogin_options(t *testing.T) {
	s := vaultFake(t)
	file := vaultPod(t, s, vaultReadAll)
	s.Put("secret", "db", map[string]any{"k": "v"})
	options := secretref.VaultOptions{Role: "app", AuthPath: "/kubernetes/", JWTPath: file,
		Namespace: "team"}
	for name, value := range map[string]string{"ROLE": "other", "PATH": "elsewhere",
		"JWT_PATH": "/nonexistent"} {
		t.Setenv("SECRET_STORE_VAULT_KUBE_AUTH_"+name, value)
	}
	got, err := vaultResolver(t, &secretref.Options{Vault: options}).Resolve(t.Context(),
		vaultPodValue(s.URL(), "db", "k"))
	require.NoError(t, err)
	require.Equal(t, "v", got.Reveal())
	require.Equal(t, "team", s.Requests()[0].Namespace, "the login uses the namespace, too")

	_, err = vaultResolver(t, nil).Resolve(t.Context(), vaultPodValue(s.URL(), "db", "k"))
	require.ErrorIs(t, err, secretref.ErrUnauthenticated)
	require.Contains(t, err.Error(), "/nonexistent does not exist")
	require.Contains(t, err.Error(), "SECRET_STORE_VAULT_KUBE_AUTH_JWT_PATH")

	t.Setenv("SECRET_STORE_VAULT_KUBE_AUTH_JWT_PATH", file)
	_, err = vaultResolver(t, nil).Resolve(t.Context(), vaultPodValue(s.URL(), "db", "k"))
	require.ErrorIs(t, err, secretref.ErrUnauthenticated)
	require.Contains(t, err.Error(), "auth/elsewhere")

	t.Setenv("SECRET_STORE_VAULT_KUBE_AUTH_ROLE", "")
	_, err = vaultResolver(t, nil).Resolve(t.Context(), vaultPodValue(s.URL(), "db", "k"))
	require.ErrorIs(t, err, secretref.ErrUnauthenticated)
	require.Contains(t, err.Error(), "set SECRET_STORE_VAULT_KUBE_AUTH_ROLE")
}

func TestVaultLogin_deniedPath(t *testing.T) {
	s := vaultFake(t)
	vaultPod(t, s, `path "secret/data/open" { capabilities = ["read"] }`)
	s.Put("secret", "open", map[string]any{"k": "v"})
	s.Put("secret", "closed", map[string]any{"k": canary})
	r := vaultResolver(t, nil)
	_, err := r.Resolve(t.Context(), vaultPodValue(s.URL(), "open", "k"))
	require.NoError(t, err)
	s.ResetCalls()
	for range 100 {
		_, err = r.Resolve(t.Context(), vaultPodValue(s.URL(), "closed", "k"))
		require.ErrorIs(t, err, secretref.ErrDenied)
		require.Contains(t, err.Error(), `path "secret/data/closed" { capabilities = ["read"] }`)
	}
	logins, reads := vaultCalls(s)
	require.LessOrEqual(t, logins, 5)
	require.Equal(t, 100+logins, reads)
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

func TestVaultLogin_retry(t *testing.T) {
	s := vaultFake(t)
	vaultPod(t, s, vaultReadAll)
	s.Put("secret", "db", map[string]any{"k": "v"})
	s.Fail(2, http.StatusServiceUnavailable, nil, "Vault is sealed")
	got, err := vaultResolver(t, nil).Resolve(t.Context(), vaultPodValue(s.URL(), "db", "k"))
	require.NoError(t, err)
	require.Equal(t, "v", got.Reveal())

	s.Fail(1, http.StatusTooManyRequests, http.Header{"Retry-After": {"60"}})
	_, err = vaultResolver(t, nil).Resolve(t.Context(), vaultPodValue(s.URL(), "db", "k"))
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.Contains(t, err.Error(), "limits the rate")
}

func TestVaultRedaction(t *testing.T) {
	s := vaultFake(t)
	file := vaultPod(t, s, vaultReadAll)
	s.Put("secret", "db", map[string]any{"k": canary, "null": nil})
	jwt, err := os.ReadFile(file)
	require.NoError(t, err)
	secrets := []string{canary, strings.TrimSpace(string(jwt))}
	var mu sync.Mutex
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log,
		&slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
	r := vaultResolver(t,
		&secretref.Options{Timeout: 150 * time.Millisecond, Logger: logger,
			OnFetch: func(e secretref.FetchEvent) {
				mu.Lock()
				defer mu.Unlock()
				logger.Info("event", "event", e)
				fmt.Fprintf(&log, "%+v %#v %v", e, e, e.Err)
			}})
	resolveAll := func() {
		for _, value := range []string{vaultValue(s.URL(), "db", "k"), vaultValue(s.URL(), "db", "null"),
			vaultValue(s.URL(), "db", "missing"),
			vaultValue(s.URL(), "missing", "k"), vaultPodValue(s.URL(), "db", "k"),
			vaultPodValue(s.URL(), "db", "missing")} {
			_, err := r.Resolve(t.Context(), value)
			if err != nil {
				requireSilent(t, err)
				logger.Error("failed", "error", err)
				text, _ := json.Marshal(err)
				log.Write(text)
			}
		}
	}
	resolveAll()
	// The server sends the whole request back, as an error and as an answer.
	for _, status := range []int{200, 301, 307, 400, 401, 403, 404, 500} {
		s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			var body bytes.Buffer
			_, _ = body.ReadFrom(r.Body)
			echo := r.Header.Get("X-Vault-Token") + body.String() + canary
			text, _ := json.Marshal(echo)
			w.Header().Set("Location",
				"https://"+canary+":"+canary+"@elsewhere.example/"+url.PathEscape(echo))
			w.Header().Set("X-Echo", url.PathEscape(echo))
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"errors":[%s],"data":{%s:%s},"warnings":[%s]}`, text, text, text, text)
			return true
		})
		resolveAll()
	}
	for _, call := range s.Requests() {
		if call.Token != "" {
			secrets = append(secrets, call.Token)
		}
	}
	require.Greater(t, len(secrets), 3)
	mu.Lock()
	defer mu.Unlock()
	require.Contains(t, log.String(), "vault login")
	for _, secret := range secrets {
		require.NotContains(t, log.String(), secret)
	}
}

func TestVaultSecret_fetchedOnce(t *testing.T) {
	s := vaultFake(t)
	data := map[string]any{}
	values := make([]string, 100)
	for i := range values {
		data[fmt.Sprint("k", i)] = fmt.Sprint("v", i)
		values[i] = vaultValue(s.URL(), "db", fmt.Sprint("k", i))
	}
	s.Put("secret", "db", data)
	got, err := vaultResolver(t, nil).ResolveAll(t.Context(), values...)
	require.NoError(t, err)
	require.Equal(t, "v7", got[7].Reveal())
	require.Equal(t, []string{"GET /v1/secret/data/db"},
		[]string{s.Requests()[0].Method + " " + s.Requests()[0].Path})
	require.Equal(t, 1, s.Calls(), "and no other call")
}

// vaultHundred stores 100 secrets and returns references to them.
func vaultHundred(s *fakevault.Server) (values []string) {
	for i := range 100 {
		s.Put("secret", fmt.Sprint("db", i), map[string]any{"k": fmt.Sprint("v", i)})
		values = append(values, vaultValue(s.URL(), fmt.Sprint("db", i), "k"))
	}
	return values
}

func TestVaultAllowEndpoint(t *testing.T) {
	vaultEnv(t)
	t.Setenv(vaultTokenVariable, canary)
	t.Setenv("SECRET_STORE_VAULT_KUBE_AUTH_ROLE", "app")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	var connections atomic.Int32
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = c.Close()
		}
	}()
	errOwn := errors.New("own reason")
	var checked []string
	r := vaultResolver(t,
		&secretref.Options{Timeout: 100 * time.Millisecond, AllowEndpoint: func(u *url.URL) error {
			checked = append(checked, u.String())
			u.Host = "mutated.example"
			return errOwn
		}})
	base := "http://" + listener.Addr().String() + "/base%2Fpath"
	for _, value := range []string{vaultValue(base+"/", "db", "k"), vaultPodValue(base, "db", "k")} {
		_, err = r.Resolve(t.Context(), value)
		require.ErrorIs(t, err, secretref.ErrDenied)
		require.ErrorIs(t, err, errOwn)
		require.ErrorContains(t, err, "AllowEndpoint refused "+base+": own reason")
	}
	require.Equal(t, []string{base, base}, checked)
	require.Zero(t, connections.Load())
}

func TestVaultClearText_proxy(t *testing.T) {
	if os.Getenv("SECRETREF_VAULT_BEHIND_PROXY") == "" {
		vaultEnv(t)
		var seen sync.Map
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen.Store(r.Method+" "+r.RequestURI, r.Header.Get("X-Vault-Token"))
			w.WriteHeader(http.StatusBadGateway)
		}))
		defer proxy.Close()
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), "SECRETREF_VAULT_BEHIND_PROXY=1", "NO_PROXY=", "no_proxy=")
		for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy",
			"https_proxy", "all_proxy", "VAULT_HTTP_PROXY", "VAULT_PROXY_ADDR"} {
			child.Env = append(child.Env, name+"="+proxy.URL)
		}
		out, err := child.CombinedOutput()
		require.NoError(t, err, string(out))
		seen.Range(func(request, token any) bool {
			require.Equal(t, "CONNECT 0.0.0.0:1", request,
				"only https is proxied, in a tunnel")
			require.Empty(t, token)
			return true
		})
		_, tunnelled := seen.Load("CONNECT 0.0.0.0:1")
		require.True(t, tunnelled)
		return
	}
	s := vaultFake(t)
	s.Put("secret", "db", map[string]any{"k": "v"})
	r := vaultResolver(t, nil)
	// net/http uses no proxy for loopback addresses. 0.0.0.0 is not one, but is this machine.
	for _, endpoint := range []string{s.URL(), strings.Replace(s.URL(), "127.0.0.1", "0.0.0.0", 1)} {
		_, err := r.Resolve(t.Context(), vaultValue(endpoint, "db", "k"))
		require.NoError(t, err)
	}
	r = vaultResolver(t, &secretref.Options{Timeout: time.Second})
	_, err := r.Resolve(t.Context(), vaultValue("https://0.0.0.0:1", "db", "k"))
	require.ErrorIs(t, err, secretref.ErrUnavailable)
}

// There is one connection for each fetch that runs at a time (net/http may make a few more),
// or a single one over HTTP/2. Close closes all of them.
func TestVaultConnections(t *testing.T) {
	for name, maxConnections := range map[string]int32{"http/1.1": 200, "http/2": 1} {
		t.Run(name, func(t *testing.T) {
			vaultEnv(t)
			t.Setenv("VAULT_SKIP_VERIFY", "true")
			t.Setenv(vaultTokenVariable, "t")
			var protocol atomic.Value
			var connections atomic.Int32
			web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter,
				r *http.Request) {
				protocol.Store(r.Proto)
				_, _ = w.Write([]byte(vaultSecret(`{"k":"v"}`)))
			}))
			web.EnableHTTP2 = name == "http/2"
			web.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			web.StartTLS()
			defer web.Close()
			before := runtime.NumGoroutine()
			r := secretref.New(nil)
			values := make([]string, 50)
			for i := range values {
				values[i] = vaultValue(web.URL, fmt.Sprint("db", i), "k")
			}
			for range 5 {
				_, err := r.ResolveAll(t.Context(), values...)
				require.NoError(t, err)
			}
			require.Equal(t, strings.ToUpper(name), strings.TrimSuffix(protocol.Load().(string), ".0"))
			require.LessOrEqual(t, connections.Load(), maxConnections)
			require.NoError(t, r.Close())
			for runtime.NumGoroutine() > before { // for ever if goroutines are left
				time.Sleep(time.Millisecond)
			}
			_, err := r.Resolve(t.Context(), values[0])
			require.ErrorIs(t, err, secretref.ErrUnavailable)
		})
	}
}

func BenchmarkVaultColdResolve(b *testing.B) {
	s := vaultFake(b)
	s.Put("secret", "db", map[string]any{"k": "v"})
	vaultBenchmark(b, s, vaultValue(s.URL(), "db", "k"))
}

func BenchmarkVaultHundredReferencesOneSecret(b *testing.B) {
	s := vaultFake(b)
	data := map[string]any{}
	values := make([]string, 100)
	for i := range values {
		data[fmt.Sprint("k", i)] = fmt.Sprint("v", i)
		values[i] = vaultValue(s.URL(), "db", fmt.Sprint("k", i))
	}
	s.Put("secret", "db", data)
	vaultBenchmark(b, s, values...)
}

func BenchmarkVaultHundredSecrets(b *testing.B) {
	s := vaultFake(b)
	vaultBenchmark(b, s, vaultHundred(s)...)
}

// vaultBenchmark resolves the values with a new Resolver each time, at a latency of
// 5 ms.
func vaultBenchmark(b *testing.B, s *fakevault.Server, values ...string) {
	s.Latency(5 * time.Millisecond)
	s.ResetCalls()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		r := secretref.New(nil)
		if _, err := r.ResolveAll(b.Context(), values...); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(s.Calls())/float64(n), "calls/op")
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
