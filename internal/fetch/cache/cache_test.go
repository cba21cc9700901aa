package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/cache"
)

// backend returns the number of the call after a while, or an error.
type backend struct {
	calls atomic.Int32
	takes time.Duration
	mu    sync.Mutex
	err   error
	asked []cache.FetchHint
}

func (b *backend) fetch(ctx context.Context, _ string, ask cache.FetchHint,
	failed func(error)) (int, error) {
	n := int(b.calls.Add(1))
	b.mu.Lock()
	err := b.err
	b.asked = append(b.asked, ask)
	b.mu.Unlock()
	if ask.Short() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
	}
	select {
	case <-time.After(b.takes):
	case <-ctx.Done():
		return 0, fault.New(fault.Unavailable, "too slow").WithCause(ctx.Err())
	}
	if err != nil {
		failed(err)
		return 0, err
	}
	return n, nil
}

func (b *backend) fails(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// world is a Cache over a backend, in a synctest bubble.
type world struct {
	*backend
	t     *testing.T
	cache *cache.Cache[string, int]
	log   bytes.Buffer
}

func bubble(t *testing.T, adjust func(*cache.Settings[string, int]), test func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{backend: &backend{takes: 10 * time.Millisecond}, t: t}
		s := cache.Settings[string, int]{
			TTL: 5 * time.Minute, MaxStale: 24 * time.Hour, MaxEntries: 100,
			Keep:  func(key string) bool { return key != "near" },
			Equal: func(a, b int) bool { return a == b },
			Name:  func(key string) string { return "ref-" + key },
			Log:   slog.New(slog.NewTextHandler(&w.log, nil)),
		}
		if adjust != nil {
			adjust(&s)
		}
		w.cache = cache.New(s)
		defer w.cache.Close()
		test(w)
	})
}

func (w *world) ask(key string, mode cache.Mode) cache.Got[int] {
	return get(w.t.Context(), w.cache, key, mode, w.fetch)
}

type fetchFunc func(ctx context.Context, key string, hint cache.FetchHint, failed func(error)) (int,
	error)

// get asks c for key and runs the fetch that this needs.
func get(ctx context.Context, c *cache.Cache[string, int], key string, mode cache.Mode,
	fetch fetchFunc) cache.Got[int] {
	for {
		waiter, lead := c.Ask(ctx, key, mode)
		if lead != nil {
			go run(lead, fetch)
		}
		if done := waiter.Done(); done != nil {
			select {
			case <-done:
			case <-ctx.Done():
			}
		}
		if got, again := waiter.Got(ctx); !again {
			return got
		}
	}
}

func run(f *cache.Fetch[string, int], fetch fetchFunc) {
	defer func() { f.Land(recover()) }()
	if ctx, hint, ok := f.Begin(); ok {
		value, err := fetch(ctx, f.Key, hint, f.Failed)
		f.Store(ctx, value, err)
	}
}

// has checks the value, the total number of calls, and how long the lookup takes.
func (w *world) has(value, calls int, within time.Duration) cache.Got[int] {
	w.t.Helper()
	start := time.Now()
	got := w.ask("k", cache.UseCached)
	require.NotNil(w.t, got.Version, "%v", got.Err)
	require.Equal(w.t, value, got.Version.Value())
	require.EqualValues(w.t, calls, w.calls.Load())
	require.LessOrEqual(w.t, time.Since(start), within)
	return got
}

var errDown = fault.New(fault.Unavailable, "down")

func TestTTL(t *testing.T) {
	bubble(t, nil, func(w *world) {
		v := w.has(1, 1, time.Second).Version
		require.True(w.t, v.Fresh())
		time.Sleep(4 * time.Minute)
		w.has(1, 1, 0)
		require.True(w.t, v.Fresh())
		time.Sleep(time.Minute)
		require.False(w.t, v.Fresh())
		w.has(2, 2, time.Second)
	})
}

func TestTTLJitter(t *testing.T) {
	bubble(t, nil, func(w *world) {
		lives := map[time.Duration]bool{}
		for i := range 20 {
			v := w.ask(fmt.Sprint(i), cache.UseCached).Version
			renew := v.Renew.Sub(v.Fetched)
			require.Less(w.t, renew, 5*time.Minute)
			require.Greater(w.t, renew, 4*time.Minute)
			lives[renew] = true
		}
		require.Greater(w.t, len(lives), 10)
	})
}

func TestSharedFetch(t *testing.T) {
	bubble(t, nil, func(w *world) {
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() { w.has(1, 1, time.Second) })
		}
		callers.Wait()
	})
}

func TestNotKept(t *testing.T) {
	for name, adjust := range map[string]func(*cache.Settings[string, int]){
		"no TTL":    func(s *cache.Settings[string, int]) { s.TTL = -1 },
		"not these": func(s *cache.Settings[string, int]) { s.Keep = func(string) bool { return false } },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, adjust, func(w *world) {
				for i := range 3 {
					require.False(w.t, w.has(i+1, i+1, time.Second).Version.Fresh())
				}
				w.fails(errDown)
				require.ErrorIs(w.t, w.ask("k", cache.UseCached).Err, fault.Unavailable)
				require.Equal(w.t, cache.Got[int]{}, w.ask("k", cache.PeekOnly))
			})
		})
	}
}

