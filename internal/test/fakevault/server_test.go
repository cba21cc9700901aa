package fakevault_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/test/fakevault"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

// start returns a running server and a Vault client with the root token.
func start(t *testing.T) (*fakevault.Server, *api.Client) {
	t.Helper()
	s := fakevault.New()
	t.Cleanup(s.Close)
	return s, client(t, s, s.RootToken())
}

func client(t *testing.T, s *fakevault.Server, token string) *api.Client {
	t.Helper()
	// DefaultConfig would read the environment.
	c, err := api.NewClient(&api.Config{Address: s.URL(), HttpClient: &http.Client{},
		DisableRedirects: true})
	require.NoError(t, err)
	c.SetToken(token)
	return c
}

// mint creates a token with the policy.
func mint(t *testing.T, root *api.Client, policy string, wish *api.TokenCreateRequest) string {
	t.Helper()
	require.NoError(t, root.Sys().PutPolicy("test", policy))
	wish.Policies = []string{"test"}
	made, err := root.Auth().Token().Create(wish)
	require.NoError(t, err)
	return made.Auth.ClientToken
}

func TestKV_versions(t *testing.T) {
	_, root := start(t)
	kv := root.KVv2("secret")
	for _, password := range []string{"old", "new"} {
		_, err := kv.Put(t.Context(), "app/db", map[string]any{"password": password})
		require.NoError(t, err)
	}
	newest, err := kv.Get(t.Context(), "app/db")
	require.NoError(t, err)
	require.Equal(t, "new", newest.Data["password"])
	require.Equal(t, 2, newest.VersionMetadata.Version)
	first, err := kv.GetVersion(t.Context(), "app/db", 1)
	require.NoError(t, err)
	require.Equal(t, "old", first.Data["password"])
	_, err = kv.Get(t.Context(), "app/other")
	require.ErrorIs(t, err, api.ErrSecretNotFound)
}

func TestKV_deletedVersions(t *testing.T) {
	s, root := start(t)
	s.Put("secret", "db", map[string]any{"password": "x"})
	kv := root.KVv2("secret")

	require.NoError(t, kv.Delete(t.Context(), "db"))
	deleted, err := kv.Get(t.Context(), "db")
	require.NoError(t, err)
	require.Nil(t, deleted.Data)
	require.False(t, deleted.VersionMetadata.DeletionTime.IsZero())

	require.NoError(t, kv.Undelete(t.Context(), "db", []int{1}))
	restored, err := kv.Get(t.Context(), "db")
	require.NoError(t, err)
	require.Equal(t, "x", restored.Data["password"])

	require.NoError(t, kv.Destroy(t.Context(), "db", []int{1}))
	destroyed, err := kv.Get(t.Context(), "db")
	require.NoError(t, err)
	require.Nil(t, destroyed.Data)
	require.True(t, destroyed.VersionMetadata.Destroyed)
}

func TestPut_numbers(t *testing.T) {
	s, root := start(t)
	const number = "12345678901234567890.50"
	s.Put("secret", "db", map[string]any{"port": json.Number(number)})
	got, err := root.KVv2("secret").Get(t.Context(), "db")
	require.NoError(t, err)
	require.Equal(t, json.Number(number), got.Data["port"])
}

func TestPolicy(t *testing.T) {
	for _, c := range []struct {
		policy  string
		allowed bool
	}{
		{`path "secret/data/app/db" { capabilities = ["read"] }`, true},
		{`path "secret/data/app/*" { capabilities = ["read"] }`, true},
		{`path "secret/data/+/db" { capabilities = ["read", "list"] }`, true},
		{"# comment\npath \"secret/data/*\" {\n  capabilities = [\"read\",] // trailing comma\n}", true},
		{`path "secret/data/app/db" { capabilities = ["update"] }`, false},
		{`path "secret/app/db" { capabilities = ["read"] }`, false},
		{`path "secret/data/+" { capabilities = ["read"] }`, false},
		{`path "secret/data/app/db" { capabilities = ["deny"] }
		  path "secret/data/*" { capabilities = ["read"] }`, false},
		{`path "secret/data/app/*" { capabilities = ["list"] }
		  path "secret/data/*" { capabilities = ["read"] }`, false},
		{`path "secret/data/app/d*" { capabilities = ["read"] }
		  path "secret/data/+/db" { capabilities = ["deny"] }`, true},
		{`path "secret/data/app/db" { capabilities = ["read"] }
		  path "secret/data/app/db" { capabilities = ["deny"] }`, false},
	} {
		s, root := start(t)
		s.Put("secret", "app/db", map[string]any{"password": "x"})
		token := mint(t, root, c.policy, &api.TokenCreateRequest{})
		_, err := client(t, s, token).KVv2("secret").Get(t.Context(), "app/db")
		require.Equal(t, c.allowed, err == nil, "%s: %v", c.policy, err)
	}
}

