package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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

func (b *backend) fetch(ctx context.Context, _ string, ask cache.FetchHint, failed func(error)) (int, error) {
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
		w.cache = cache.New(s, w.fetch)
		defer w.cache.Close()
		test(w)
	})
}

func (w *world) ask(key string, mode cache.Mode) cache.Got[int] {
	return w.cache.Ask(w.t.Context(), key, mode).Wait(w.t.Context())
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

func TestAValueIsFetchedAgainWhenItsTTLHasPassed(t *testing.T) {
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

func TestTheTTLVaries(t *testing.T) {
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

func TestManyWhoAskAtTheSameTimeShareAFetch(t *testing.T) {
	bubble(t, nil, func(w *world) {
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() { w.has(1, 1, time.Second) })
		}
		callers.Wait()
	})
}

func TestWhatIsNotKeptIsFetchedEachTime(t *testing.T) {
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

func TestAnOutageIsCoveredWithTheLastGoodValue(t *testing.T) {
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
		require.InDelta(w.t, 23*60, int(w.calls.Load()-calls), 23*60, "not more than about one attempt in half a minute")
		require.Less(w.t, int(w.calls.Load()-calls), 2*23*60+10)

		w.fails(nil)
		time.Sleep(time.Minute)
		require.Nil(w.t, w.ask("k", cache.UseCached).Err)
	})
}

func TestACoveredAttemptTakesThreeSecondsAtMost(t *testing.T) {
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

func TestACallerWithLessTimeGetsTheLastGoodValueWhenItsTimeIsUp(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.has(1, 1, time.Second)
		time.Sleep(5 * time.Minute)
		w.takes = 2 * time.Second
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		got := w.cache.Ask(ctx, "k", cache.UseCached).Wait(ctx)
		require.Equal(w.t, 1, got.Version.Value())
		require.ErrorIs(w.t, got.Err, context.DeadlineExceeded)
		require.Contains(w.t, w.log.String(), "level=WARN")
		w.has(1, 2, 0) // later callers do not wait for the same fetch
		time.Sleep(time.Second + time.Millisecond)
		w.has(2, 2, 0) // the fetch went on

		time.Sleep(5 * time.Minute)
		gone, leave := context.WithCancel(w.t.Context())
		leave()
		got = w.cache.Ask(gone, "k", cache.UseCached).Wait(gone)
		require.Nil(w.t, got.Version)
		require.ErrorIs(w.t, got.Err, context.Canceled, "a canceled caller gets no value")
	})
}

func TestManyCallersInAHurryGetTheNewValueAllTheSame(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.has(1, 1, time.Second)
		w.takes = 50 * time.Millisecond
		for range 1000 {
			ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Millisecond)
			got := w.cache.Ask(ctx, "k", cache.UseCached).Wait(ctx)
			cancel()
			require.NotNil(w.t, got.Version)
			require.Less(w.t, time.Since(got.Version.Fetched), 6*time.Minute)
			time.Sleep(30 * time.Second)
		}
	})
}

