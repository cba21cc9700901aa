package secretref_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

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