func TestToken_expiry(t *testing.T) {
	s, root := start(t)
	now := time.Now().Truncate(time.Second) // a lookup rounds
	s.SetClock(func() time.Time { return now })
	token := mint(t, root, `path "x" { capabilities = ["read"] }`, &api.TokenCreateRequest{TTL: "1h"})
	c := client(t, s, token)

	now = now.Add(50 * time.Minute)
	_, err := c.Auth().Token().RenewSelf(3600)
	require.NoError(t, err)
	now = now.Add(59 * time.Minute)
	self, err := c.Auth().Token().LookupSelf()
	require.NoError(t, err)
	require.Equal(t, json.Number("60"), self.Data["ttl"])
	now = now.Add(time.Minute)
	_, err = c.Auth().Token().LookupSelf()
	require.ErrorContains(t, err, "invalid token")
}

func TestToken_parent(t *testing.T) {
	s, root := start(t)
	now := time.Now()
	s.SetClock(func() time.Time { return now })
	parent := mint(t, root, `path "auth/token/create" { capabilities = ["update"] }`,
		&api.TokenCreateRequest{TTL: "1h"})
	for _, kind := range []string{"service", "batch"} {
		child, err := client(t, s, parent).Auth().Token().Create(&api.TokenCreateRequest{TTL: "10h",
			Type: kind})
		require.NoError(t, err)
		c := client(t, s, child.Auth.ClientToken)
		_, err = c.Auth().Token().LookupSelf()
		require.NoError(t, err)
		later := now.Add(2 * time.Hour)
		s.SetClock(func() time.Time { return later })
		_, err = c.Auth().Token().LookupSelf()
		require.ErrorContains(t, err, "invalid token", kind)
		s.SetClock(func() time.Time { return now })
		parent = mint(t, root, `path "auth/token/create" { capabilities = ["update"] }`,
			&api.TokenCreateRequest{TTL: "1h"})
	}
}

// A feature that the fake does not implement is an error.
func TestUnsupported(t *testing.T) {
	s, root := start(t)
	require.NoError(t,
		root.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}))
	wrapped := http.Header{"X-Vault-Wrap-TTL": {"60s"}}
	patch := http.Header{"Content-Type": {"application/merge-patch+json"}}
	for _, c := range []struct {
		method, path, body string
		header             http.Header
		words              string
	}{
		{"GET", "auth/token/lookup-self", "", wrapped, "response wrapping"},
		{"POST", "sys/mounts/secret/tune", `{"options":{"version":"2"}}`, nil,
			"tuning of the mount secret"},
		{"POST", "sys/mounts/one", `{"type":"kv","config":{"max_lease_ttl":"1h"}}`, nil, `"config"`},
		{"GET", "sys/leases/lookup", "", nil, "sys/leases/lookup"},
		{"GET", "cubbyhole/x", "", nil, "cubbyhole/"},
		{"GET", "identity/entity/name/x", "", nil, "identity/"},
		{"LIST", "secret/metadata?exclude_deleted=true", "", nil, `"exclude_deleted"`},
		{"PATCH", "secret/metadata/x", `{"max_versions":1}`, patch, "PATCH of metadata"},
		{"POST", "auth/token/create/role", `{}`, nil, "auth/token/create/role"},
		{"POST", "auth/token/create", `{"id":"mine"}`, nil, `"id"`},
		{"POST", "auth/approle/role/x", `{"secret_id_num_uses":1}`, nil, `"secret_id_num_uses"`},
		{"POST", "auth/approle/role/x", `{"token_bound_cidrs":["10.0.0.0/8"]}`, nil,
			`"token_bound_cidrs"`},
		{"PUT", "sys/policies/acl/x", `{"policy":"path \"x\" { denied_parameters = { \"a\" = [] } }"}`,
			nil, "denied_parameters"},
		{"PUT", "sys/policies/acl/x",
			`{"policy":"path \"x/{{identity.entity.id}}\" { capabilities = [\"read\"] }"}`, nil,
			"templates"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.URL()+"/v1/"+c.path,
			strings.NewReader(c.body))
		require.NoError(t, err)
		for name, values := range c.header {
			r.Header.Set(name, values[0])
		}
		r.Header.Set("X-Vault-Token", s.RootToken())
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		var body struct{ Errors []string }
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&body), c.path)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusNotImplemented, resp.StatusCode, "%s: %s", c.path, body.Errors)
		require.Len(t, body.Errors, 1)
		require.Contains(t, body.Errors[0], "fakevault does not implement")
		require.Contains(t, body.Errors[0], c.words)
	}
	_, err := root.Auth().Token().LookupSelf()
	require.NoError(t, err)
	require.NoError(t, root.Sys().Mount("two", &api.MountInput{Type: "kv"}), "empty settings are none")
}

