package secretref_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestLive_nil(t *testing.T) {
	var none *secretref.Live[secretref.Secret]
	var zero secretref.Live[secretref.Secret]
	r := secretref.New(nil)
	defer r.Close()
	plain, err := r.Watch(t.Context(), "plain")
	require.NoError(t, err)
	connect := func(context.Context, secretref.Secret) (driver.Conn, error) { return conn{}, nil }
	login := func(context.Context, secretref.Secret) (int, error) { return 1, nil }
	for _, live := range []*secretref.Live[secretref.Secret]{none, &zero} {
		for name, use := range map[string]func(){
			"Value":     func() { live.Value() },
			"Status":    func() { _, _ = live.Status() },
			"Refresh":   func() { _, _ = live.Refresh(t.Context()) },
			"Updates":   func() { live.Updates(t.Context()) },
			"Close":     func() { live.Close() },
			"Connector": func() { secretref.Connector(live, connect, nil) },
			"Try":       func() { _, _ = secretref.Try(t.Context(), live, login, nil) },
		} {
			require.PanicsWithValue(t,
				"secretref: a nil or zero Live was used; use one that Watch, WatchAll or WatchConfig returned "+
					"without an error", use, name)
		}
	}
	require.PanicsWithValue(t, "secretref: a Connector needs a connect function",
		func() { secretref.Connector(plain, nil, nil) })
	require.PanicsWithValue(t, "secretref: Try needs a login function", func() {
		_, _ = secretref.Try[secretref.Secret, int](t.Context(), plain, nil, nil)
	})
}

// The deadline of one caller does not affect the secret that all callers share.
func TestLive_Refresh_callerLeaves(t *testing.T) {
	for name, leave := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"canceled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		},
		"in a hurry": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 100*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				takes := time.Duration(0)
				r := secretref.New(&secretref.Options{
					Logger: slog.New(slog.DiscardHandler), Providers: storeProviders(func(context.Context,
						[]byte) ([]byte, error) {
						time.Sleep(takes)
						return []byte(canary), nil
					})})
				defer r.Close()
				live, err := r.Watch(t.Context(), `{"storeId":"1"}`)
				require.NoError(t, err)
				takes = time.Second
				ctx, cancel := leave(t.Context())
				defer cancel()
				secret, err := live.Refresh(ctx)
				require.ErrorIs(t, err, secretref.ErrUnavailable)
				require.Equal(t, canary, secret.Reveal())
				_, err = live.Status()
				require.NoError(t, err)
				time.Sleep(10 * time.Second)
				_, err = live.Status()
				require.NoError(t, err)
			})
		})
	}
}

func TestLive_renewsInBackground(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		start := time.Now()
		live, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		require.Equal(t, "a1", live.Value().Reveal())
		fetched, err := live.Status()
		require.NoError(t, err)
		require.Equal(t, start, fetched)

		store.set(remoteA, "a2")
		time.Sleep(5 * time.Minute)
		require.Equal(t, "a2", live.Value().Reveal())
		require.Equal(t, 2, store.called())
		require.Equal(t, "a2", resolveText(t, r, remoteA))
		require.Equal(t, 2, store.called(), "Resolve uses the value that the Live keeps fresh")

		time.Sleep(24 * time.Hour)
		require.InDelta(t, 24*60/4.5, store.called(), 60)
		require.NoError(t, r.Close())
		calls := store.called()
		time.Sleep(time.Hour)
		require.Equal(t, calls, store.called())
		require.Equal(t, "a2", live.Value().Reveal(), "its last value remains readable")
		_, err = live.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		_, err = r.Watch(t.Context(), remoteA)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
	})
}

func TestLive_keepsLastGoodValue(t *testing.T) {
	for _, kind := range []error{
		secretref.ErrUnavailable, secretref.ErrDenied, secretref.ErrNotFound,
		secretref.ErrUnauthenticated, errors.New("odd"),
	} {
		inBubble(t, secretref.Options{MaxStale: time.Hour},
			func(t *testing.T, r *secretref.Resolver, store *remote) {
				live, err := r.Watch(t.Context(), remoteA)
				require.NoError(t, err)
				store.fails(kind)
				time.Sleep(48 * time.Hour)
				require.Equal(t, "a1", live.Value().Reveal())
				_, err = live.Status()
				require.ErrorIs(t, err, kind)
				require.Less(t, store.called(), 48*60*2, "%v", kind)
				got, err := live.Refresh(t.Context())
				require.ErrorIs(t, err, kind)
				require.Equal(t, "a1", got.Reveal())
				store.fails(nil)
				store.set(remoteA, "a2")
				time.Sleep(2 * time.Minute)
				require.Equal(t, "a2", live.Value().Reveal())
				_, err = live.Status()
				require.NoError(t, err)
			})
	}
}

