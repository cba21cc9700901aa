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

// Secrets are rotated while many goroutines read them, and one Resolver keeps
// up with it: no value of another secret, none that is too old, and no more
// calls than there are secrets to fetch.
func TestLoadOfManyReadersDuringRotations(t *testing.T) {
	const (
		secrets, readers = 50, 1000
		lasts, ttl       = 5 * time.Second, 500 * time.Millisecond
	)
	bothServers(t, func(t *testing.T, s *server) {
		calls := countCalls(t, s)
		token := s.mint(t, "reader", readAll)
		var mu sync.Mutex
		replaced := make([][]time.Time, secrets)
		put := func(i int) {
			mu.Lock()
			version := len(replaced[i])
			mu.Unlock()
			s.put(t, fmt.Sprint("load/", i), fmt.Sprintf(`{"user":"%d user %d","password":"%d password %d","more":"x","and":"y"}`, i, version, i, version))
			mu.Lock()
			defer mu.Unlock()
			if version > 0 {
				replaced[i][version-1] = time.Now()
			}
			replaced[i] = append(replaced[i], time.Time{})
		}
		for i := range secrets {
			put(i)
		}
		version := func(i int, key, text string) string {
			part := strings.Fields(text)
			if !assert.Len(t, part, 3) || !assert.Equal(t, []string{fmt.Sprint(i), key}, part[:2]) {
				return ""
			}
			n, err := strconv.Atoi(part[2])
			assert.NoError(t, err)
			mu.Lock()
			defer mu.Unlock()
			if n < len(replaced[i]) && !replaced[i][n].IsZero() {
				assert.Less(t, time.Since(replaced[i][n]), ttl+3*time.Second, "the machine may be busy, but not as busy as that")
			}
			return part[2]
		}
		r := newResolver(t, &secretref.Options{TTL: ttl, Vault: secretref.VaultOptions{
			Token: func(context.Context) (string, error) { return token, nil },
		}})
		values := func(i int) []string {
			path := fmt.Sprint("load/", i)
			return []string{
				reference(t, calls.url, "secret", path, "user", ""), reference(t, calls.url, "secret", path, "password", ""),
				reference(t, calls.url, "secret", path, "more", ""), reference(t, calls.url, "secret", path, "and", ""),
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

		ctx, end := context.WithTimeout(t.Context(), lasts)
		defer end()
		var running sync.WaitGroup
		var resolved atomic.Int64
		for range readers {
			running.Go(func() {
				for ctx.Err() == nil {
					i, k := rand.IntN(secrets), rand.IntN(2)
					got, err := r.Resolve(t.Context(), all[i][k])
					if assert.NoError(t, err) {
						version(i, []string{"user", "password"}[k], got.Reveal())
					}
					resolved.Add(1)
					time.Sleep(rand.N(50 * time.Millisecond))
				}
			})
		}
		for i := range 10 {
			h, err := r.WatchAll(t.Context(), all[i]...)
			require.NoError(t, err)
			running.Go(func() {
				for ctx.Err() == nil {
					got := h.Value()
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

		made := len(calls.take())
		runtime.GC()
		var after runtime.MemStats
		runtime.ReadMemStats(&after)
		t.Logf("%d values resolved with %d calls; the heap grew by %d KiB", resolved.Load(), made, (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10)
		assert.Less(t, made, secrets*int(1+lasts/(ttl*8/10)+2))
		assert.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(64<<20), "with all of the server's in it")
	})
}
