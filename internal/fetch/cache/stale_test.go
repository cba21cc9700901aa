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

func TestStale(t *testing.T) {
	bubble(t, nil, func(w *world) {
		first := w.has(1, 1, time.Second).Version
		time.Sleep(5 * time.Minute)
		w.fails(errDown)
		got := w.has(1, 2, 10*time.Millisecond)
		require.Same(w.t, first, got.Version)
		require.ErrorIs(w.t, got.Err, fault.Unavailable, "the caller gets the reason, too")
		require.Contains(w.t, w.log.String(), "level=WARN")
		require.Contains(w.t, w.log.String(), "ref-k")

		w.has(1, 2, 0) // the next attempt waits
		calls, start := w.calls.Load(), time.Now()
		for time.Since(start) < 23*time.Hour {
			require.Equal(w.t, 1, w.ask("k", cache.UseCached).Version.Value())
			time.Sleep(time.Second)
		}
		require.InDelta(w.t, 23*60, int(w.calls.Load()-calls), 23*60,
			"not more than about one attempt in half a minute")
		require.Less(w.t, int(w.calls.Load()-calls), 2*23*60+10)

		w.fails(nil)
		time.Sleep(time.Minute)
		require.Nil(w.t, w.ask("k", cache.UseCached).Err)
	})
}

func TestStaleFetchTimeout(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.has(1, 1, time.Second)
		time.Sleep(5 * time.Minute)
		w.takes = time.Hour
		start := time.Now()
		w.has(1, 2, 3*time.Second)
		require.Equal(w.t, 3*time.Second, time.Since(start))
		require.Equal(w.t, cache.FetchHint{HasStale: true}, w.asked[1])
		w.has(1, 2, 0)
	})
}

func TestStaleOnDeadline(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.has(1, 1, time.Second)
		time.Sleep(5 * time.Minute)
		w.takes = 2 * time.Second
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		got := get(ctx, w.cache, "k", cache.UseCached, w.fetch)
		require.Equal(w.t, 1, got.Version.Value())
		require.ErrorIs(w.t, got.Err, context.DeadlineExceeded)
		require.Contains(w.t, w.log.String(), "level=WARN")
		w.has(1, 2, 0) // later callers do not wait for the same fetch
		time.Sleep(time.Second + time.Millisecond)
		w.has(2, 2, 0) // the fetch went on

		time.Sleep(5 * time.Minute)
		gone, leave := context.WithCancel(w.t.Context())
		leave()
		got = get(gone, w.cache, "k", cache.UseCached, w.fetch)
		require.Nil(w.t, got.Version)
		require.ErrorIs(w.t, got.Err, context.Canceled, "a canceled caller gets no value")
	})
}

func TestStaleImpatientCallers(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.has(1, 1, time.Second)
		w.takes = 50 * time.Millisecond
		for range 1000 {
			ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Millisecond)
			got := get(ctx, w.cache, "k", cache.UseCached, w.fetch)
			cancel()
			require.NotNil(w.t, got.Version)
			require.Less(w.t, time.Since(got.Version.Fetched), 6*time.Minute)
			time.Sleep(30 * time.Second)
		}
	})
}

func TestStaleMaxAge(t *testing.T) {
	for _, most := range []time.Duration{time.Hour, -1} {
		bubble(t, func(s *cache.Settings[string, int]) { s.MaxStale = most }, func(w *world) {
			w.has(1, 1, time.Second)
			w.fails(errDown)
			if most > 0 {
				time.Sleep(59 * time.Minute)
				w.has(1, 2, time.Second)
			} else {
				time.Sleep(5 * time.Minute)
			}
			time.Sleep(2 * time.Minute)
			got := w.ask("k", cache.UseCached)
			require.Nil(w.t, got.Version)
			require.ErrorIs(w.t, got.Err, fault.Unavailable)
			require.False(w.t, w.asked[len(w.asked)-1].HasStale, "more than one attempt is made now")
		})
	}
}

