package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/cache"
)

// Only the backend's own verdict on the secret deletes it, in memory and in the Persister.
func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		deletes bool
	}{
		"denied":                             {fault.New(fault.Denied, "no"), true},
		"not found":                          {fault.New(fault.NotFound, "no"), true},
		"denied, after an outage":            {fault.New(fault.Denied, "no").WithCause(errDown), true},
		"a sentinel":                         {fmt.Errorf("store: %w", fault.NotFound), true},
		"denied by the caller's policy":      {fault.New(fault.Denied, "refused").RefusedLocally(), false},
		"the same, which a store hands on":   {fmt.Errorf("store: %w", fault.New(fault.Denied, "refused").RefusedLocally()), false},
		"the policy is down":                 {fault.New(fault.Denied, "refused").WithCause(errDown).RefusedLocally(), false},
		"not authenticated":                  {fault.New(fault.Unauthenticated, "who?"), false},
		"it may be an outage":                {fault.New(fault.Unauthenticated, "who?").MaybeOutage(), false},
		"a file of credentials is not found": {fault.New(fault.Unauthenticated, "no token").WithCause(fault.New(fault.NotFound, "no file")), false},
		"a file of credentials is denied":    {fault.New(fault.Unauthenticated, "no token").WithCause(fault.Denied), false},
		"unsupported":                        {fault.New(fault.Unsupported, "odd"), false},
		"syntax":                             {fault.New(fault.Syntax, "odd"), false},
		"pointer":                            {fault.New(fault.Pointer, "odd"), false},
		"an error of the store's own":        {errors.New("odd"), false},
		"a panic":                            {fault.FromPanic(slog.New(slog.DiscardHandler), "odd"), false},
		"a context's end":                    {context.DeadlineExceeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := &memory{}
			bubble(t, func(s *cache.Settings[string, int]) { s.Persister = k }, func(w *world) {
				w.has(1, 1, time.Second)
				synctest.Wait()
				w.fails(c.err)
				got := w.ask("k", cache.ForceFetch)
				synctest.Wait()
				if fault.AllowsStale(c.err) {
					require.Equal(w.t, 1, got.Version.Value())
				} else {
					require.Nil(w.t, got.Version, "the value is not served instead of the error")
					require.ErrorIs(w.t, got.Err, c.err)
				}
				k.mu.Lock()
				require.Equal(w.t, c.deletes, k.value == 0, "in the Persister")
				k.mu.Unlock()
				require.Equal(w.t, c.deletes, w.ask("k", cache.PeekOnly).Version == nil, "in memory")

				time.Sleep(5 * time.Minute)
				w.fails(errDown)
				got = w.ask("k", cache.UseCached)
				if require.Equal(w.t, c.deletes, got.Version == nil, "during an outage"); !c.deletes {
					require.Equal(w.t, 1, got.Version.Value())
				}
			})
		})
	}
	t.Run("a pause does not serve what is refused", func(t *testing.T) {
		bubble(t, nil, func(w *world) {
			w.has(1, 1, time.Second)
			time.Sleep(5 * time.Minute)
			for range 10 {
				w.fails(errDown)
				require.NotNil(w.t, w.ask("k", cache.ForceFetch).Version)
			}
			w.fails(fault.New(fault.Unauthenticated, "who?"))
			require.Nil(w.t, w.ask("k", cache.ForceFetch).Version)
			require.Nil(w.t, w.ask("k", cache.UseCached).Version)
		})
	})
}