func TestFail(t *testing.T) {
	s, _ := start(t)
	s.Fail(1, http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}}, "slow down")
	s.Fail(1, http.StatusServiceUnavailable, nil, "Vault is sealed")
	for _, want := range []struct {
		status            int
		retryAfter, error string
	}{
		{http.StatusTooManyRequests, "7", "slow down"},
		{http.StatusServiceUnavailable, "", "Vault is sealed"},
		{http.StatusOK, "", ""},
	} {
		resp, err := http.Get(s.URL() + "/v1/sys/health")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want.status, resp.StatusCode)
		require.Equal(t, want.retryAfter, resp.Header.Get("Retry-After"))
		require.Contains(t, string(body), want.error)
	}
	require.Equal(t, 3, s.Calls())
}

func TestIntercept(t *testing.T) {
	s, _ := start(t)
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/health") {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
			return true
		}
		return false
	})
	c := http.Client{CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}
	for path, status := range map[string]int{"health": http.StatusFound,
		"seal-status": http.StatusOK} {
		resp, err := c.Get(s.URL() + "/v1/sys/" + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, status, resp.StatusCode, path)
	}
}

func TestRequests(t *testing.T) {
	s, root := start(t)
	root.SetNamespace("team")
	_, err := root.Logical().ReadWithData("secret/data/a b", map[string][]string{"version": {"2"}})
	require.NoError(t, err)
	require.Equal(t, 1, s.Calls())
	r := s.Requests()[0]
	require.Equal(t, []string{"GET", "/v1/secret/data/a b", "version=2", s.RootToken(), "team"},
		[]string{r.Method, r.Path, r.RawQuery, r.Token, r.Namespace})
	s.ResetCalls()
	require.Zero(t, s.Calls())
}

func TestClose_waitingRequests(t *testing.T) {
	s, _ := start(t)
	s.Latency(time.Hour)
	sent, ended := make(chan struct{}), make(chan error)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) },
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/v1/sys/health", nil)
	require.NoError(t, err)
	go func() {
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		ended <- err
	}()
	<-sent
	s.Close()
	<-ended
}

func TestTLS(t *testing.T) {
	s := fakevault.NewTLS()
	t.Cleanup(s.Close)
	config := api.DefaultConfig()
	config.Address = s.URL()
	require.NoError(t, config.ConfigureTLS(&api.TLSConfig{CACertBytes: s.CertPEM()}))
	c, err := api.NewClient(config)
	require.NoError(t, err)
	health, err := c.Sys().Health()
	require.NoError(t, err)
	require.True(t, health.Initialized)
}

func TestInProcess_clock(t *testing.T) {
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) {
		s := fakevault.NewInProcess()
		defer s.Close()
		get := func(ctx context.Context) (*http.Response, error) {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet,
				s.URL()+"/v1/auth/token/lookup-self", nil)
			require.NoError(t, err)
			r.Header.Set("X-Vault-Token", s.RootToken())
			return s.RoundTrip(r)
		}
		s.Latency(time.Hour)
		start := time.Now()
		resp, err := get(t.Context())
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, time.Hour, time.Since(start))

		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = get(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Hour+time.Minute, time.Since(start))

		s.Latency(0)
		s.Intercept(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
		_, err = get(t.Context())
		require.Error(t, err)
	})
}
