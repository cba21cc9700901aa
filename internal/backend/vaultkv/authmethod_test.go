package vaultkv_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

func allowAll(*url.URL) error { return nil }

// posts is a method that posts a credential, as HashiCorp's do.
func posts(ctx context.Context, c *api.Client) (*api.Secret, error) {
	secret, err := c.Logical().WriteWithContext(ctx, "auth/test/login",
		map[string]any{"secret_id": canary})
	if err != nil {
		return nil, fmt.Errorf("unable to log in with %s: %w", canary, err)
	}
	return secret, nil
}

func TestAuthMethod_needsAllowEndpoint(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing is sent") })
	r := newResolver(t, vaultkv.Settings{Auth: authMethod(posts)}, time.Minute, nil)
	_, err := r.get(t, s.URL, ref.TokenAuth)
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorContains(t, err, "AllowEndpoint")
	r = newResolver(t, vaultkv.Settings{Auth: authMethod(posts)}, time.Minute,
		func(*url.URL) error { return io.ErrNoProgress })
	_, err = r.get(t, s.URL, ref.TokenAuth)
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorIs(t, err, io.ErrNoProgress)
}

func TestAuthMethod_kubernetesReferencesLogInAsPods(t *testing.T) {
	p := &podServer{}
	s := serve(t, p.ServeHTTP)
	method := authMethod(func(context.Context, *api.Client) (*api.Secret,
		error) {
		panic("it is not called")
	})
	r := newResolver(t, vaultkv.Settings{Auth: method, Role: "app", JWTPath: jwtFile(t, "one")},
		time.Minute, nil)
	_, err := r.get(t, s.URL, ref.KubernetesAuth)
	require.NoError(t, err)
	require.Len(t, p.jwts, 1)
}

func TestAuthMethod_client(t *testing.T) {
	trap := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a variable sets the address") })
	for name, value := range map[string]string{
		"VAULT_ADDR": trap.URL, "VAULT_AGENT_ADDR": trap.URL, "VAULT_PROXY_ADDR": trap.URL,
		"VAULT_HTTP_PROXY": trap.URL,
		"VAULT_TOKEN":      "trap", "VAULT_WRAP_TTL": "5m", "VAULT_MAX_RETRIES": "9",
		"VAULT_NAMESPACE": "team",
		"VAULT_HEADERS":   `{"x-vault-token":"trap","X-Own":"own"}`,
	} {
		t.Setenv(name, value)
	}
	var mu sync.Mutex
	var logins []http.Header
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/login") {
			_, _ = io.WriteString(w, good)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		logins = append(logins, r.Header)
		if len(logins) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `{"auth":{"client_token":"`+token+`"}}`)
	})
	var clients []*api.Client
	method := authMethod(func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		clients = append(clients, c)
		assert.Empty(t, c.Token())
		assert.Equal(t, s.URL, c.Address())
		defer c.SetToken("changed") // as some methods do
		defer c.SetNamespace("changed")
		return posts(ctx, c)
	})
	r := newResolver(t, vaultkv.Settings{Auth: method}, time.Minute, allowAll)
	_, err := r.get(t, s.URL, ref.TokenAuth)
	require.NoError(t, err)
	require.Len(t, logins, 3)
	require.Len(t, clients, 3, "the Vault client does not retry")
	_, err = r.get(t, s.URL, ref.TokenAuth)
	require.NoError(t, err)
	require.NotSame(t, clients[0], clients[len(clients)-1])
	for _, h := range logins {
		require.Empty(t, h.Get("X-Vault-Token"))
		require.Empty(t, h.Get("X-Vault-Wrap-Ttl"))
		require.Equal(t, "team", h.Get("X-Vault-Namespace"))
		require.Equal(t, "own", h.Get("X-Own"))
	}
}

