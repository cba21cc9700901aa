package secretref_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
)

func TestLastKnown_startDuringOutage(t *testing.T) {
	keyringInBubble(t, startDuringOutage)
}

func startDuringOutage(t *testing.T) {
	k := newKeyring(t)
	var log bytes.Buffer
	store := &remote{texts: map[string]string{remoteA: "hunter2"}}
	start := func() *secretref.Resolver {
		return secretref.New(&secretref.Options{
			LastKnown: k, Timeout: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Providers: []secretref.Provider{
				{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: store.fetch},
			}})
	}
	r := start()
	require.Equal(t, "hunter2", resolveText(t, r, remoteA))
	require.NoError(t, r.Close())

	store.fails(secretref.ErrUnavailable)
	r = start()
	live, err := r.Watch(t.Context(), remoteA)
	require.NoError(t, err)
	require.Equal(t, "hunter2", live.Value().Reveal())
	fetched, err := live.Status()
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.WithinDuration(t, time.Now(), fetched, 10*time.Second)
	require.Contains(t, log.String(), "level=WARN")
	require.NoError(t, r.Close())

	for name, err := range k.Names(t.Context()) {
		require.Fail(t, "Names yields a reserved name", "%q %v", name, err)
	}
	keys, err := k.Keys(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, keys[0].Secrets)
	_, err = k.Rotate(t.Context())
	require.NoError(t, err)
	require.NoError(t, k.Verify(t.Context()))

	store.fails(secretref.ErrNotFound)
	r = start()
	_, err = r.Resolve(t.Context(), remoteA)
	require.ErrorIs(t, err, secretref.ErrNotFound)
	require.NoError(t, r.Close())
	keys, err = k.Keys(t.Context())
	require.NoError(t, err)
	require.Zero(t, keys[0].Secrets+keys[1].Secrets, "a deleted secret is removed")

	store.fails(secretref.ErrUnavailable)
	r = start()
	defer r.Close()
	_, err = r.Resolve(t.Context(), remoteA)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.NotContains(t, log.String(), "hunter2")
}

func TestLastKnown_reservedNames(t *testing.T) {
	k := newKeyring(t)
	const name = ".secretref/last-known/x"
	require.ErrorIs(t, k.Put(t.Context(), name, secretref.NewSecret("x")), secretref.ErrSyntax)
	_, err := k.Get(t.Context(), name)
	require.ErrorIs(t, err, secretref.ErrNotFound)
	require.ErrorIs(t, k.Delete(t.Context(), name), secretref.ErrNotFound)
	require.NoError(t, k.Put(t.Context(), ".secretref", secretref.NewSecret("x")),
		"other names are not reserved")
}

func TestLastKnown_closedKeyring(t *testing.T) {
	k := newKeyring(t)
	var log bytes.Buffer
	require.NoError(t, k.Close())
	store := &remote{texts: map[string]string{remoteA: "hunter2"}}
	r := secretref.New(&secretref.Options{
		LastKnown: k, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Providers: []secretref.Provider{
			{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: store.fetch},
		}})
	require.Equal(t, "hunter2", resolveText(t, r, remoteA))
	require.NoError(t, r.Close())
	require.Contains(t, log.String(), "the last known secret cannot be stored")
}

func TestLastKnown_namespaces(t *testing.T) {
	k := newKeyring(t)
	s := vaultFake(t)
	s.Put("secret", "db", map[string]any{"k": "of team a"})
	start := func(namespace string, timeout time.Duration) *secretref.Resolver {
		return secretref.New(&secretref.Options{
			LastKnown: k, Timeout: timeout, Vault: secretref.VaultOptions{
				Namespace: namespace,
				Token:     func(context.Context) (string, error) { return s.RootToken(), nil },
			},
		})
	}
	value := vaultValue(s.URL(), "db", "k")
	r := start("team-a", 0)
	require.Equal(t, "of team a", resolveText(t, r, value))
	require.NoError(t, r.Close())

	s.Fail(100, http.StatusServiceUnavailable, nil)
	r = start("team-a", 50*time.Millisecond)
	require.Equal(t, "of team a", resolveText(t, r, value))
	require.NoError(t, r.Close())
	r = start("team-b", 50*time.Millisecond)
	defer r.Close()
	_, err := r.Resolve(t.Context(), value)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
}

