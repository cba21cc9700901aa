package cache_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/cache"
)

// memory is a Persister in memory.
type memory struct {
	mu    sync.Mutex
	value int
	at    time.Time
	saves int

	takes  time.Duration
	broken bool
}

func (m *memory) Load(ctx context.Context, _ string) (int, time.Time, bool) {
	select {
	case <-time.After(m.takes):
	case <-ctx.Done():
		return 0, time.Time{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.value, m.at, m.value != 0
}

func (m *memory) Save(ctx context.Context, _ string, value int, fetched time.Time) {
	select {
	case <-time.After(m.takes):
	case <-ctx.Done():
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.value, m.at = value, fetched
	m.saves++
}

func (m *memory) Remove(ctx context.Context, _ string) bool {
	select {
	case <-time.After(m.takes):
	case <-ctx.Done():
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return false
	}
	m.value = 0
	return true
}

func TestPersisterDuringOutage(t *testing.T) {
	k := &memory{value: 7}
	bubble(t, func(s *cache.Settings[string, int]) { s.Persister = k }, func(w *world) {
		k.at = time.Now().Add(-time.Hour)
		w.fails(errDown)
		got := w.has(7, 1, 3*time.Second)
		require.Equal(w.t, time.Hour, time.Since(got.Version.Fetched).Round(time.Minute))
		require.ErrorIs(w.t, got.Err, fault.Unavailable)
		w.has(7, 1, 0)
		w.fails(nil)
		time.Sleep(time.Minute)
		w.has(2, 2, time.Second)
		synctest.Wait()
		require.Equal(w.t, 2, k.value)
	})
}

func TestPersisterRejectsUnusable(t *testing.T) {
	k := &memory{}
	adjust := func(s *cache.Settings[string, int]) { s.Persister = k }
	bubble(t, adjust, func(w *world) {
		k.value, k.at = 7, time.Now().Add(-25*time.Hour)
		w.fails(errDown)
		require.Nil(w.t, w.ask("k", cache.UseCached).Version)
	})
	for _, kind := range []error{fault.Denied, fault.NotFound} {
		bubble(t, adjust, func(w *world) {
			k.value, k.at = 7, time.Now()
			w.fails(fault.New(kind, "no"))
			require.ErrorIs(w.t, w.ask("k", cache.UseCached).Err, kind)
			synctest.Wait()
			require.Zero(w.t, k.value)
		})
	}
	bubble(t, adjust, func(w *world) {
		k.value, k.at = 7, time.Now()
		w.fails(fault.New(fault.Unauthenticated, "who?"))
		require.Nil(w.t, w.ask("k", cache.UseCached).Version)
		synctest.Wait()
		require.Equal(w.t, 7, k.value)
	})
	bubble(t, adjust, func(w *world) { // another clock was slightly ahead
		k.value, k.at = 7, time.Now().Add(time.Minute)
		w.fails(errDown)
		require.False(w.t, w.has(7, 1, time.Second).Version.Fetched.After(time.Now()))
	})
	bubble(t, adjust, func(w *world) { // far ahead, so its age is unknown
		k.value, k.at = 7, time.Now().Add(time.Hour)
		w.fails(errDown)
		require.Nil(w.t, w.ask("k", cache.UseCached).Version)
	})
}

// A value from the Persister is dated by the wall clock, which may be wrong.
func TestPersisterClock(t *testing.T) {
	for name, c := range map[string]struct {
		age    time.Duration
		usable bool
		says   string
	}{
		"in time":                      {time.Minute, true, ""},
		"a second ahead":               {-time.Second, true, ""},
		"two minutes ahead":            {-2 * time.Minute, true, "usable=true"},
		"five minutes ahead":           {-5 * time.Minute, true, "usable=true"},
		"ten minutes ahead":            {-10 * time.Minute, false, "usable=false"},
		"a clock that is a day behind": {25 * time.Hour, false, "too old"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &memory{value: 7}
			bubble(t, func(s *cache.Settings[string, int]) { s.Persister = k }, func(w *world) {
				k.at = time.Now().Add(-c.age)
				w.fails(errDown)
				got := w.ask("k", cache.UseCached)
				if require.Equal(w.t, c.usable, got.Version != nil); c.usable {
					require.LessOrEqual(w.t, time.Since(got.Version.Fetched), max(0, c.age)+time.Second)
					require.GreaterOrEqual(w.t, time.Since(got.Version.Fetched), time.Duration(0))
				}
				require.Equal(w.t, c.says != "", strings.Contains(w.log.String(), "clock"), w.log.String())
				require.Contains(w.t, w.log.String(), c.says)
			})
		})
	}
	t.Run("a value that is too old does not matter while the backend answers", func(t *testing.T) {
		k := &memory{value: 7}
		bubble(t, func(s *cache.Settings[string, int]) { s.Persister = k }, func(w *world) {
			k.at = time.Now().Add(-48 * time.Hour)
			w.has(1, 1, time.Second)
			require.Empty(w.t, w.log.String())
		})
	})
}

func TestPersisterSaves(t *testing.T) {
	k := &memory{}
	same := func(a, b int) bool { return a/10 == b/10 }
	bubble(t, func(s *cache.Settings[string, int]) { s.Persister, s.Equal = k, same }, func(w *world) {
		for range 9 {
			w.ask("k", cache.ForceFetch)
			synctest.Wait()
			require.Equal(w.t, 1, k.saves)
		}
		w.ask("k", cache.ForceFetch)
		synctest.Wait()
		require.Equal(w.t, 2, k.saves)
		time.Sleep(time.Hour)
		w.ask("k", cache.ForceFetch)
		synctest.Wait()
		require.Equal(w.t, 3, k.saves)
	})
}

func TestPersisterTombstones(t *testing.T) {
	for _, k := range []*memory{{broken: true}, {takes: time.Hour}, {takes: time.Second / 2}} {
		bubble(t, func(s *cache.Settings[string, int]) { s.Persister = k }, func(w *world) {
			k.value, k.at = 7, time.Now()
			w.fails(fault.New(fault.NotFound, "no"))
			require.ErrorIs(w.t, w.ask("k", cache.UseCached).Err, fault.NotFound)
			w.fails(errDown)
			for range 10 {
				require.Nil(w.t, w.ask("k", cache.UseCached).Version)
				time.Sleep(time.Minute)
			}
			if k.broken {
				k.mu.Lock()
				k.broken = false
				k.mu.Unlock()
				w.ask("k", cache.UseCached)
				synctest.Wait()
				require.Zero(w.t, k.value, "the removal is tried again")
			}
		})
	}
}

func TestPersisterHangs(t *testing.T) {
	k := &memory{takes: 24 * time.Hour}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := cache.New(cache.Settings[string, int]{TTL: time.Hour, MaxStale: time.Hour, MaxEntries: 1000,
			Keep: func(string) bool { return true }, Persister: k,
			Equal: func(a, b int) bool { return a == b }, Name: func(string) string { return "" },
			Log: slog.New(slog.DiscardHandler)})
		fetch := func(context.Context, string, cache.FetchHint, func(error)) (int, error) {
			return 1,
				nil
		}
		for i := range 200 {
			require.Equal(t, 1, get(t.Context(), c, fmt.Sprint(i), cache.UseCached, fetch).Version.Value())
		}
		require.LessOrEqual(t, time.Since(start), 200*time.Second)
		start = time.Now()
		c.Close()
		require.LessOrEqual(t, time.Since(start), 16*time.Second)
	})
}

func TestPersisterOnDeadline(t *testing.T) {
	k := &memory{value: 7}
	bubble(t, func(s *cache.Settings[string, int]) { s.Persister = k }, func(w *world) {
		k.at = time.Now()
		w.takes = time.Hour
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Second)
		defer cancel()
		got := get(ctx, w.cache, "k", cache.UseCached, w.fetch)
		require.Equal(w.t, 7, got.Version.Value())
		require.Error(w.t, got.Err)
		synctest.Wait()
		require.True(w.t, w.asked[0].StaleFromDisk)
		require.False(w.t, w.asked[0].SingleAttempt(), "more than one attempt is made at a start")
	})
}

func TestPersisterWithoutMaxStale(t *testing.T) {
	k := &memory{}
	bubble(t, func(s *cache.Settings[string, int]) { s.Persister, s.MaxStale = k, -1 },
		func(w *world) {
			w.ask("k", cache.ForceFetch)
			synctest.Wait()
			require.Zero(w.t, k.saves)
		})
}
