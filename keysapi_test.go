package secretref_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
)

const (
	rotatePath   = "/rest/secrets/1.0/keys/rotate"
	inactivePath = "/rest/secrets/1.0/keys/inactive"
)

// authorized accepts requests with the canary as token.
func authorized(r *http.Request) (string, error) {
	if r.Header.Get("Authorization") != "Bearer "+canary {
		return "", errors.New("no " + canary)
	}
	return "carol", nil
}

// callAPI sends a request to the API and returns the status, the header and the body.
func callAPI(t testing.TB, method, url, token string, header ...string) (int, http.Header,
	map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	body := map[string]any{}
	if method != http.MethodHead {
		require.NoError(t, json.Unmarshal(raw, &body), "%s", raw)
	}
	require.NotContains(t, string(raw), canary)
	return res.StatusCode, res.Header, body
}

func TestHandler(t *testing.T) {
	wrong := secretref.NewRootKey().Reveal()
	type request struct {
		method, path, token string
		header              []string
	}
	type outcome struct {
		status          int
		message, state  string
		www, allow      string
		inactive, gone  int
		loggedSubstring string
	}
	good := func(method, path string, header ...string) request {
		return request{method, path, canary, header}
	}
	none := func(*testing.T, string, *secretref.Keyring) {}
	refused := outcome{status: 401, message: "not authorized", state: "FAILED",
		www: `Bearer realm="secretref"`}
	rotated := func(t *testing.T, _ string, k *secretref.Keyring) {
		_, err := k.Rotate(t.Context())
		require.NoError(t, err)
	}
	damaged := func(t *testing.T, path string, _ *secretref.Keyring) { damageRecord(t, path, "a") }
	busy := func(t *testing.T, path string, _ *secretref.Keyring) {
		lease, err := boltstore.New(path).Acquire(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { lease.Release(context.Background()) })
	}
	broken := func(t *testing.T, path string, _ *secretref.Keyring) {
		require.NoError(t, os.Truncate(path, 5000))
	}
	closed := func(t *testing.T, _ string, k *secretref.Keyring) { require.NoError(t, k.Close()) }
	failed := outcome{status: 500, message: "internal error", state: "FAILED",
		loggedSubstring: "corrupt"}

	for name, c := range map[string]struct {
		before func(t *testing.T, path string, k *secretref.Keyring)
		request
		outcome
	}{
		"rotate": {
			none, good("POST", rotatePath), outcome{
				status: 200, message: "secrets re-encrypted: 1", state: "ROTATED",
			},
		},
		"rotate with a query": {
			none, good("POST", rotatePath+"?x=y"), outcome{status: 200, state: "ROTATED"},
		},
		"rotate, nobody":      {none, request{"POST", rotatePath, "", nil}, refused},
		"rotate, wrong token": {none, request{"POST", rotatePath, wrong, nil}, refused},
		"rotate, wrong method": {
			none, good("GET", rotatePath), outcome{
				status: 405, message: "GET is not allowed", state: "FAILED", allow: "POST",
			},
		},
		"rotate, in progress": {
			busy, good("POST", rotatePath), outcome{
				status: 406, message: "a rotation is in progress", state: "IN_PROGRESS",
			},
		},
		"rotate, blocked": {
			damaged, good("POST", rotatePath), outcome{status: 406, message: `"a"`, state: "BLOCKED"},
		},
		"rotate, broken": {broken, good("POST", rotatePath), failed},
		"rotate, closed": {
			closed, good("POST", rotatePath), outcome{
				status: 500, message: "internal error", state: "FAILED", loggedSubstring: "closed",
			},
		},
		"rotate, from another site": {
			none, good("POST", rotatePath, "Sec-Fetch-Site", "cross-site"),
			outcome{status: 403, message: "browser", state: "FAILED"},
		},
		"inactive": {
			rotated, good("GET", inactivePath), outcome{status: 200, inactive: 1},
		},
		"inactive, only the head": {rotated, good("HEAD", inactivePath), outcome{status: 200}},
		"inactive, none": {
			none, good("GET", inactivePath), outcome{status: 200, inactive: -1},
		},
		"inactive, nobody": {none, request{"GET", inactivePath, "", nil}, refused},
		"inactive, wrong method": {
			none, good("PUT", inactivePath), outcome{
				status: 405, message: "PUT is not allowed", state: "FAILED", allow: "DELETE, GET, HEAD",
			},
		},
		"inactive, broken": {broken, good("GET", inactivePath), failed},
		"delete inactive": {
			rotated, good("DELETE", inactivePath), outcome{status: 200, gone: 1},
		},
		"delete inactive, none": {
			none, good("DELETE", inactivePath), outcome{status: 200, gone: -1},
		},
		"delete inactive, nobody": {rotated, request{"DELETE", inactivePath, "", nil}, refused},
		"delete inactive, broken": {broken, good("DELETE", inactivePath), failed},
		"delete, from another site": {
			rotated, good("DELETE", inactivePath, "Sec-Fetch-Site", "cross-site"),
			outcome{status: 403, message: "browser", state: "FAILED"},
		},
		"another path": {
			none, good("GET", "/rest/secrets/1.0/keys"),
			outcome{status: 404, message: "nothing", state: "FAILED"},
		},
		"another path, nobody": {none, request{"GET", "/", "", nil}, refused},
		"a path that only looks like": {
			none, good("POST", rotatePath+"/"), outcome{status: 404, message: "nothing", state: "FAILED"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := keyringPath(t)
			var logged bytes.Buffer
			k := openKeyring(t, path, &secretref.KeyringOptions{
				Logger: slog.New(slog.NewTextHandler(&logged, nil)),
			})
			put(t, k, "a", canary)
			c.before(t, path, k)
			server := httptest.NewServer(http.StripPrefix("/context", k.Handler(authorized)))
			defer server.Close()

			status, header, body := callAPI(t, c.method, server.URL+"/context"+c.path, c.token, c.header...)
			assert.Equal(t, c.status, status, "%v", body)
			assert.Equal(t, "application/json", header.Get("Content-Type"))
			assert.Equal(t, "no-store", header.Get("Cache-Control"))
			assert.Equal(t, c.www, header.Get("WWW-Authenticate"))
			assert.Equal(t, c.allow, header.Get("Allow"))
			switch {
			case c.method == http.MethodHead:
				assert.Empty(t, body)
			case c.inactive != 0:
				require.Len(t, body, 1)
				assert.Len(t, body["inactiveKeys"], max(0, c.inactive))
				assert.NotNil(t, body["inactiveKeys"], "a list, never null")
			case c.gone != 0:
				require.Len(t, body, 1)
				assert.Len(t, body["deletedKeys"], max(0, c.gone))
				assert.NotNil(t, body["deletedKeys"])
			default:
				require.Len(t, body, 2)
				assert.Contains(t, body["message"], c.message)
				assert.Equal(t, c.state, body["status"])
			}
			server.Close()
			assert.Contains(t, logged.String(), c.loggedSubstring)
			assert.NotContains(t, logged.String(), canary)
			if c.status == 200 && c.method != "GET" && c.method != "HEAD" {
				events := 0
				for e, err := range k.AuditLog(t.Context()) {
					require.NoError(t, err)
					if e.Actor == "carol" && e.Outcome == "done" {
						events++
					}
				}
				assert.Equal(t, 1, events)
			}
		})
	}
}