func TestStaleNeverAfterVerdict(t *testing.T) {
	for _, kind := range []error{fault.Denied, fault.NotFound} {
		bubble(t, nil, func(w *world) {
			v := w.has(1, 1, time.Second).Version
			w.fails(fault.New(kind, "no"))
			got := w.ask("k", cache.ForceFetch)
			require.Nil(w.t, got.Version)
			require.ErrorIs(w.t, got.Err, kind)
			require.False(w.t, v.Fresh())
			w.fails(errDown)
			got = w.ask("k", cache.UseCached)
			require.Nil(w.t, got.Version, "an outage does not bring the value back")
			require.Equal(w.t, cache.Got[int]{}, w.ask("k", cache.PeekOnly))
		})
	}
}

// Only the backend's own verdict on the secret deletes it, in memory and in the Persister.
func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		deletes bool
	}{
		"denied":                        {fault.New(fault.Denied, "no"), true},
		"not found":                     {fault.New(fault.NotFound, "no"), true},
		"denied, after an outage":       {fault.New(fault.Denied, "no").WithCause(errDown), true},
		"a sentinel":                    {fmt.Errorf("store: %w", fault.NotFound), true},
		"denied by the caller's policy": {fault.New(fault.Denied, "refused").RefusedLocally(), false},
		"the same, which a store hands on": {fmt.Errorf("store: %w",
			fault.New(fault.Denied, "refused").RefusedLocally()), false},
		"the policy is down": {fault.New(fault.Denied,
			"refused").WithCause(errDown).RefusedLocally(), false},
		"not authenticated": {fault.New(fault.Unauthenticated, "who?"), false},
		"it may be an outage": {fault.New(fault.Unauthenticated, "who?").MaybeOutage(),
			false},
		"a file of credentials is not found": {fault.New(fault.Unauthenticated,
			"no token").WithCause(fault.New(fault.NotFound, "no file")), false},
		"a file of credentials is denied": {fault.New(fault.Unauthenticated,
			"no token").WithCause(fault.Denied), false},
		"unsupported":                 {fault.New(fault.Unsupported, "odd"), false},
		"syntax":                      {fault.New(fault.Syntax, "odd"), false},
		"pointer":                     {fault.New(fault.Pointer, "odd"), false},
		"an error of the store's own": {errors.New("odd"), false},
		"a panic": {fault.FromPanic(slog.New(slog.DiscardHandler), "odd"),
			false},
		"a context's end": {context.DeadlineExceeded, false},
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

func TestStaleOtherErrors(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.has(1, 1, time.Second)
		time.Sleep(5 * time.Minute)
		w.fails(fault.New(fault.Unauthenticated, "who?"))
		got := w.ask("k", cache.UseCached)
		require.Nil(w.t, got.Version)
		require.ErrorIs(w.t, got.Err, fault.Unauthenticated)
		w.fails(errDown)
		w.has(1, 3, time.Second)
	})
}

func TestStaleRetryAfter(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.has(1, 1, time.Second)
		time.Sleep(5 * time.Minute)
		asked := fault.New(fault.Unavailable, "throttled")
		asked.RetryAfter = 20 * time.Second
		w.fails(asked)
		w.has(1, 2, time.Second)
		time.Sleep(19 * time.Second)
		w.has(1, 2, 0)
		time.Sleep(2 * time.Second)
		w.has(1, 3, time.Second)
	})
}

// TestStaleDatedAhead loads a value that another node, whose clock is ahead, stored. The
// fetch that follows replaces it.
func TestStaleDatedAhead(t *testing.T) {
	k := &memory{value: 7, takes: time.Millisecond}
	bubble(t, func(s *cache.Settings[string, int]) { s.Persister = k }, func(w *world) {
		k.mu.Lock()
		k.at = time.Now().Add(30 * time.Second)
		k.mu.Unlock()
		got := w.ask("k", cache.UseCached)
		require.NoError(w.t, got.Err)
		require.Equal(w.t, 1, got.Version.Value())
		require.True(w.t, got.Version.Fresh())
		w.fails(errDown)
		time.Sleep(time.Hour)
		require.Equal(w.t, 1, w.ask("k", cache.UseCached).Version.Value())
		k.mu.Lock()
		defer k.mu.Unlock()
		require.Equal(w.t, 1, k.value)
	})
}
