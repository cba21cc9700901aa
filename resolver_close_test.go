package secretref_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestResolver_Close(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := secretref.New(&secretref.Options{
			Providers: storeProviders(func(ctx context.Context, _ []byte) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})})
		done := make(chan error)
		go func() {
			_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
			done <- err
		}()
		synctest.Wait()
		require.NoError(t, r.Close())
		require.Error(t, <-done)
		_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		require.NoError(t, r.Close(), "twice is harmless")
		s, err := r.Resolve(t.Context(), "plain")
		require.NoError(t, err)
		require.Equal(t, "plain", s.Reveal())
	}) // the bubble fails if a goroutine is still running
}

func TestResolver_Close_beforeUse(t *testing.T) {
	called := false
	r := secretref.New(&secretref.Options{
		Providers: storeProviders(func(context.Context, []byte) ([]byte, error) {
			called = true
			return []byte("x"), nil
		})})
	require.NoError(t, r.Close())
	_, err := r.Resolve(t.Context(), `{"storeId":"a"}`)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	_, err = r.Watch(t.Context(), `{"storeId":"a"}`)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.False(t, called)
}

func TestResolver_Close_concurrent(t *testing.T) {
	for range 20 {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			h, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			db := &database{}
			db.accepts("a2")
			c := secretref.Connector(h, db.connect, nil)
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { _, _ = h.Refresh(t.Context()) })
				all.Go(func() { _, _ = r.Resolve(t.Context(), remoteB) })
				all.Go(func() { _, _ = c.Connect(t.Context()) })
				all.Go(func() {
					for range h.Updates(t.Context()) {
					}
				})
			}
			time.Sleep(15 * time.Millisecond)
			for range 10 {
				all.Go(func() { assert.NoError(t, r.Close()) })
			}
			all.Wait()
			require.Equal(t, "a1", h.Value().Reveal())
		})
	}
}

func TestResolver_zeroValue(t *testing.T) {
	ctx := t.Context()
	var r secretref.Resolver
	var none *secretref.Resolver
	for name, use := range map[string]func(*secretref.Resolver){
		"Parse":               func(r *secretref.Resolver) { _, _ = r.Parse("plain") },
		"Resolve plaintext":   func(r *secretref.Resolver) { _, _ = r.Resolve(ctx, "plain") },
		"Resolve a reference": func(r *secretref.Resolver) { _, _ = r.Resolve(ctx, awsRef) },
		"ResolveReference": func(r *secretref.Resolver) {
			_, _ = r.ResolveReference(ctx, secretref.KeyringReference{Name: "a"})
		},
		"ResolveAll":    func(r *secretref.Resolver) { _, _ = r.ResolveAll(ctx) },
		"ResolveStruct": func(r *secretref.Resolver) { _ = r.ResolveStruct(ctx, &struct{}{}) },
		"ResolveConfig": func(r *secretref.Resolver) {
			_, _ = r.ResolveConfig(ctx, &secretref.ConfigFile{Product: secretref.Jira})
		},
		"Expand":   func(r *secretref.Resolver) { _, _ = r.Expand(ctx, "plain", nil) },
		"Watch":    func(r *secretref.Resolver) { _, _ = r.Watch(ctx, "plain") },
		"WatchAll": func(r *secretref.Resolver) { _, _ = r.WatchAll(ctx) },
		"WatchConfig": func(r *secretref.Resolver) {
			_, _ = r.WatchConfig(ctx, &secretref.ConfigFile{Product: secretref.Jira})
		},
		"Close": func(r *secretref.Resolver) { _ = r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			require.PanicsWithValue(t, "secretref: the Resolver was not made by New", func() { use(&r) })
			require.PanicsWithValue(t, "secretref: the Resolver was not made by New", func() { use(none) })
		})
	}
	var k secretref.Keyring
	require.PanicsWithValue(t, "secretref: the Keyring was not made by OpenKeyring",
		func() { _, _ = k.Get(ctx, "a") })
	require.PanicsWithValue(t, "secretref: the Keyring was not made by OpenKeyring",
		func() { _ = k.Close() })
}
