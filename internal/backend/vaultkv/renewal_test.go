package vaultkv_test

import (
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/ref"
)

func TestRenewal(t *testing.T) {
	for fields, life := range map[string]time.Duration{`"ttl":"1h"`: time.Hour,
		`"period":"1h"`: time.Hour, `"period":"3s"`: 3 * time.Second} {
		watch(t, true, fields, func(t *testing.T, s *simulation, _ *held) {
			time.Sleep(100 * life)
			require.NoError(t, s.fetch(ref.TokenAuth))
			require.Equal(t, 1, s.calls("/lookup-self"))
			require.InDelta(t, 100/0.62, s.calls("/renew-self"), 17, "after two thirds of the TTL, minus jitter")
			require.Empty(t, s.logged(slog.LevelInfo))
		})
	}
}

func TestRenewal_off(t *testing.T) {
	watch(t, false, `"period":"1h"`, func(t *testing.T, s *simulation, _ *held) {
		time.Sleep(time.Hour)
		require.Error(t, s.fetch(ref.TokenAuth))
		require.Zero(t, s.calls("/renew-self"))
	})
}

func TestRenewal_maxTTL(t *testing.T) {
	watch(t, true, `"ttl":"10h","explicit_max_ttl":"100h"`,
		func(t *testing.T, s *simulation, _ *held) {
			time.Sleep(100*time.Hour - time.Second)
			require.NoError(t, s.fetch(ref.TokenAuth))
			time.Sleep(time.Minute)
			lines := s.logged(slog.LevelWarn)
			require.Len(t, lines, 3)
			at, err := time.ParseDuration(strings.TrimSuffix(lines[0], ": "+aDay))
			require.NoError(t, err)
			// The first renewal that grants less than 10 hours shows it: up to two thirds of
			// 10 hours after the 90th hour.
			require.Greater(t, at, 90*time.Hour)
			require.LessOrEqual(t, at, 90*time.Hour+10*time.Hour*2/3)
			require.Regexp(t, "^99h0m[01]s: "+anHour, lines[1]) // Vault rounds up
			require.Regexp(t, "^100h0m[01]s: "+ended, lines[2])
			require.Contains(t, strings.Join(s.logged(slog.LevelInfo), "\n"), alone)
			require.Contains(t, s.log.String(), `reason="its max TTL is reached"`)
		})
}

func TestRenewal_backoff(t *testing.T) {
	watch(t, true, `"period":"300h"`, func(t *testing.T, s *simulation, _ *held) {
		for outage := range 2 {
			var tries []time.Time
			start := time.Now()
			s.answer("/renew-self", func(w http.ResponseWriter, _ *http.Request) {
				tries = append(tries, time.Now())
				w.WriteHeader(http.StatusBadGateway)
			})
			time.Sleep(299*time.Hour + 50*time.Minute)
			synctest.Wait()
			// Two thirds of 300 hours, minus a jitter of up to 30 hours, after the last renewal,
			// which was up to ten minutes before start.
			require.GreaterOrEqual(t, tries[0].Sub(start), 170*time.Hour-10*time.Minute)
			require.LessOrEqual(t, tries[0].Sub(start), 200*time.Hour)
			require.Less(t, tries[1].Sub(tries[0]), 11*time.Second)
			for i := range 5 {
				require.Greater(t, tries[i+2].Sub(tries[i+1]), tries[i+1].Sub(tries[i]))
			}
			require.InDelta(t, 115*60/8.75, len(tries), 120, "the last pauses are ten minutes, minus jitter")
			lines := s.logged(slog.LevelInfo)
			require.Len(t, lines, 2*(outage+1), "in each outage")
			require.Contains(t, lines[2*outage], aDay)
			require.Contains(t, lines[2*outage+1], anHour)

			s.Intercept(nil)
			time.Sleep(10 * time.Minute)
			require.NoError(t, s.fetch(ref.TokenAuth), "the token is renewed within ten minutes")
		}
		time.Sleep(1000 * time.Hour)
		require.Len(t, s.logged(slog.LevelInfo), 4)
		require.Contains(t, s.log.String(),
			`reason="unavailable: Vault at vault.example answered with status 502"`)
	})
}

func TestRenewal_timeout(t *testing.T) {
	watch(t, true, `"period":"10h"`, func(t *testing.T, s *simulation, _ *held) {
		var silent atomic.Int32
		s.answer("/renew-self", func(_ http.ResponseWriter, r *http.Request) {
			silent.Add(1)
			<-r.Context().Done()
			s.Intercept(nil)
		})
		time.Sleep(100 * time.Hour)
		require.NoError(t, s.fetch(ref.TokenAuth))
		require.EqualValues(t, 1, silent.Load())
		require.Empty(t, s.logged(slog.LevelInfo))
	})
}

func TestRenewal_failsUntilExpiry(t *testing.T) {
	for fields, want := range map[string]string{
		`"ttl":"300h"`: "300h0m0s: " + ended,
		`"ttl":"3s"`:   "3s: " + ended,
	} {
		watch(t, true, fields, func(t *testing.T, s *simulation, _ *held) {
			s.answer("/renew-self", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			time.Sleep(400 * time.Hour)
			lines := s.logged(slog.LevelInfo)
			require.Equal(t, want, lines[len(lines)-1])
			require.Greater(t, s.calls("/renew-self"), 3)
			calls := s.Calls()
			time.Sleep(time.Hour)
			require.Equal(t, calls, s.Calls(), "there are no more calls")
		})
	}
}

func TestRenewal_retryAfter(t *testing.T) {
	watch(t, true, `"ttl":"10h"`, func(t *testing.T, s *simulation, _ *held) {
		s.answer("/renew-self", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		time.Sleep(100 * time.Hour)
		require.Equal(t, 1, s.calls("/renew-self"))
		require.Equal(t, []string{"10h0m0s: " + ended}, s.logged(slog.LevelInfo))
	})
}

func TestRenewal_denied(t *testing.T) {
	h := &held{}
	simulate(t, h.settings(true), func(t *testing.T, s *simulation) {
		s.policy("reader",
			`path "secret/data/*" { capabilities = ["read"] } path "auth/token/lookup-self" { capabilities = ["read"] }`)
		h.token = s.mint(`"ttl":"100h","no_default_policy":true`)
		require.NoError(t, s.fetch(ref.TokenAuth))
		time.Sleep(101 * time.Hour)
		require.Equal(t, 1, s.calls("/renew-self"))
		require.Equal(t, []string{"76h0m0s: " + aDay, "99h0m0s: " + anHour, "100h0m0s: " + ended},
			s.logged(slog.LevelWarn))
		require.Contains(t, s.log.String(), `renew-self\" { capabilities = [\"update\"] }`)
	})
}

func TestRenewal_revoked(t *testing.T) {
	watch(t, true, `"ttl":"10h"`, func(t *testing.T, s *simulation, h *held) {
		time.Sleep(time.Hour)
		s.must("POST", "auth/token/revoke", `{"token":"`+h.token+`"}`)
		time.Sleep(100 * time.Hour)
		require.Equal(t, 1, s.calls("/renew-self"))
		lines := s.logged(slog.LevelInfo)
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], ended)
	})
}
