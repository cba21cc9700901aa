package httpguard_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
)

// through sends a request to https://vault.example through a proxy and returns the explained
// error.
func through(t *testing.T, proxy *url.URL, most time.Duration) *fault.Error {
	proxy.User = url.UserPassword("user", "c4nary")
	pool := httpguard.NewPool(&http.Transport{Proxy: http.ProxyURL(proxy)})
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://vault.example/v1/x", nil)
	require.NoError(t, err)
	resp, err := pool.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	require.Error(t, err)
	got := httpguard.Explain(err, "vault.example")
	require.ErrorIs(t, got, fault.Unavailable)
	require.NotContains(t, got.Error(), "c4nary")
	require.ErrorContains(t, got, "proxy "+proxy.Host)
	require.ErrorContains(t, got, "HTTPS_PROXY and NO_PROXY")
	return got
}

func TestProxy(t *testing.T) {
	for status, lasting := range map[int]bool{403: true, 404: true, 407: true, 429: false, 500: false,
		502: false, 503: false, 204: true} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
			_ *http.Request) {
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		at, err := url.Parse(s.URL)
		require.NoError(t, err)
		got := through(t, at, time.Minute)
		require.ErrorContains(t, got, http.StatusText(status))
		require.ErrorContains(t, got, "vault.example")
		_, again := fault.Transient(got)
		require.Equal(t, lasting, !again, status)
	}
	secure := httptest.NewUnstartedServer(nil)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for name, proxy := range map[string]string{
		"name does not resolve":  "http://nonexistent.invalid:3128",
		"is not trusted":         secure.URL,
		"refuses connections":    "http://127.0.0.1:1",
		"SOCKS: does not answer": "socks5://" + raw(t, func(net.Conn) {}),
		"hangs up":               "http://" + raw(t, func(net.Conn) {}),
		"does not answer":        "http://" + raw(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }),
	} {
		t.Run(name, func(t *testing.T) {
			at, err := url.Parse(proxy)
			require.NoError(t, err)
			most := time.Minute
			if name == "does not answer" {
				most = 200 * time.Millisecond
			}
			through(t, at, most)
		})
	}
}
