package vaultkv_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

func TestNoToken(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "trap")
	t.Setenv(vaultkv.TokenVariable, "trap")
	t.Setenv("VAULT_HEADERS", `{"x-vault-token":"trap"}`)
	var body string
	status := 200
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.NotContains(t, r.Header, "X-Vault-Token")
		assert.Equal(t, "true", r.Header.Get("X-Vault-Request"), "an Agent may require it")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	r := newBackend(t, vaultkv.Settings{NoToken: true}, time.Minute, nil)
	body = good
	got, err := r.get(t, s.URL, ref.TokenAuth)
	require.NoError(t, err)
	require.Equal(t, "v", got)
	status, body = 403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`
	_, err = r.get(t, s.URL, ref.TokenAuth)
	require.ErrorIs(t, err, fault.Denied)
	status, body = 400, `{"errors":["missing client token"]}`
	_, err = r.get(t, s.URL, ref.TokenAuth)
	require.ErrorIs(t, err, fault.Unauthenticated)
	require.ErrorContains(t, err, "use_auto_auth_token")
}

func TestUnixSocket(t *testing.T) {
	if os.PathSeparator != '/' {
		t.Skip("paths begin with a drive letter")
	}
	dir, err := os.MkdirTemp("", "s") // a socket's path is short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "vault.sock")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	var host string
	redirect := ""
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host = r.Host + r.URL.Path
		if redirect != "" {
			w.Header().Set("Location", redirect)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(w, good)
	})}
	go func() { _ = web.Serve(listener) }()
	t.Cleanup(func() { _ = web.Close() })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	endpoint := "unix://" + path

	_, err = newBackend(t, vaultkv.Settings{NoToken: true}, time.Minute, nil).get(t, endpoint,
		ref.TokenAuth)
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorContains(t, err, "AllowEndpoint")
	require.Empty(t, host)

	var checked []string
	_, err = newBackend(t, vaultkv.Settings{NoToken: true}, time.Minute, func(u *url.URL) error {
		checked = append(checked, u.String())
		return io.ErrNoProgress
	}).get(t, endpoint, ref.TokenAuth)
	require.ErrorIs(t, err, fault.Denied)
	require.Equal(t, []string{endpoint}, checked)
	require.Empty(t, host)

	for name, settings := range map[string]vaultkv.Settings{
		"no token": {NoToken: true},
		"token":    {Token: func(context.Context) (string, error) { return token, nil }},
	} {
		r := newBackend(t, settings, time.Minute, allowAll)
		got, err := r.get(t, endpoint, ref.TokenAuth)
		require.NoError(t, err, name)
		require.Equal(t, "v", got)
		require.Equal(t, "localhost/v1/secret/data/db", host)
		for _, to := range []string{"http://localhost/v1/secret/data/db", "/v1/x",
			"https://vault.example/"} {
			redirect = to
			_, err = r.get(t, endpoint, ref.TokenAuth)
			require.ErrorIs(t, err, fault.Unavailable)
			require.ErrorContains(t, err, "not followed")
			require.EqualValues(t, 1, r.attempts.Load())
		}
		redirect = ""
	}
	err = newBackend(t, vaultkv.Settings{NoToken: true}, time.Minute, allowAll).attempt(t,
		"unix://"+dir+"/none", ref.TokenAuth)
	require.ErrorIs(t, err, fault.Unavailable)
	require.ErrorContains(t, err, "there is no socket "+dir+"/none")

	// A login uses the socket, too.
	web.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/login") {
			_, _ = io.WriteString(w, `{"auth":{"client_token":"`+token+`"}}`)
			return
		}
		assert.Equal(t, token, r.Header.Get("X-Vault-Token"))
		_, _ = io.WriteString(w, good)
	})
	_, err = newBackend(t, vaultkv.Settings{Auth: authMethod(posts)}, time.Minute, allowAll).get(t,
		endpoint, ref.TokenAuth)
	require.NoError(t, err)
}