func TestLastKnown(t *testing.T) {
	t.Run("coordinates are compared byte by byte", func(t *testing.T) {
		keyringInBubble(t, lastKnownByCoordinates)
	})
	t.Run("a refusal of AllowEndpoint deletes nothing", func(t *testing.T) {
		k := newKeyring(t)
		s := vaultFake(t)
		s.Put("secret", "db", map[string]any{"k": "good"})
		var refuses atomic.Bool
		start := func(timeout time.Duration) *secretref.Resolver {
			return secretref.New(&secretref.Options{LastKnown: k, Timeout: timeout,
				Vault: secretref.VaultOptions{
					Token: func(context.Context) (string, error) { return s.RootToken(), nil },
				},
				AllowEndpoint: func(*url.URL) error {
					if refuses.Load() {
						return secretref.ErrUnavailable // the policy depends on a service that is down
					}
					return nil
				}})
		}
		value := vaultValue(s.URL(), "db", "k")
		r := start(0)
		live, err := r.Watch(t.Context(), value)
		require.NoError(t, err)
		refuses.Store(true)
		_, err = live.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrDenied)
		require.NoError(t, r.Close())

		r = start(0)
		_, err = r.Resolve(t.Context(), value)
		require.ErrorIs(t, err, secretref.ErrDenied, "it is not served either")
		require.NoError(t, r.Close())

		refuses.Store(false)
		s.Fail(100, http.StatusServiceUnavailable, nil)
		r = start(50 * time.Millisecond)
		defer r.Close()
		require.Equal(t, "good", resolveText(t, r, value))
	})
	t.Run("a refusal of another Resolver deletes nothing", func(t *testing.T) {
		keyringInBubble(t, lastKnownAfterForeignRefusal)
	})
}

func lastKnownByCoordinates(t *testing.T) {
	k := newKeyring(t)
	store := &remote{texts: map[string]string{"db-\xff": "first"}}
	start := func() *secretref.Resolver {
		return secretref.New(&secretref.Options{LastKnown: k, Timeout: time.Second,
			Providers: []secretref.Provider{{ClassName: "com.example.Store", Fetch: store.fetch}}})
	}
	resolve := func(r *secretref.Resolver, coordinates string) (string, error) {
		s, err := r.ResolveReference(t.Context(), secretref.CustomReference{
			Class: "com.example.Store", Coordinates: coordinates,
		})
		return s.Reveal(), err
	}
	r := start()
	got, err := resolve(r, "db-\xff")
	require.NoError(t, err)
	require.Equal(t, "first", got)
	require.NoError(t, r.Close())

	store.fails(fault.New(fault.Unavailable, "down").Permanently())
	r = start()
	defer r.Close()
	got, err = resolve(r, "db-\xff")
	require.NoError(t, err)
	require.Equal(t, "first", got)
	_, err = resolve(r, "db-\xfe")
	require.ErrorIs(t, err, secretref.ErrUnavailable, "it was never fetched")
}

func lastKnownAfterForeignRefusal(t *testing.T) {
	k := newKeyring(t)
	store := &remote{texts: map[string]string{remoteA: "good"}}
	start := func() *secretref.Resolver {
		return secretref.New(&secretref.Options{LastKnown: k, Timeout: time.Second,
			Providers: []secretref.Provider{
				{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: store.fetch},
			}})
	}
	refusing := secretref.New(&secretref.Options{
		AllowEndpoint: func(*url.URL) error { return errors.New("no") },
	})
	defer refusing.Close()
	_, inner := refusing.Resolve(t.Context(), vaultValue("https://vault.example.com", "db", "k"))
	require.ErrorIs(t, inner, secretref.ErrDenied)
	r := start()
	require.Equal(t, "good", resolveText(t, r, remoteA))
	require.NoError(t, r.Close())
	for _, err := range []error{
		inner, fmt.Errorf("inner: %w", inner), secretref.ErrUnauthenticated, errors.New("odd"),
	} {
		store.fails(err)
		r = start()
		_, err := r.Resolve(t.Context(), remoteA)
		require.Error(t, err)
		require.NoError(t, r.Close())
	}
	store.fails(fault.New(fault.Unavailable, "down").Permanently())
	r = start()
	defer r.Close()
	require.Equal(t, "good", resolveText(t, r, remoteA))
}

// keyringInBubble runs test in a synctest bubble, so that waits take no time. In FIPS mode
// it does not use a bubble, because random numbers then need a running clock.
func keyringInBubble(t *testing.T, test func(*testing.T)) {
	if fips140.Enabled() {
		test(t)
		return
	}
	synctest.Test(t, test)
}
