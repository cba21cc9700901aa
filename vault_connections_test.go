package secretref_test

import (
	"errors"
	"fmt"
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

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakevault"
)

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
