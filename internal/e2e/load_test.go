package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// Many goroutines read secrets through one Resolver while the secrets are rotated. No read
// returns the value of another secret or an older version than an earlier read of the same
// goroutine, the newest version is read in the end, and each secret is fetched no more often than
// its TTL requires.
func TestRotation_manyReaders(t *testing.T) {
	const (
		secrets, readers = 50, 1000
		duration, ttl    = 5 * time.Second, 500 * time.Millisecond
	)
	bothServers(t, func(t *testing.T, s *server) {
		calls := countCalls(t, s)
		token := s.mint(t, "reader", readAll)
		newest := make([]int, secrets) // written by this goroutine only
		put := func(i int) {
			newest[i]++
			v := newest[i]
			s.put(t, fmt.Sprint("load/", i),
				fmt.Sprintf(`{"user":"%d user %d","password":"%d password %d","more":"x","and":"y"}`, i,
					v, i, v))
		}
		for i := range secrets {
			put(i)
		}
		version := func(i int, key, text string) int {
			part := strings.Fields(text)
			if !assert.Len(t, part, 3) || !assert.Equal(t, []string{fmt.Sprint(i), key}, part[:2]) {
				return 0
			}
			n, err := strconv.Atoi(part[2])
			assert.NoError(t, err)
			return n
		}
		r := newResolver(t, &secretref.Options{TTL: ttl, Vault: secretref.VaultOptions{
			Token: func(context.Context) (string, error) { return token, nil },
		}})
		values := func(i int) []string {
			path := fmt.Sprint("load/", i)
			return []string{
				reference(t, calls.url, "secret", path, "user", ""),
				reference(t, calls.url, "secret", path, "password", ""),
				reference(t, calls.url, "secret", path, "more", ""),
				reference(t, calls.url, "secret", path, "and", ""),
			}
		}
		all := make([][]string, secrets)
		for i := range all {
			all[i] = values(i)
		}
		calls.take()
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)

		start := time.Now()
		ctx, end := context.WithTimeout(t.Context(), duration)
		defer end()
		var running sync.WaitGroup
		var resolved atomic.Int64
		for range readers {
			running.Go(func() {
				var seen [secrets]int
				for ctx.Err() == nil {
					i, k := rand.IntN(secrets), rand.IntN(2)
					got, err := r.Resolve(t.Context(), all[i][k])
					if assert.NoError(t, err) {
						v := version(i, []string{"user", "password"}[k], got.Reveal())
						assert.GreaterOrEqual(t, v, seen[i], "an older version")
						seen[i] = v
					}
					resolved.Add(1)
					time.Sleep(rand.N(50 * time.Millisecond))
				}
			})
		}
		for i := range 10 {
			live, err := r.WatchAll(t.Context(), all[i]...)
			require.NoError(t, err)
			running.Go(func() {
				for ctx.Err() == nil {
					got := live.Value()
					assert.Equal(t, version(i, "user", got[0].Reveal()), version(i, "password", got[1].Reveal()))
					time.Sleep(rand.N(10 * time.Millisecond))
				}
			})
		}
		for ctx.Err() == nil {
			put(rand.IntN(secrets))
			time.Sleep(rand.N(20 * time.Millisecond))
		}
		running.Wait()

		eventually(t, func() bool {
			for i := range secrets {
				got, err := r.Resolve(t.Context(), all[i][1])
				require.NoError(t, err)
				if version(i, "password", got.Reveal()) != newest[i] {
					return false
				}
			}
			return true
		}, "the newest versions are not read")

		made, perSecret := len(calls.take()), int(time.Since(start)/(ttl*8/10))
		runtime.GC()
		var after runtime.MemStats
		runtime.ReadMemStats(&after)
		t.Logf("%d values resolved with %d calls; the heap grew by %d KiB", resolved.Load(), made,
			(int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10)
		assert.Less(t, made, secrets*(perSecret+3))
		assert.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(64<<20),
			"the heap includes the server's")
	})
}
