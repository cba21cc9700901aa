package vaultkv_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// authMethod is a function as an api.AuthMethod.
type authMethod func(context.Context, *api.Client) (*api.Secret, error)

func (m authMethod) Login(ctx context.Context, c *api.Client) (*api.Secret,
	error) {
	return m(ctx, c)
}

// podMethod is the Kubernetes login as a method of the caller.
func podMethod() authMethod {
	return func(ctx context.Context, c *api.Client) (*api.Secret, error) {
		return c.Logical().WriteWithContext(ctx, "auth/kubernetes/login",
			map[string]any{"role": "app", "jwt": jwt("method")})
	}
}

func TestDeniedPath(t *testing.T) {
	elsewhere := `path "secret/data/other" { capabilities = ["read"] }`
	for name, c := range map[string]struct {
		auth     string
		settings vaultkv.Settings
	}{
		"pod":    {ref.KubernetesAuth, pod(t)},
		"method": {ref.TokenAuth, vaultkv.Settings{Auth: podMethod()}},
	} {
		for _, between := range []time.Duration{0, time.Second, 5 * time.Second} {
			t.Run(name+" reads it every "+between.String(), func(t *testing.T) {
				simulate(t, c.settings, func(t *testing.T, s *simulation) {
					s.role(`"token_ttl":"24h"`)
					s.policy("reader", elsewhere)
					s.ResetCalls()
					for range 100 {
						require.ErrorIs(t, s.fetch(c.auth), fault.Denied)
						time.Sleep(between)
					}
					logins := s.calls("/login")
					require.LessOrEqual(t, logins, 5)
					require.Equal(t, 100+logins-1, s.calls("/db"),
						"one for each read, and one more for each later login")
				})
			})
		}
		t.Run(name+" is granted with the next login", func(t *testing.T) {
			simulate(t, c.settings, func(t *testing.T, s *simulation) {
				s.policy("other", elsewhere)
				s.must("POST", "auth/kubernetes/role/app", `{"bound_service_account_names":["app-sa"],
					"bound_service_account_namespaces":["prod"],"token_policies":["other"],"token_ttl":"24h"}`)
				require.ErrorIs(t, s.fetch(c.auth), fault.Denied)
				s.role(`"token_ttl":"24h"`) // with another policy
				time.Sleep(2 * time.Minute)
				require.NoError(t, s.fetch(c.auth))
				require.Equal(t, 1, s.calls("/login"))
				s.policy("reader", elsewhere)
				time.Sleep(time.Minute)
				s.ResetCalls()
				require.ErrorIs(t, s.fetch(c.auth), fault.Denied)
				require.Equal(t, 1, s.calls("/login"), "there is no pause for a path that was read")
			})
		})
	}
}

func TestDeniedPath_tokenFunction(t *testing.T) {
	asked, logins := 0, 0
	var seen <-chan struct{}
	h := &held{}
	settings := vaultkv.Settings{Token: func(ctx context.Context) (string, error) {
		if asked++; seen == ctx.Done() {
			logins++
		}
		seen = ctx.Done()
		return h.token, nil
	}}
	simulate(t, settings, func(t *testing.T, s *simulation) {
		h.token = s.mint(`"ttl":"24h"`)
		s.policy("reader", `path "secret/data/other" { capabilities = ["read"] }`)
		s.ResetCalls()
		for range 100 {
			require.ErrorIs(t, s.fetch(ref.TokenAuth), fault.Denied)
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, logins, 5)
		require.Equal(t, 100+logins, asked)
		require.Equal(t, 100, s.Calls())

		// A later token is used.
		s.policy("writer", `path "secret/data/*" { capabilities = ["read"] }`)
		h.token = tokenIn(t, s.must("POST", "auth/token/create", `{"policies":["writer"]}`))
		require.NoError(t, s.fetch(ref.TokenAuth))
	})
}

func TestDeniedPath_gatewayMakesNoLogin(t *testing.T) {
	simulate(t, pod(t), func(t *testing.T, s *simulation) {
		s.role(`"token_ttl":"24h"`)
		require.NoError(t, s.fetch(ref.KubernetesAuth))
		time.Sleep(time.Hour)
		s.answer("/db", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"message":"Forbidden"}`))
		})
		require.ErrorIs(t, s.fetch(ref.KubernetesAuth), fault.Unavailable)
		require.Equal(t, 1, s.calls("/login"))
	})
}

// A Vault that does not accept the tokens that it issues is not flooded with logins.
func TestLogin_unknownToken(t *testing.T) {
	simulate(t, pod(t), func(t *testing.T, s *simulation) {
		s.role(`"token_ttl":"24h"`)
		s.answer("/db", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"errors":["permission denied","invalid token"]}`))
		})
		for range 100 {
			require.ErrorIs(t, s.fetch(ref.KubernetesAuth), fault.Unauthenticated)
			time.Sleep(time.Second / 2)
		}
		require.LessOrEqual(t, s.calls("/login"), 6, "one in ten seconds")
	})
}

