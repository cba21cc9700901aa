package secretref_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakevault"
)

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
