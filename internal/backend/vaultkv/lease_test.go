package vaultkv_test

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

func TestLease_replacedBeforeEnd(t *testing.T) {
	for _, fields := range []string{
		`"token_ttl":"1h"`,
		`"token_ttl":"1h","token_max_ttl":"1h"`,
		`"token_ttl":"2h","token_explicit_max_ttl":"1h"`,
		`"token_period":"1h"`,
	} {
		settings := pod(t)
		simulate(t, settings, func(t *testing.T, s *simulation) {
			s.role(fields)
			for minute := range 110 {
				require.NoError(t, s.fetch(ref.KubernetesAuth))
				if minute == 20 {
					require.NoError(t, os.WriteFile(settings.JWTPath, []byte(jwt("second")+"\n"), 0o600))
				}
				time.Sleep(time.Minute)
			}
			require.Len(t, s.logins, 3)
			require.InDelta(t, 39*time.Minute, s.logins[1], float64(3*time.Minute),
				"after two thirds of an hour, minus jitter")
			require.InDelta(t, 78*time.Minute, s.logins[2], float64(6*time.Minute))
			require.Equal(t, []string{jwt("first"), jwt("second"), jwt("second")}, s.jwts)
			require.Equal(t, 110, s.calls("/db"), "no read is refused")
			require.Empty(t, s.logged(slog.LevelInfo))
		})
	}
}

func TestLease_withoutEnd(t *testing.T) {
	simulate(t, pod(t), func(t *testing.T, s *simulation) {
		s.answer("/login", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"auth":{"client_token":"`+s.RootToken()+`","lease_duration":0}}`)
		})
		for range 10 {
			require.NoError(t, s.fetch(ref.KubernetesAuth))
			time.Sleep(1000 * time.Hour)
		}
		require.Equal(t, 1, s.calls("/login"))
	})
}

func TestLease_oneReaderReplaces(t *testing.T) {
	simulate(t, pod(t), func(t *testing.T, s *simulation) {
		s.role(`"token_ttl":"1h"`)
		require.NoError(t, s.fetch(ref.KubernetesAuth))
		time.Sleep(50 * time.Minute)
		s.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/login") {
				time.Sleep(time.Second)
			}
			return false
		})
		took := make(chan time.Duration, 100)
		for range 100 {
			go func() {
				start := time.Now()
				assert.NoError(t, s.fetch(ref.KubernetesAuth))
				took <- time.Since(start)
			}()
		}
		var waited time.Duration
		for range 100 {
			waited += <-took
		}
		require.Equal(t, time.Second, waited, "only one of 100 reads waits")
		require.Equal(t, 2, s.calls("/login"))
		require.Equal(t, 101, s.calls("/db"))
	})
}

// If the next login fails, the current token is used until its lease ends.
func TestLease_loginFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		kind   error
		waits  time.Duration
	}{
		"unavailable": {func(w http.ResponseWriter,
			_ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}, fault.Unavailable, 0},
		"reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			fault.Unavailable, 0},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			fault.Unavailable, 2 * time.Second},
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"errors":["permission denied"]}`)
		}, fault.Unauthenticated, 0},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, pod(t), func(t *testing.T, s *simulation) {
				s.role(`"token_ttl":"1h"`)
				require.NoError(t, s.fetch(ref.KubernetesAuth))
				s.answer("/login", c.answer)
				for time.Since(s.started) < 59*time.Minute+45*time.Second {
					start := time.Now()
					require.NoError(t, s.fetch(ref.KubernetesAuth))
					require.LessOrEqual(t, time.Since(start), c.waits)
					time.Sleep(5 * time.Second)
				}
				tried := s.calls("/login") - 1
				require.Greater(t, tried, 10)
				require.Less(t, tried, 30, "there are pauses between logins")
				require.Len(t, s.logged(slog.LevelWarn), tried)
				require.Contains(t, s.log.String(), "expires=2000-01-01T00:59:50Z")

				time.Sleep(10 * time.Second)
				require.ErrorIs(t, s.fetch(ref.KubernetesAuth), c.kind)
				s.Intercept(nil)
				require.NoError(t, s.fetch(ref.KubernetesAuth))
			})
		})
	}
}

func TestLease_retryAfter(t *testing.T) {
	simulate(t, pod(t), func(t *testing.T, s *simulation) {
		s.role(`"token_ttl":"1h"`)
		require.NoError(t, s.fetch(ref.KubernetesAuth))
		s.answer("/login", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "900")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		for time.Since(s.started) < 50*time.Minute {
			require.NoError(t, s.fetch(ref.KubernetesAuth))
			time.Sleep(5 * time.Second)
		}
		require.Equal(t, 2, s.calls("/login"))
	})
}

func TestLease_revoked(t *testing.T) {
	simulate(t, pod(t), func(t *testing.T, s *simulation) {
		s.role(`"token_ttl":"1h"`)
		require.NoError(t, s.fetch(ref.KubernetesAuth))
		s.Latency(time.Second)
		last := s.Requests()[len(s.Requests())-1].Token
		s.must("POST", "auth/token/revoke", `{"token":"`+last+`"}`)
		var readers sync.WaitGroup
		for i := range 100 {
			readers.Go(func() {
				time.Sleep(time.Duration(i) * 30 * time.Millisecond)
				assert.NoError(t, s.fetch(ref.KubernetesAuth))
			})
		}
		readers.Wait()
		require.Equal(t, 2, s.calls("/login"))
	})
}

func TestLease_denied(t *testing.T) {
	simulate(t, pod(t), func(t *testing.T, s *simulation) {
		s.role(`"token_ttl":"1h"`)
		require.NoError(t, s.fetch(ref.KubernetesAuth))
		s.policy("reader", `path "secret/data/other" { capabilities = ["read"] }`)
		time.Sleep(time.Minute)
		s.Latency(time.Second)
		var readers sync.WaitGroup
		for range 100 {
			readers.Go(func() { assert.ErrorIs(t, s.fetch(ref.KubernetesAuth), fault.Denied) })
		}
		readers.Wait()
		require.Equal(t, 2, s.calls("/login"))
	})
}

func TestLease_close(t *testing.T) {
	simulate(t, pod(t), func(t *testing.T, s *simulation) {
		s.role(`"token_ttl":"1h"`)
		s.answer("/login", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		ended := make(chan error)
		go func() { ended <- s.fetch(ref.KubernetesAuth) }()
		synctest.Wait()
		start := time.Now()
		s.backend.Close()
		require.ErrorIs(t, <-ended, fault.Unavailable)
		require.Zero(t, time.Since(start))
	})
}