func TestAuthMethod_redirects(t *testing.T) {
	var seen atomic.Int32
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if seen.Add(1); strings.HasSuffix(r.URL.Path, "/login") {
			_, _ = io.WriteString(w, `{"auth":{"client_token":"`+token+`"}}`)
			return
		}
		_, _ = io.WriteString(w, good)
	})
	front := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	r := newResolver(t, vaultkv.Settings{Auth: authMethod(posts)}, time.Minute,
		func(u *url.URL) error {
			if u.Host != strings.TrimPrefix(front.URL, "http://") {
				return io.ErrNoProgress
			}
			return nil
		})
	_, err := r.get(t, front.URL, ref.TokenAuth)
	require.ErrorIs(t, err, fault.Unavailable)
	require.ErrorContains(t, err, "AllowEndpoint refused")
	require.Zero(t, seen.Load(), "the credentials stay")
	r = newResolver(t, vaultkv.Settings{Auth: authMethod(posts)}, time.Minute, allowAll)
	_, err = r.get(t, front.URL, ref.TokenAuth)
	require.NoError(t, err)
	require.EqualValues(t, 2, seen.Load())
}

func TestAuthMethod_failures(t *testing.T) {
	errOwn := errors.New("own " + canary)
	answers := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	gives := func(secret *api.Secret, err error) authMethod {
		return func(context.Context, *api.Client) (*api.Secret, error) { return secret, err }
	}
	for name, c := range map[string]struct {
		method authMethod
		answer http.HandlerFunc
		kind   error
		is     error
		words  string
	}{
		"nothing": {gives(nil, nil), nil, fault.Unauthenticated, nil, "returned no token"},
		"no auth": {gives(&api.Secret{}, nil), nil, fault.Unauthenticated, nil,
			"returned no token"},
		"an empty token": {gives(&api.Secret{Auth: &api.SecretAuth{}}, nil), nil,
			fault.Unauthenticated, nil, "returned no token"},
		"a token in two lines": {gives(&api.Secret{Auth: &api.SecretAuth{ClientToken: canary +
			"\r\nX: y"}}, nil), nil, fault.Unauthenticated, nil, "returned no token"},
		"a second factor": {gives(&api.Secret{Auth: &api.SecretAuth{MFARequirement: &api.MFARequirement{}}}, nil), nil, fault.Unauthenticated, nil, "second factor"},
		"its own error": {gives(nil, errOwn), nil, fault.Unauthenticated, errOwn,
			"before it called Vault"},
		"its own outage": {gives(nil, fmt.Errorf("%w: %w", errOwn, fault.Unavailable)), nil,
			fault.Unavailable, nil, "temporarily cannot log in"},
		"the network": {gives(nil,
			&net.DNSError{Err: canary, Name: "metadata.example", IsTimeout: true}), nil, fault.Unavailable,
			nil, "temporarily cannot log in"},
		"timeout of its own": {gives(nil, fmt.Errorf("%s: %w", canary, context.DeadlineExceeded)), nil,
			fault.Unavailable, nil, "temporarily cannot log in"},
		"a file": {gives(nil, &fs.PathError{Op: "open", Path: canary, Err: syscall.ENOENT}), nil,
			fault.Unauthenticated, fs.ErrNotExist, "before it called Vault"},
		"refused": {posts, answers(400, `{"errors":["invalid role or secret ID `+canary+`"]}`),
			fault.Unauthenticated, nil, "Vault refuses the login of VaultOptions.Auth (status 400)"},
		"forbidden": {posts, answers(403, `{"errors":["permission denied"]}`),
			fault.Unauthenticated, nil, "status 403"},
		"down": {posts, answers(503, `{"errors":["Vault is sealed"]}`), fault.Unavailable,
			nil, "is sealed"},
		"a gateway": {posts, answers(403, `{"message":"`+canary+`"}`), fault.Unavailable, nil,
			"not Vault's"},
		"a page": {posts, answers(200, `<html>`+canary), fault.Unavailable, nil,
			"not in Vault's JSON"},
		"a gateway's 200": {posts, answers(200, `{"status":"ok"}`), fault.Unavailable, nil,
			"not Vault's"},
		"no content": {posts, answers(204, ``), fault.Unavailable, nil, "not in Vault's JSON"},
		"no connection": {posts,
			func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Unavailable, nil,
			"closed the connection"},
		"a wrapped answer": {posts, answers(200, `{"auth":null,"wrap_info":{"token":"`+canary+`"}}`),
			fault.Unauthenticated, nil, "wrapped in another token"},
		"fails after its call": {func(ctx context.Context, c *api.Client) (*api.Secret, error) {
			_, _ = posts(ctx, c)
			return nil, errOwn
		}, answers(200, `{"data":{}}`), fault.Unauthenticated, errOwn, "refuses"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := c.answer
			if answer == nil {
				answer = func(http.ResponseWriter, *http.Request) { t.Error("nothing is sent") }
			}
			s := serve(t, answer)
			timeout := time.Minute
			if c.kind == fault.Unavailable { //nolint:errorlint // the table has the sentinel itself
				timeout = 500 * time.Millisecond // a login is repeated until then
			}
			r := newResolver(t, vaultkv.Settings{Auth: c.method}, timeout, allowAll)
			err := r.attempt(t, s.URL, ref.TokenAuth)
			require.ErrorIs(t, err, c.kind)
			require.ErrorContains(t, err, c.words)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			_, held := errors.AsType[*api.ResponseError](err)
			require.False(t, held, "the error contains the response")
			var path *fs.PathError
			require.False(t, errors.As(err, &path), "its path may be a token")
		})
	}
}