func TestNothingOlderThanMaxStaleIsUsed(t *testing.T) {
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

func TestDeniedAndNotFoundAreNeverCovered(t *testing.T) {
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

func TestOtherFailuresAreHandedOn(t *testing.T) {
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

func TestFailuresAreNotCached(t *testing.T) {
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

func TestAFreshValueIsFetchedAfterTheCall(t *testing.T) {
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

func TestAValueIsRenewedBeforeItsTTLEnds(t *testing.T) {
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

func TestTheBackendsWishToBeLeftAloneIsHeard(t *testing.T) {
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

func TestNoMoreThanMostAreKeptAndThoseInUseStay(t *testing.T) {
	bubble(t, func(s *cache.Settings[string, int]) { s.MaxEntries = 10; s.TTL = 24 * time.Hour }, func(w *world) {
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

func TestCloseVoidsWhatIsKept(t *testing.T) {
	bubble(t, nil, func(w *world) {
		v := w.has(1, 1, time.Second).Version
		w.cache.Close()
		require.False(w.t, v.Fresh())
		got := w.ask("k", cache.UseCached)
		require.Nil(w.t, got.Version)
		require.ErrorIs(w.t, got.Err, fault.Unavailable)
	})
}

func TestWhoWantsToKnowIsToldOfChanges(t *testing.T) {
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

func TestAStartDuringAnOutageUsesWhatWasKnown(t *testing.T) {
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

func TestWhatWasKnownIsNotUsedWhenTooOldOrDeniedOrGone(t *testing.T) {
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
func TestKnownClock(t *testing.T) {
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

func TestWhatIsKnownIsSavedOnChangeAndOnceAnHour(t *testing.T) {
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

func TestWhoWaitsGetsMoreThanARenewalsOneAttempt(t *testing.T) {
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

func TestAFetchThatOutlivesItsCallersBringsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proceed := make(chan struct{})
		var n atomic.Int32
		c := cache.New(cache.Settings[string, int]{TTL: time.Hour, MaxStale: time.Hour, MaxEntries: 10, Keep: func(string) bool { return true },
			Equal: func(a, b int) bool { return a == b }, Name: func(string) string { return "" }, Log: slog.New(slog.DiscardHandler)},
			func(context.Context, string, cache.FetchHint, func(error)) (int, error) {
				if n.Add(1) == 1 {
					<-proceed // deaf to its context
					return 1, nil
				}
				return 0, fault.New(fault.NotFound, "gone")
			})
		defer c.Close()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, c.Ask(short, "k", cache.UseCached).Wait(short).Err)
		require.ErrorIs(t, c.Ask(t.Context(), "k", cache.UseCached).Wait(t.Context()).Err, fault.NotFound)
		close(proceed)
		synctest.Wait()
		require.Equal(t, cache.Got[int]{}, c.Ask(t.Context(), "k", cache.PeekOnly).Wait(t.Context()))
	})
}

func TestWhatIsGoneIsNotUsedAlthoughItCannotBeRemoved(t *testing.T) {
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

func TestAKnownThatHangsHoldsNobodyUpForLong(t *testing.T) {
	k := &memory{takes: 24 * time.Hour}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := cache.New(cache.Settings[string, int]{TTL: time.Hour, MaxStale: time.Hour, MaxEntries: 1000, Keep: func(string) bool { return true }, Persister: k,
			Equal: func(a, b int) bool { return a == b }, Name: func(string) string { return "" }, Log: slog.New(slog.DiscardHandler)},
			func(context.Context, string, cache.FetchHint, func(error)) (int, error) { return 1, nil })
		for i := range 200 {
			require.Equal(t, 1, c.Ask(t.Context(), fmt.Sprint(i), cache.UseCached).Wait(t.Context()).Version.Value())
		}
		require.LessOrEqual(t, time.Since(start), 200*time.Second)
		start = time.Now()
		c.Close()
		require.LessOrEqual(t, time.Since(start), 16*time.Second)
	})
}

func TestAHurriedStartUsesWhatWasKnown(t *testing.T) {
	k := &memory{value: 7}
	bubble(t, func(s *cache.Settings[string, int]) { s.Persister = k }, func(w *world) {
		k.at = time.Now()
		w.takes = time.Hour
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Second)
		defer cancel()
		got := w.cache.Ask(ctx, "k", cache.UseCached).Wait(ctx)
		require.Equal(w.t, 7, got.Version.Value())
		require.Error(w.t, got.Err)
		synctest.Wait()
		require.True(w.t, w.asked[0].StaleFromDisk)
		require.False(w.t, w.asked[0].SingleAttempt(), "more than one attempt is made at a start")
	})
}

func TestWhatMayNeverBeUsedIsNotSaved(t *testing.T) {
	k := &memory{}
	bubble(t, func(s *cache.Settings[string, int]) { s.Persister, s.MaxStale = k, -1 }, func(w *world) {
		w.ask("k", cache.ForceFetch)
		synctest.Wait()
		require.Zero(w.t, k.saves)
	})
}
