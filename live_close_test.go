package secretref_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// collect runs the garbage collector until weak pointers to unreachable values are nil.
func collect() {
	for range 3 {
		runtime.GC()
	}
}

// refreshers returns the number of goroutines that refresh Lives.
func refreshers() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "refresh.(*Refresher).run(")
}

func TestLive_Close(t *testing.T) {
	t.Run("ends the refreshes", func(t *testing.T) {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			live, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			var updates sync.WaitGroup
			updates.Go(func() {
				for range live.Updates(t.Context()) {
				}
			})
			synctest.Wait()
			require.Equal(t, 1, refreshers())
			live.Close()
			live.Close()
			updates.Wait()
			synctest.Wait()
			require.Zero(t, refreshers(), "there is nothing left to refresh")
			store.set(remoteA, "a2")
			time.Sleep(time.Hour)
			require.Equal(t, 1, store.called())
			require.Equal(t, "a1", live.Value().Reveal())
			_, err = live.Status()
			require.NoError(t, err)
			n := 0
			for s := range live.Updates(t.Context()) {
				require.Equal(t, "a1", s.Reveal())
				n++
			}
			require.Equal(t, 1, n)
			got, err := live.Refresh(t.Context())
			require.ErrorIs(t, err, secretref.ErrClosed)
			require.NotErrorIs(t, err, secretref.ErrUnavailable)
			var located *secretref.Error
			require.ErrorAs(t, err, &located)
			require.Equal(t, "a1", got.Reveal())
			require.Equal(t, 1, store.called())
		})
	})
	t.Run("leaves other Lives alone", func(t *testing.T) {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			var lives []*secretref.Live[secretref.Secret]
			for range 3 {
				live, err := r.Watch(t.Context(), remoteA)
				require.NoError(t, err)
				lives = append(lives, live)
			}
			lives[0].Close()
			lives[2].Close()
			store.set(remoteA, "a2")
			time.Sleep(6 * time.Minute)
			require.Equal(t, "a2", lives[1].Value().Reveal())
			require.Equal(t, "a1", lives[2].Value().Reveal())
			lives[1].Close()
			later, err := r.Watch(t.Context(), remoteB)
			require.NoError(t, err)
			store.set(remoteB, "b2")
			time.Sleep(6 * time.Minute)
			require.Equal(t, "b2", later.Value().Reveal(), "the next Live is refreshed again")
			later.Close()
		})
	})
	t.Run("of a Resolver", func(t *testing.T) {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, _ *remote) {
			live, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			_, err = r.Resolve(t.Context(), remoteA)
			requireClosed(t, err)
			_, err = r.ResolveAll(t.Context(), remoteA, remoteB)
			requireClosed(t, err)
			_, err = live.Refresh(t.Context())
			requireClosed(t, err)
			_, err = r.Watch(t.Context(), remoteA)
			requireClosed(t, err)
			live.Close()
		})
	})
	t.Run("of a Resolver during fetches", func(t *testing.T) {
		for _, ttl := range []time.Duration{-1, time.Minute} {
			inBubble(t, secretref.Options{
				TTL: ttl,
			}, func(t *testing.T, r *secretref.Resolver, store *remote) {
				store.takes = time.Minute
				var callers sync.WaitGroup
				callers.Go(func() {
					_, err := r.Resolve(t.Context(), remoteA)
					assert.ErrorIs(t, err, secretref.ErrClosed)
				})
				synctest.Wait()
				require.NoError(t, r.Close())
				callers.Wait()
			})
		}
	})
	t.Run("of a Keyring", func(t *testing.T) {
		k := newKeyring(t)
		require.NoError(t, k.Close())
		_, err := k.Get(t.Context(), "a")
		requireClosed(t, err)
	})
}

// requireClosed requires the error of a closed Resolver or Keyring.
func requireClosed(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, secretref.ErrClosed)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.Contains(t, err.Error(), "closed")
}

func TestLive_unreachable(t *testing.T) {
	t.Run("is not refreshed", func(t *testing.T) {
		inBubble(t, secretref.Options{TTL: time.Minute},
			func(t *testing.T, r *secretref.Resolver, store *remote) {
				for i := range 1000 {
					_, err := r.Watch(t.Context(), fmt.Sprintf(`{"storeId":"%d"}`, i))
					require.NoError(t, err)
				}
				calls := store.called()
				require.Equal(t, 1000, calls)
				synctest.Wait() // a pass of the refresher keeps the Lives it visits
				collect()
				time.Sleep(10 * time.Minute)
				require.Equal(t, calls, store.called())
				synctest.Wait()
				require.Zero(t, refreshers())
			})
	})
	t.Run("others are refreshed", func(t *testing.T) {
		inBubble(t, secretref.Options{TTL: time.Minute},
			func(t *testing.T, r *secretref.Resolver, store *remote) {
				live, err := r.Watch(t.Context(), remoteA)
				require.NoError(t, err)
				db := &database{}
				db.accepts("b1", "b2")
				connector := func() driver.Connector {
					live, err := r.Watch(t.Context(), remoteB)
					require.NoError(t, err)
					return secretref.Connector(live, db.connect, nil)
				}()
				var seen []string
				var updates sync.WaitGroup
				ctx, cancel := context.WithCancel(t.Context())
				updates.Go(func() {
					loop := func() func(func(secretref.Secret, error) bool) {
						live, err := r.Watch(t.Context(), `{"storeId":"c"}`)
						assert.NoError(t, err)
						return live.Updates(ctx)
					}()
					collect()
					for s := range loop {
						seen = append(seen, s.Reveal())
					}
				})
				for i := range 200 {
					_, err := r.Watch(t.Context(), fmt.Sprintf(`{"storeId":"%d"}`, i))
					require.NoError(t, err)
				}
				synctest.Wait()
				collect()
				calls := store.called()
				store.set(remoteA, "a2")
				store.set(remoteB, "b2")
				store.set(`{"storeId":"c"}`, "c2")
				time.Sleep(2 * time.Minute)
				require.LessOrEqual(t, store.called(), calls+3*3)
				require.Equal(t, "a2", live.Value().Reveal())
				db.tried = nil
				_, err = connector.Connect(t.Context())
				require.NoError(t, err)
				require.Equal(t, []string{"b2"}, db.tried)
				cancel()
				updates.Wait()
				require.Equal(t, []string{"", "c2"}, seen)
				runtime.KeepAlive(live)
			})
	})
	t.Run("uses no memory", func(t *testing.T) {
		inBubble(t, secretref.Options{TTL: 24 * time.Hour},
			func(t *testing.T, r *secretref.Resolver, _ *remote) {
				keep, err := r.Watch(t.Context(), remoteB)
				require.NoError(t, err)
				used := func() uint64 {
					var m runtime.MemStats
					collect()
					live, err := r.Watch(t.Context(), remoteA)
					require.NoError(t, err)
					live.Close() // the refresher looks for Lives that have ended
					synctest.Wait()
					collect()
					runtime.ReadMemStats(&m)
					return m.HeapObjects
				}
				var before uint64
				for i := range 20000 {
					if i == 1000 {
						before = used()
					}
					_, err := r.Watch(t.Context(), remoteA)
					require.NoError(t, err)
					if i%500 == 0 {
						runtime.GC()
					}
				}
				require.Less(t, int(used())-int(before), 19000, "fewer than one object for each")
				keep.Close()
			})
	})
}