func TestAuthMethod_panics(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing is sent") })
	r := newResolver(t,
		vaultkv.Settings{Auth: authMethod(func(context.Context, *api.Client) (*api.Secret,
			error) {
			panic(canary)
		})}, time.Minute, allowAll)
	for range 2 { // the lock is released
		_, err := r.get(t, s.URL, ref.TokenAuth)
		require.ErrorIs(t, err, fault.Unavailable)
	}
}

// One login is used by all reads. It is replaced before its lease ends, and once after it was
// revoked.
func TestAuthMethod_lease(t *testing.T) {
	var running, most atomic.Int32
	method := authMethod(func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		return podMethod()(ctx, c)
	})
	simulate(t, vaultkv.Settings{Auth: method}, func(t *testing.T, s *simulation) {
		s.role(`"token_ttl":"1h"`)
		s.Latency(time.Second)
		all := func() {
			var readers sync.WaitGroup
			for range 50 {
				readers.Go(func() { assert.NoError(t, s.fetch(ref.TokenAuth)) })
			}
			readers.Wait()
		}
		all()
		require.Equal(t, 1, s.calls("/login"))
		s.must("POST", "auth/token/revoke", `{"token":"`+s.Requests()[len(s.Requests())-1].Token+`"}`)
		all()
		require.Equal(t, 2, s.calls("/login"))
		s.Latency(0)
		for range 100 {
			time.Sleep(time.Minute)
			require.NoError(t, s.fetch(ref.TokenAuth))
		}
		require.InDelta(t, 4, s.calls("/login"), 1)
		require.EqualValues(t, 1, most.Load())
		require.Empty(t, s.logged(slog.LevelInfo))
	})
}

// The servers share the method, but not a login. The method runs once at a time.
func TestAuthMethod_oneLoginAtATime(t *testing.T) {
	var running, most atomic.Int32
	method := authMethod(func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		return posts(ctx, c)
	})
	answer := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/login") {
			_, _ = io.WriteString(w, `{"auth":{"client_token":"`+token+`"}}`)
			return
		}
		_, _ = io.WriteString(w, good)
	}
	r := newResolver(t, vaultkv.Settings{Auth: method}, 10*time.Second, allowAll)
	var all sync.WaitGroup
	for range 8 {
		s := serve(t, answer)
		all.Go(func() {
			_, err := r.get(t, s.URL, ref.TokenAuth)
			assert.NoError(t, err)
		})
	}
	all.Wait()
	require.EqualValues(t, 1, most.Load())
}
