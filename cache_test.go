package secretref_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestMaxStale_queue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		r := secretref.New(&secretref.Options{
			Logger: slog.New(slog.DiscardHandler), Providers: storeProviders(func(ctx context.Context,
				coordinates []byte) ([]byte, error) {
				if hangs.Load() {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return coordinates, nil
			})})
		defer r.Close()
		values := make([]string, 1000)
		for i := range values {
			values[i] = fmt.Sprintf(`{"storeId":"%d"}`, i)
		}
		_, err := r.ResolveAll(t.Context(), values...)
		require.NoError(t, err)
		hangs.Store(true)
		time.Sleep(10 * time.Minute)
		start := time.Now()
		secrets, err := r.ResolveAll(t.Context(), values...)
		require.NoError(t, err)
		for i, secret := range secrets {
			require.Equal(t, values[i], secret.Reveal())
		}
		require.LessOrEqual(t, time.Since(start), 4*time.Second)
	})
}

func TestTTL(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		require.Equal(t, "a1", resolveText(t, r, remoteA))
		store.set(remoteA, "a2")
		for range 4 {
			require.Equal(t, "a1", resolveText(t, r, remoteA))
			require.Equal(t, "a1", resolveText(t, r, " "+remoteA))
			all, err := r.ResolveAll(t.Context(), remoteA, remoteA)
			require.NoError(t, err)
			require.Equal(t, "a1", all[1].Reveal())
			time.Sleep(time.Minute)
		}
		require.Equal(t, 1, store.called())
		time.Sleep(time.Minute)
		require.Equal(t, "a2", resolveText(t, r, remoteA))
		require.Equal(t, 2, store.called())
	})
	inBubble(t, secretref.Options{TTL: -1}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		for range 3 {
			require.Equal(t, "a1", resolveText(t, r, remoteA))
		}
		require.Equal(t, 3, store.called())
	})
}

func TestTTL_plaintext(t *testing.T) {
	var log bytes.Buffer
	r := secretref.New(&secretref.Options{
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	defer r.Close()
	for range 3 {
		require.Equal(t, "plain", resolveText(t, r, "plain"))
	}
	require.Empty(t, log.String(), "there was no fetch")
}

func TestTTL_keyring(t *testing.T) {
	k := newKeyring(t)
	r := secretref.New(&secretref.Options{Keyring: k})
	defer r.Close()
	for _, text := range []string{"one", "two"} {
		require.NoError(t, k.Put(t.Context(), "a", secretref.NewSecret(text)))
		require.Equal(t, text, resolveText(t, r, `{"keyring":"a"}`))
	}
	live, err := r.Watch(t.Context(), `{"keyring":"a"}`)
	require.NoError(t, err)
	require.NoError(t, k.Put(t.Context(), "a", secretref.NewSecret("three")))
	got, err := live.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, "three", got.Reveal())
}

func TestMaxStale(t *testing.T) {
	var events []secretref.FetchEvent
	opts := secretref.Options{
		MaxStale: time.Hour, OnFetch: func(e secretref.FetchEvent) { events = append(events, e) },
	}
	inBubble(t, opts, func(t *testing.T, r *secretref.Resolver, store *remote) {
		require.Equal(t, "a1", resolveText(t, r, remoteA))
		store.fails(secretref.ErrUnavailable)
		for start := time.Now(); time.Since(start) < 58*time.Minute; time.Sleep(time.Minute) {
			require.Equal(t, "a1", resolveText(t, r, remoteA))
		}
		time.Sleep(3 * time.Minute)
		_, err := r.Resolve(t.Context(), remoteA)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		first, second, last := events[0], events[1], events[len(events)-1]
		assert.Equal(t, [3]any{"ok", "miss", false}, [3]any{first.Outcome, first.Cache, first.Stale})
		assert.Equal(t, [3]any{"unavailable", "renew", true},
			[3]any{second.Outcome, second.Cache, second.Stale})
		assert.Equal(t, [3]any{"unavailable", "miss", false},
			[3]any{last.Outcome, last.Cache, last.Stale})
		assert.Equal(t, 1, second.Attempts)
		assert.Greater(t, last.Attempts, 3)
	})
}

func TestMaxStale_denied(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		require.Equal(t, "a1", resolveText(t, r, remoteA))
		time.Sleep(5 * time.Minute)
		store.fails(secretref.ErrDenied)
		_, err := r.Resolve(t.Context(), remoteA)
		require.ErrorIs(t, err, secretref.ErrDenied)
		store.fails(secretref.ErrUnavailable)
		_, err = r.Resolve(t.Context(), remoteA)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
	})
}

func TestResolve_manyTexts(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		for i := range 20000 {
			require.Empty(t, resolveText(t, r, fmt.Sprintf(`{"storeId":"%d"}`, i%3)))
			n := i % 9000 // one reference, written in 9000 ways
			value := strings.Repeat(" ", n%100) + remoteA + strings.Repeat("\t", n/100)
			require.Equal(t, "a1", resolveText(t, r, value))
		}
		require.Equal(t, 4, store.called())
	})
}

func TestResolve_warmAllocations(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "hunter2")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	live, err := r.Watch(t.Context(), awsRef)
	require.NoError(t, err)
	require.Equal(t, "hunter2", resolveText(t, r, awsRef))
	ctx, value := t.Context(), strings.Clone(awsRef) // not the same string as in the cache
	var s secretref.Secret
	require.Zero(t, testing.AllocsPerRun(100, func() { s, err = r.Resolve(ctx, value) }))
	require.NoError(t, err)
	require.Equal(t, "hunter2", s.Reveal())
	s = secretref.Secret{}
	require.Zero(t, testing.AllocsPerRun(100, func() { s = live.Value() }))
	require.Equal(t, "hunter2", s.Reveal())
	require.Equal(t, 1, fake.Calls())
}

