package vaultkv_test

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/ref"
)

const (
	aDay   = "the vault token expires within a day"
	anHour = "the vault token expires within an hour"
	ended  = "the vault token has expired"
	alone  = "the vault token is no longer renewed"
)

// held is a token that a test can replace.
type held struct{ token string }

func (h *held) settings(renew bool) vaultkv.Settings {
	return vaultkv.Settings{RenewToken: renew,
		Token: func(context.Context) (string, error) { return h.token, nil }}
}

// watch runs test with a token with the fields, which was used once.
func watch(t *testing.T, renew bool, fields string,
	test func(t *testing.T, s *simulation, h *held)) {
	t.Helper()
	h := &held{}
	simulate(t, h.settings(renew), func(t *testing.T, s *simulation) {
		h.token = s.mint(fields)
		require.NoError(t, s.fetch(ref.TokenAuth))
		test(t, s, h)
	})
}

func TestWatch_expiryWarnings(t *testing.T) {
	watch(t, true, `"ttl":"100h","renewable":false`, func(t *testing.T, s *simulation, _ *held) {
		time.Sleep(200 * time.Hour)
		require.Equal(t, []string{"76h0m0s: " + aDay, "99h0m0s: " + anHour, "100h0m0s: " + ended},
			s.logged(slog.LevelWarn))
		require.Contains(t, s.log.String(), "host=vault.example expires=2000-01-05T04:00:00Z")
		require.Equal(t, 4, s.calls("/lookup-self"), "at first, and before each warning")
		require.Zero(t, s.calls("/renew-self"))
	})
}

func TestWatch_shortTTL(t *testing.T) {
	for ttl, want := range map[string][]string{
		"5h":  {"0s: " + aDay, "4h0m0s: " + anHour, "5h0m0s: " + ended},
		"30m": {"0s: " + anHour, "30m0s: " + ended},
	} {
		watch(t, true, `"ttl":"`+ttl+`","renewable":false`, func(t *testing.T, s *simulation, _ *held) {
			time.Sleep(10 * time.Hour)
			require.Equal(t, want, s.logged(slog.LevelWarn))
		})
	}
}

// A lookup costs one use of a token with a limited number of uses.
func TestWatch_withoutRenewal(t *testing.T) {
	watch(t, false, `"ttl":"100h","num_uses":3`, func(t *testing.T, s *simulation, _ *held) {
		time.Sleep(50 * time.Hour)
		require.NoError(t, s.fetch(ref.TokenAuth))
		time.Sleep(49 * time.Hour)
		require.NoError(t, s.fetch(ref.TokenAuth))
		require.Equal(t, 3, s.Calls(), "only the reads")
		require.Empty(t, s.logged(slog.LevelDebug))
	})
}

func TestWatch_refusedToken(t *testing.T) {
	h := &held{"hvs." + canary}
	simulate(t, h.settings(true), func(t *testing.T, s *simulation) {
		require.Error(t, s.fetch(ref.TokenAuth))
		time.Sleep(time.Hour)
		require.Zero(t, s.calls("/lookup-self"))
	})
}

func TestWatch_withoutEnd(t *testing.T) {
	h := &held{}
	simulate(t, h.settings(true), func(t *testing.T, s *simulation) {
		h.token = s.RootToken()
		for range 10 {
			require.NoError(t, s.fetch(ref.TokenAuth))
			time.Sleep(1000 * time.Hour)
		}
		require.Equal(t, 11, s.Calls())
		require.Empty(t, s.logged(slog.LevelDebug))
	})
}

func TestWatch_lookupDenied(t *testing.T) {
	watch(t, true, `"ttl":"2h","no_default_policy":true`, func(t *testing.T, s *simulation, _ *held) {
		time.Sleep(time.Hour)
		require.NoError(t, s.fetch(ref.TokenAuth))
		require.Equal(t, 3, s.Calls())
		require.Len(t, s.logged(slog.LevelDebug), 1)
		require.Contains(t, s.log.String(), `lookup-self\" { capabilities = [\"read\"] }`)
		require.Empty(t, s.logged(slog.LevelInfo))
	})
}