func TestErrorsNotCached(t *testing.T) {
	bubble(t, nil, func(w *world) {
		for i, err := range []error{errDown, fault.New(fault.NotFound, "no"), errors.New("odd")} {
			w.fails(err)
			require.ErrorIs(w.t, w.ask("k", cache.UseCached).Err, err)
			require.EqualValues(w.t, i+1, w.calls.Load())
		}
		w.fails(nil)
		w.has(4, 4, time.Second)
	})
}

func TestForceFetch(t *testing.T) {
	bubble(t, nil, func(w *world) {
		old := w.has(1, 1, time.Second).Version
		require.Equal(w.t, 2, w.ask("k", cache.ForceFetch).Version.Value())
		require.False(w.t, old.Fresh(), "the old version is no longer used")
		w.has(2, 2, 0)
		require.True(w.t, w.asked[1].Forced)

		w.takes = time.Second
		var callers sync.WaitGroup
		callers.Go(func() { require.Equal(w.t, 3, w.ask("k", cache.ForceFetch).Version.Value()) })
		time.Sleep(time.Second / 2)
		for range 100 {
			callers.Go(func() { require.Equal(w.t, 4, w.ask("k", cache.ForceFetch).Version.Value()) })
		}
		callers.Wait()
		w.has(4, 4, 0)
	})
}

func TestRefreshIfDue(t *testing.T) {
	bubble(t, nil, func(w *world) {
		v := w.has(1, 1, time.Second).Version
		require.Same(w.t, v, w.ask("k", cache.RefreshIfDue).Version)
		time.Sleep(time.Until(v.Renew))
		require.True(w.t, v.Fresh())
		w.has(1, 1, 0)
		require.Equal(w.t, 2, w.ask("k", cache.RefreshIfDue).Version.Value())

		w.fails(errDown)
		v = w.ask("k", cache.PeekOnly).Version
		time.Sleep(time.Until(v.Renew))
		got := w.ask("k", cache.RefreshIfDue)
		require.Same(w.t, v, got.Version)
		require.Error(w.t, got.Err)
		require.Nil(w.t, w.ask("k", cache.UseCached).Err, "its TTL has not passed")
	})
}

func TestEviction(t *testing.T) {
	bubble(t, func(s *cache.Settings[string, int]) { s.MaxEntries = 10; s.TTL = 24 * time.Hour },
		func(w *world) {
			inUse := w.ask("in use", cache.UseCached).Version
			for i := range 1000 {
				w.ask(fmt.Sprint(i), cache.UseCached)
				require.True(w.t, inUse.Fresh(), i)
			}
			kept := 0
			for i := range 1000 {
				if w.ask(fmt.Sprint(i), cache.PeekOnly).Version != nil {
					kept++
				}
			}
			require.Equal(w.t, 9, kept)
		})
}

func TestClose(t *testing.T) {
	bubble(t, nil, func(w *world) {
		v := w.has(1, 1, time.Second).Version
		w.cache.Close()
		require.False(w.t, v.Fresh())
		got := w.ask("k", cache.UseCached)
		require.Nil(w.t, got.Version)
		require.ErrorIs(w.t, got.Err, fault.Unavailable)
	})
}

func TestChanged(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.has(1, 1, time.Second)
		<-w.cache.Changed
		w.ask("k", cache.ForceFetch)
		<-w.cache.Changed
		w.fails(errDown)
		w.ask("k", cache.ForceFetch)
		select {
		case <-w.cache.Changed:
			require.Fail(w.t, "nothing has changed")
		default:
		}
	})
}

func TestRefreshIfDueSharedWithCaller(t *testing.T) {
	bubble(t, func(s *cache.Settings[string, int]) { s.MaxStale = -1 }, func(w *world) {
		w.takes = time.Second
		w.fails(errDown)
		var callers sync.WaitGroup
		callers.Go(func() { require.ErrorIs(w.t, w.ask("k", cache.RefreshIfDue).Err, fault.Unavailable) })
		time.Sleep(time.Second / 2)
		callers.Go(func() { require.Equal(w.t, 2, w.ask("k", cache.UseCached).Version.Value()) })
		synctest.Wait()
		w.fails(nil)
		callers.Wait()
		require.Equal(w.t, []cache.FetchHint{{Background: true}, {}}, w.asked)
	})
}

func TestAbandonedFetchStoresNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proceed := make(chan struct{})
		var n atomic.Int32
		c := cache.New(cache.Settings[string, int]{TTL: time.Hour, MaxStale: time.Hour, MaxEntries: 10,
			Keep:  func(string) bool { return true },
			Equal: func(a, b int) bool { return a == b }, Name: func(string) string { return "" },
			Log: slog.New(slog.DiscardHandler)})
		fetch := func(context.Context, string, cache.FetchHint, func(error)) (int, error) {
			if n.Add(1) == 1 {
				<-proceed // it ignores the end of its context
				return 1, nil
			}
			return 0, fault.New(fault.NotFound, "gone")
		}
		defer c.Close()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, get(short, c, "k", cache.UseCached, fetch).Err)
		require.ErrorIs(t, get(t.Context(), c, "k", cache.UseCached, fetch).Err, fault.NotFound)
		close(proceed)
		synctest.Wait()
		require.Equal(t, cache.Got[int]{}, get(t.Context(), c, "k", cache.PeekOnly, fetch))
	})
}