func BenchmarkWarmResolve(b *testing.B) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "hunter2")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	_, err := r.Resolve(b.Context(), awsRef)
	require.NoError(b, err)
	b.Run("one core", func(b *testing.B) {
		ctx, value := b.Context(), strings.Clone(awsRef) // not the same string as in the cache
		b.ReportAllocs()
		for b.Loop() {
			_, _ = r.Resolve(ctx, value)
		}
	})
	b.Run("all cores", func(b *testing.B) {
		ctx, value := b.Context(), strings.Clone(awsRef)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, _ = r.Resolve(ctx, value)
			}
		})
	})
}

// manyRefs returns n references to different secrets and stores the secrets in fake.
func manyRefs(fake *secretref.Fake, n int) []string {
	refs := make([]string, n)
	for i := range refs {
		refs[i] = secretref.AWSReference{Region: "eu-west-1", SecretID: fmt.Sprint("db-", i)}.String()
		fake.Set(refs[i], "hunter2")
	}
	return refs
}

func TestResolveAll_warm(t *testing.T) {
	t.Run("allocations do not grow with the number of values", func(t *testing.T) {
		for _, n := range []int{10, 1000} {
			fake := secretref.NewFake()
			refs := manyRefs(fake, n)
			r := secretref.New(&secretref.Options{Fake: fake, AWS: secretref.AWSOptions{Batch: true}})
			_, err := r.ResolveAll(t.Context(), refs...)
			require.NoError(t, err)
			var got []secretref.Secret
			ctx := t.Context()
			require.LessOrEqual(t, testing.AllocsPerRun(10,
				func() { got, err = r.ResolveAll(ctx, refs...) }), 2.0)
			require.NoError(t, err)
			require.Equal(t, "hunter2", got[n-1].Reveal())
			require.Equal(t, n, fake.Calls())
			require.NoError(t, r.Close())
		}
	})
	t.Run("values of one secret have one version", func(t *testing.T) {
		fake := secretref.NewFake()
		const both = `{"region":"eu-west-1","secretId":"db"}`
		user := strings.Replace(awsRef, "/password", "/username", 1)
		fake.Set(both, `{"username":"0","password":"0"}`)
		r := secretref.New(&secretref.Options{Fake: fake})
		defer r.Close()
		live, err := r.Watch(t.Context(), user)
		require.NoError(t, err)
		done := make(chan struct{})
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
					}
					got, err := r.ResolveAll(t.Context(), user, awsRef)
					assert.NoError(t, err)
					assert.Equal(t, got[0].Reveal(), got[1].Reveal())
					if i%3 == 0 {
						_, err = r.Resolve(t.Context(), awsRef)
						assert.NoError(t, err)
					}
				}
			})
		}
		for n := range 300 {
			fake.Set(both, fmt.Sprintf(`{"username":"%d","password":"%[1]d"}`, n))
			_, err := live.Refresh(t.Context())
			require.NoError(t, err)
		}
		close(done)
		callers.Wait()
	})
	t.Run("does not return an old version", func(t *testing.T) {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			check := func(a, b string) {
				got, err := r.ResolveAll(t.Context(), remoteA, remoteB, "plain")
				require.NoError(t, err)
				require.Equal(t, []string{a, b, "plain"}, reveal(got))
				got, err = r.ResolveAll(t.Context(), remoteA, remoteB)
				require.NoError(t, err)
				require.Equal(t, []string{a, b}, reveal(got))
			}
			check("a1", "b1")
			store.set(remoteA, "a2")
			store.set(remoteB, "b2")
			check("a1", "b1")
			time.Sleep(6 * time.Minute)
			check("a2", "b2")
			live, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			store.set(remoteA, "a3")
			_, err = live.Refresh(t.Context())
			require.NoError(t, err)
			check("a3", "b2")
			require.NoError(t, r.Close())
			_, err = r.ResolveAll(t.Context(), remoteA, remoteB)
			require.ErrorIs(t, err, secretref.ErrClosed)
		})
	})
}

func BenchmarkWarmResolveAll(b *testing.B) {
	fake := secretref.NewFake()
	refs := manyRefs(fake, 1000)
	r := secretref.New(&secretref.Options{Fake: fake, AWS: secretref.AWSOptions{Batch: true}})
	defer r.Close()
	_, err := r.ResolveAll(b.Context(), refs...)
	require.NoError(b, err)
	run := func(values []string) func(*testing.B) {
		return func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				_, _ = r.ResolveAll(ctx, values...)
			}
		}
	}
	b.Run("all known", run(refs))
	b.Run("and a plaintext", run(append(refs[:999:999], "plain")))
}

func TestMaxStale_panic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		r := secretref.New(&secretref.Options{
			Providers: storeProviders(func(context.Context, []byte) ([]byte, error) {
				if broken.Load() {
					panic(canary)
				}
				return []byte("x"), nil
			})})
		defer r.Close()
		require.Equal(t, "x", resolveText(t, r, remoteA))
		broken.Store(true)
		time.Sleep(5 * time.Minute)
		require.Equal(t, "x", resolveText(t, r, remoteA))
	})
}