func TestWatch_lookupRetried(t *testing.T) {
	watch(t, true, `"ttl":"1h"`, func(t *testing.T, s *simulation, _ *held) {
		s.answer("/lookup-self",
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		time.Sleep(10 * time.Minute)
		require.LessOrEqual(t, s.calls("/lookup-self"), 10)
		s.Intercept(nil)
		time.Sleep(10 * time.Hour)
		require.NoError(t, s.fetch(ref.TokenAuth))
		require.Empty(t, s.logged(slog.LevelInfo))
	})
}

func TestWatch_renewedElsewhere(t *testing.T) {
	// The token may look itself up, but not renew itself.
	watch := func(fields string, test func(t *testing.T, s *simulation, h *held)) {
		h := &held{}
		simulate(t, h.settings(true), func(t *testing.T, s *simulation) {
			s.policy("reader",
				`path "secret/data/*" { capabilities = ["read"] } path "auth/token/lookup-self" { capabilities = ["read"] }`)
			h.token = s.mint(fields + `,"no_default_policy":true`)
			require.NoError(t, s.fetch(ref.TokenAuth))
			test(t, s, h)
		})
	}
	watch(`"ttl":"200h"`, func(t *testing.T, s *simulation, h *held) {
		for range 4 {
			time.Sleep(150 * time.Hour)
			require.NoError(t, s.fetch(ref.TokenAuth))
			if time.Since(s.started) < 600*time.Hour {
				s.must("POST", "auth/token/renew", `{"token":"`+h.token+`"}`)
			}
		}
		time.Sleep(100 * time.Hour)
		lines := s.logged(slog.LevelWarn)
		require.Equal(t,
			[]string{"626h0m0s: " + aDay, "649h0m0s: " + anHour, "650h0m0s: " + ended}, lines)
	})
	watch(`"ttl":"1h"`, func(t *testing.T, s *simulation, h *held) {
		for range 100 {
			time.Sleep(30 * time.Minute)
			s.must("POST", "auth/token/renew", `{"token":"`+h.token+`"}`)
		}
		lines := s.logged(slog.LevelWarn)
		require.Len(t, lines, 1, "only before the first renewal")
		require.Contains(t, lines[0], anHour)
	})
}

func TestWatch_revoked(t *testing.T) {
	watch(t, true, `"ttl":"100h","renewable":false`, func(t *testing.T, s *simulation, h *held) {
		time.Sleep(time.Hour)
		s.must("POST", "auth/token/revoke", `{"token":"`+h.token+`"}`)
		time.Sleep(200 * time.Hour)
		require.Equal(t, []string{"76h0m0s: " + ended}, s.logged(slog.LevelWarn))
	})
}

func TestWatch_replacedToken(t *testing.T) {
	watch(t, true, `"ttl":"10h"`, func(t *testing.T, s *simulation, h *held) {
		time.Sleep(time.Hour)
		old := h.token
		h.token = s.mint(`"ttl":"20h"`)
		for range 3 {
			require.NoError(t, s.fetch(ref.TokenAuth))
			synctest.Wait()
		}
		require.Equal(t, 1, s.calls("/lookup-self"))
		time.Sleep(100 * time.Hour)
		for _, r := range s.Requests() {
			require.NotEqual(t, old, r.Token)
		}
		require.NoError(t, s.fetch(ref.TokenAuth))
		require.Empty(t, s.logged(slog.LevelInfo), "there is no warning about the old token")
	})
}

func TestWatch_slowRead(t *testing.T) {
	watch(t, true, `"ttl":"10h"`, func(t *testing.T, s *simulation, h *held) {
		s.Latency(time.Second)
		slow := make(chan error)
		go func() { slow <- s.fetch(ref.TokenAuth) }()
		synctest.Wait()
		s.Latency(0)
		h.token = s.mint(`"ttl":"20h"`)
		require.NoError(t, s.fetch(ref.TokenAuth))
		require.NoError(t, <-slow)
		synctest.Wait()
		require.Equal(t, 1, s.calls("/lookup-self"))
	})
}

func TestWatch_refusedEndpoint(t *testing.T) {
	h := &held{}
	simulate(t, h.settings(true), func(t *testing.T, s *simulation) {
		h.token = s.mint(`"ttl":"10h"`)
		require.NoError(t, s.fetch(ref.TokenAuth))
		synctest.Wait()
		s.refuse.Store(true)
		time.Sleep(10 * time.Hour)
		require.Zero(t, s.calls("/renew-self"))
		require.Equal(t, 1, s.calls("/lookup-self"))
	})
}

// simulate fails if a goroutine is left after Close.
func TestWatch_close(t *testing.T) {
	for _, c := range []struct {
		fields string
		fresh  bool
		call   string
	}{
		{`"ttl":"10h"`, true, "/lookup-self"},
		{`"ttl":"10h"`, false, "/renew-self"},
		{`"ttl":"10h","renewable":false`, false, "/lookup-self"}, // before a warning
	} {
		watch(t, true, c.fields, func(t *testing.T, s *simulation, h *held) { // during a call
			time.Sleep(2 * time.Minute)
			if c.fresh {
				h.token = s.mint(`"ttl":"10h"`)
			}
			before, called := s.logged(slog.LevelDebug), make(chan bool)
			s.answer(c.call, func(_ http.ResponseWriter, r *http.Request) {
				called <- true
				<-r.Context().Done()
				time.Sleep(time.Second)
			})
			require.NoError(t, s.fetch(ref.TokenAuth))
			<-called
			start := time.Now()
			s.backend.Close()
			require.Equal(t, time.Second, time.Since(start), "Close waits")
			require.Equal(t, before, s.logged(slog.LevelDebug))
		})
	}
	watch(t, true, `"ttl":"10h"`, func(t *testing.T, s *simulation, _ *held) { // between renewals
		time.Sleep(100 * time.Hour)
		start := time.Now()
		s.backend.Close()
		require.Zero(t, time.Since(start))
		calls := s.Calls()
		time.Sleep(100 * time.Hour)
		require.Equal(t, calls, s.Calls())
		require.Empty(t, s.logged(slog.LevelInfo))
	})
}

func TestTokenFunction_context(t *testing.T) {
	var seen []<-chan struct{}
	settings := vaultkv.Settings{Token: func(ctx context.Context) (string, error) {
		seen = append(seen, ctx.Done())
		return "hvs." + canary + strconv.Itoa(len(seen)), nil
	}}
	simulate(t, settings, func(t *testing.T, s *simulation) {
		for range 2 {
			require.Error(t, s.fetch(ref.TokenAuth))
		}
		require.Len(t, seen, 4)
		require.True(t, seen[0] == seen[1] && seen[2] == seen[3])
		require.False(t, seen[0] == seen[2])
	})
}