func TestHandler_unauthorized(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	for name, authorize := range map[string]func(*http.Request) (string, error){
		"nil":            nil,
		"an empty actor": func(*http.Request) (string, error) { return "", nil },
		"an error":       func(*http.Request) (string, error) { return "dave", errors.New("no") },
	} {
		server := httptest.NewServer(k.Handler(authorize))
		status, _, _ := callAPI(t, "POST", server.URL+rotatePath, canary)
		assert.Equal(t, 401, status, name)
		server.Close()
	}
	keys, err := k.Keys(t.Context())
	require.NoError(t, err)
	assert.Len(t, keys, 1)
}

func TestHandler_clientLeaves(t *testing.T) {
	k, _, under, letGo := slowRotation(t)
	server := httptest.NewServer(k.Handler(authorized))
	defer server.Close()
	ctx, disconnect := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", server.URL+rotatePath, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+canary)
	gone := make(chan error)
	go func() {
		_, err := http.DefaultClient.Do(req) //nolint:bodyclose // there is no response
		gone <- err
	}()
	<-under
	status, _, body := callAPI(t, "POST", server.URL+rotatePath, canary)
	assert.Equal(t, 406, status)
	assert.Equal(t, "IN_PROGRESS", body["status"])
	requireStored(t, k, "1", large)
	put(t, k, "written meanwhile", "y")
	disconnect()
	require.Error(t, <-gone)
	close(letGo)
	require.Eventually(t, func() bool {
		inactive, err := k.Inactive(t.Context())
		return err == nil && len(inactive) == 1
	}, time.Minute, 10*time.Millisecond)
	requireStored(t, k, "written meanwhile", "y")
	requireStored(t, k, "2", large)
}
