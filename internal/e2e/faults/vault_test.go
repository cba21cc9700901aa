package faults

import (
	"errors"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestRedirect_token(t *testing.T) {
	active, standby := startPair(t)
	errNo := errors.New("no")
	for name, c := range map[string]struct {
		allow func(*url.URL) error
		kind  error
	}{
		"no AllowEndpoint": {nil, secretref.ErrUnavailable},
		"allowed":          {func(*url.URL) error { return nil }, nil},
		"refused": {func(u *url.URL) error {
			if u.Scheme+"://"+u.Host == active.url {
				return errNo
			}
			return nil
		}, secretref.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newVaultWorld(t, active, setup{allow: c.allow})
			t.Parallel()
			w.standby = standby
			standBy(w)
			r := w.resolver(secretref.Options{Timeout: fullTimeout})
			before := w.tally()
			got := w.ask(r)
			w.bounded(before, 1)
			require.Equal(t, 1, standby.received(w.token))
			if c.kind != nil {
				w.fails(got.err, c.kind)
				require.Contains(t, got.err.Error(), active.url)
				require.Zero(t, active.received(w.token))
				return
			}
			require.NoError(t, got.err)
			require.Equal(t, first, got.value)
			require.Equal(t, 1, active.received(w.token))
		})
	}
}

func TestTokenReplacedMidFlight(t *testing.T) {
	t.Parallel()
	w := newVaultWorld(t, startVault(t), setup{})
	var once sync.Once
	w.gate.intercept(func(http.ResponseWriter, *http.Request) bool {
		once.Do(func() {
			w.vault.revoke(w.token)
			w.renew()
		})
		return false
	})
	r := w.resolver(secretref.Options{Timeout: fullTimeout})
	w.gets(r, first)
	require.Equal(t, 2, w.tally().calls)
	require.Equal(t, 1, w.tally().attempts)
}

// The rate limit is a quota of Vault itself: one call in three seconds for this secret.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	w := newVaultWorld(t, startVault(t), setup{})
	w.vault.must("POST", "sys/quotas/config",
		map[string]any{"enable_rate_limit_response_headers": true})
	w.vault.must("POST", "sys/quotas/rate-limit/"+w.name, map[string]any{
		"path": "secret/data/" + w.name, "rate": 1, "interval": "3s"})
	r := w.resolver(secretref.Options{TTL: -1, Timeout: fullTimeout})
	w.gets(r, first)
	before := w.tally()
	got := w.ask(r)
	require.NoError(t, got.err)
	require.Equal(t, first, got.value)
	require.Greater(t, got.waited, time.Second)
	require.Less(t, got.waited, 3*time.Second+slack)
	t.Logf("waited %v: %v", got.waited.Round(time.Millisecond), w.bounded(before, 3))
}