// A token with few uses may have none left while other reads use it.
func TestTokenUses(t *testing.T) {
	const readers = 20
	for name, c := range map[string]struct {
		auth     string
		settings vaultkv.Settings
		fields   string
		logins   int
	}{
		"pod, one use each":    {ref.KubernetesAuth, pod(t), `"token_num_uses":1`, readers},
		"pod, three uses each": {ref.KubernetesAuth, pod(t), `"token_num_uses":3`, 7},
		"method, one use each": {ref.TokenAuth, vaultkv.Settings{Auth: podMethod()}, `"token_num_uses":1`,
			readers},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, c.settings, func(t *testing.T, s *simulation) {
				s.role(`"token_ttl":"1h",` + c.fields)
				s.Latency(10 * time.Millisecond)
				var all sync.WaitGroup
				for range readers {
					all.Go(func() { assert.NoError(t, s.fetch(c.auth)) })
				}
				all.Wait()
				require.Equal(t, readers, s.calls("/db"), "no read is refused")
				require.Equal(t, c.logins, s.calls("/login"))
			})
		})
	}
}

// A method or a function may return tokens whose number of uses is unknown.
func TestTokenUses_unknown(t *testing.T) {
	const readers = 20
	for _, name := range []string{"method", "function"} {
		t.Run(name, func(t *testing.T) {
			var (
				s      *simulation
				turn   chan bool // a Mutex does not block durably
				last   string
				given  = map[<-chan struct{}]string{}
				minted atomic.Int32
			)
			mint := func() string {
				minted.Add(1)
				return tokenIn(t, s.must("POST", "auth/token/create", `{"policies":["reader"],"num_uses":1}`))
			}
			settings := vaultkv.Settings{Token: func(ctx context.Context) (string, error) {
				turn <- true
				defer func() { <-turn }()
				if last == "" || given[ctx.Done()] == last { // the last token was refused
					last = mint()
				}
				given[ctx.Done()] = last
				return last, nil
			}}
			if name == "method" {
				settings = vaultkv.Settings{Auth: authMethod(func(context.Context, *api.Client) (*api.Secret,
					error) {
					return &api.Secret{Auth: &api.SecretAuth{ClientToken: mint(), LeaseDuration: 3600}}, nil
				})}
			}
			simulate(t, settings, func(t *testing.T, made *simulation) {
				s, turn = made, make(chan bool, 1)
				s.Latency(10 * time.Millisecond)
				var all sync.WaitGroup
				for range readers {
					all.Go(func() { assert.NoError(t, s.fetch(ref.TokenAuth)) })
				}
				all.Wait()
				require.EqualValues(t, readers, minted.Load())
			})
		})
	}
}

// A lookup of the mount would be refused: the token has no uses left.
func TestTokenUses_notFound(t *testing.T) {
	simulate(t, pod(t), func(t *testing.T, s *simulation) {
		s.role(`"token_ttl":"1h","token_num_uses":1`)
		_, err := s.backend.Fetch(t.Context(),
			ref.Target{Kind: ref.Vault, Mount: "secret", Path: "none", Endpoint: s.URL(),
				Auth: ref.KubernetesAuth})
		require.ErrorIs(t, err, fault.NotFound)
		require.Equal(t, 2, s.Calls())
	})
}

// The lookup of a mount only improves an error message, so it has a short timeout.
func TestMountLookup_hangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "/sys/") {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return &http.Response{StatusCode: 404, Header: http.Header{},
				Body: io.NopCloser(strings.NewReader(`{"errors":[]}`)), Request: r}, nil
		})
		r := newResolver(t, vaultkv.Settings{Transport: hangs}, 30*time.Second, nil)
		start := time.Now()
		_, err := r.get(t, "https://vault.example", ref.TokenAuth)
		require.ErrorIs(t, err, fault.NotFound)
		require.LessOrEqual(t, time.Since(start), 2*time.Second)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// If a Token function cannot reach its source, Vault is unavailable.
func TestTokenFunction_outage(t *testing.T) {
	for name, c := range map[string]struct{ cause, kind error }{
		"no connection":      {&net.OpError{Op: "dial", Err: errors.New(canary)}, fault.Unavailable},
		"no name":            {&net.DNSError{Err: canary}, fault.Unavailable},
		"a failed request":   {&url.Error{Op: "Get", URL: canary, Err: io.EOF}, fault.Unavailable},
		"timeout of its own": {context.DeadlineExceeded, fault.Unavailable},
		"a file": {&fs.PathError{Op: "open", Path: canary, Err: fs.ErrNotExist},
			fault.Unauthenticated},
		"anything else": {errors.New(canary), fault.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing is sent") })
			r := newResolver(t, vaultkv.Settings{Token: func(context.Context) (string, error) {
				return "", fmt.Errorf("%s: %w", canary, c.cause)
			}}, time.Minute, nil)
			err := r.attempt(t, s.URL, ref.TokenAuth)
			require.Truef(t, fault.KindIs(err, c.kind), "%v", err)
			require.NotContains(t, err.Error(), canary)
		})
	}
}