func TestLive_sharesFetches(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		var lives []*secretref.Live[secretref.Secret]
		for range 100 {
			live, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			lives = append(lives, live)
		}
		synctest.Wait()
		require.Equal(t, 1, refreshers())
		store.set(remoteA, "a2")
		time.Sleep(5 * time.Minute)
		require.Equal(t, 2, store.called())
		for _, live := range lives {
			require.Equal(t, "a2", live.Value().Reveal())
		}
		store.set(remoteA, "a3")
		_, err := lives[0].Refresh(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, "a3", lives[99].Value().Reveal(), "all Lives share the new value")
		require.Equal(t, 3, store.called())
	})
}

func TestLive_Refresh(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		live, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		store.takes = time.Second
		var callers sync.WaitGroup
		callers.Go(func() { _, _ = live.Refresh(t.Context()) })
		time.Sleep(time.Second / 2)
		store.set(remoteA, "a2")
		for range 100 {
			callers.Go(func() {
				got, err := live.Refresh(t.Context())
				assert.NoError(t, err)
				assert.Equal(t, "a2", got.Reveal())
			})
		}
		callers.Wait()
		require.Equal(t, 3, store.called())
	})
}

func TestLive_Updates(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		live, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		var seen []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for s, err := range live.Updates(t.Context()) {
				seen = append(seen, fmt.Sprintf("%s %t", s.Reveal(), errors.Is(err, secretref.ErrUnavailable)))
			}
		}()
		time.Sleep(10 * time.Minute)
		store.set(remoteA, "a2")
		time.Sleep(10 * time.Minute)
		store.fails(secretref.ErrUnavailable)
		time.Sleep(time.Hour)
		store.fails(nil)
		store.set(remoteA, "a3")
		time.Sleep(10 * time.Minute)
		require.NoError(t, r.Close())
		<-done
		require.Equal(t, []string{"a1 false", "a2 false", "a2 true", "a3 false"}, seen)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n := 0
		for range live.Updates(ctx) {
			n++
		}
		require.Equal(t, 1, n, "the current value comes in any case")
	})
}

func TestLive_strict(t *testing.T) {
	inBubble(t, secretref.Options{
		Strict: true,
	}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		live, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		store.set(remoteA, "")
		got, err := live.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrPointer)
		require.Equal(t, "a1", got.Reveal())
	})
}

func BenchmarkLiveValue(b *testing.B) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "hunter2")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	live, err := r.Watch(b.Context(), awsRef)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_ = live.Value()
	}
}

func TestLive_Status(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		live, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		other, err := r.Watch(t.Context(), remoteB)
		require.NoError(t, err)
		store.fails(secretref.ErrDenied)
		_, err = live.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrDenied)
		store.fails(nil)
		store.set(remoteB, "b2")
		for range 30 { // other Lives change, while this secret is not in memory
			store.set(remoteB, store.texts[remoteB]+"+")
			_, err = other.Refresh(t.Context())
			require.NoError(t, err)
			_, err = live.Status()
			if err == nil { // refreshed after the pause
				break
			}
			require.ErrorIs(t, err, secretref.ErrDenied)
			time.Sleep(time.Millisecond)
		}
	})
}

func TestLive_shortTTL(t *testing.T) {
	inBubble(t, secretref.Options{TTL: 5}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		_, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.LessOrEqual(t, store.called(), 110)
		store.fails(secretref.ErrDenied)
		time.Sleep(10 * time.Second)
		require.LessOrEqual(t, store.called(), 220)
	})
}

func TestLive_hangingProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, hung := &remote{texts: map[string]string{remoteA: "a1"}}, make(chan struct{})
		var hangs atomic.Bool
		r := secretref.New(&secretref.Options{Providers: []secretref.Provider{
			{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: good.fetch},
			{ClassName: "com.example.Deaf", Fields: []string{"deafId"},
				Fetch: func(context.Context, []byte) ([]byte, error) {
					if hangs.Load() {
						<-hung // and ignores its context
					}
					return []byte("x"), nil
				}},
		}})
		defer r.Close()
		defer close(hung)
		live, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		_, err = r.Watch(t.Context(), `{"deafId":"1"}`)
		require.NoError(t, err)
		hangs.Store(true)
		for i := range 10 {
			good.set(remoteA, fmt.Sprint("a", i))
			time.Sleep(6 * time.Minute)
			require.Equal(t, fmt.Sprint("a", i), live.Value().Reveal())
		}
	})
}
