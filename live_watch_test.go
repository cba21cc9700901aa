package secretref_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestWatchAll_errors(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		for value, kind := range map[string]error{
			`{"region":"eu-west-1"}`: secretref.ErrSyntax,
			`{"keyring":"x"}`:        secretref.ErrUnsupported,
		} {
			live, err := r.WatchAll(t.Context(), remoteA, value)
			require.ErrorIs(t, err, kind)
			require.ErrorContains(t, err, "value 2")
			require.Nil(t, live)
		}
		store.fails(secretref.ErrNotFound)
		_, err := r.Watch(t.Context(), remoteB)
		require.ErrorIs(t, err, secretref.ErrNotFound)
	})
}

func TestWatchAll_plaintext(t *testing.T) {
	r := secretref.New(&secretref.Options{AllowEmpty: true})
	defer r.Close()
	live, err := r.WatchAll(t.Context(), "plain", "")
	require.NoError(t, err)
	got, err := live.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, "plain", got[0].Reveal())
	require.True(t, got[1].IsZero())
	require.Zero(t, refreshers())
}

func TestWatchAll_oneVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := secretref.NewFake()
		put := func(n int) {
			fake.Set(`{"region":"eu-west-1","secretId":"db"}`,
				fmt.Sprintf(`{"username":"user%d","password":"pass%d"}`, n%2, n%2))
		}
		put(0)
		r := secretref.New(&secretref.Options{Fake: fake, TTL: time.Minute})
		defer r.Close()
		live, err := r.WatchAll(t.Context(), "plain",
			strings.Replace(awsRef, "/password", "/username", 1),
			awsRef)
		require.NoError(t, err)
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				for range 500 {
					s := live.Value()
					assert.Equal(t, "plain", s[0].Reveal())
					assert.Equal(t, strings.TrimPrefix(s[1].Reveal(), "user"),
						strings.TrimPrefix(s[2].Reveal(), "pass"))
					time.Sleep(time.Second)
				}
			})
		}
		for n := range 500 {
			put(n)
			if n%7 == 0 {
				_, err := live.Refresh(t.Context())
				require.NoError(t, err)
			}
			time.Sleep(time.Second)
		}
		callers.Wait()

		put(1)
		_, err = live.Refresh(t.Context())
		require.NoError(t, err)
		fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"username":"user7"}`)
		got, err := live.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrPointer)
		require.Equal(t, "user1", got[1].Reveal(), "a version without a password is not used in part")
		require.Equal(t, "pass1", got[2].Reveal())
	})
}

func TestWatchAll_partialFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := secretref.NewFake()
		fake.Set(awsRef, "one")
		fake.Set(vaultRef, "one")
		r := secretref.New(&secretref.Options{Fake: fake})
		defer r.Close()
		live, err := r.WatchAll(t.Context(), awsRef, vaultRef)
		require.NoError(t, err)
		fake.Set(awsRef, "two")
		fake.Fail(vaultRef, secretref.ErrDenied)
		got, err := live.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrDenied)
		require.ErrorContains(t, err, "value 2")
		require.Equal(t, "two", got[0].Reveal())
		require.Equal(t, "one", got[1].Reveal())
	})
}

func TestWatchAll_changeMeanwhile(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		var all sync.WaitGroup
		for range 20 {
			first, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			var second *secretref.Live[[]secretref.Secret]
			all.Go(func() { second, _ = r.WatchAll(t.Context(), remoteA, `{"storeId":"slow"}`) })
			all.Go(func() {
				store.set(remoteA, first.Value().Reveal()+"+")
				_, err := first.Refresh(t.Context())
				assert.NoError(t, err)
			})
			all.Wait()
			synctest.Wait()
			require.Equal(t, first.Value().Reveal(), second.Value()[0].Reveal())
		}
	})
}
