package batch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/batch"
)

const (
	pause  = time.Millisecond // without a key
	linger = 20 * pause
)

var quiet = slog.New(slog.DiscardHandler)

// shop sells every key for its upper case, and notes what it was asked for.
type shop struct {
	takes time.Duration

	mu    sync.Mutex
	calls [][]string
	ended []error // the contexts of calls
}

func (s *shop) sell(ctx context.Context, keys []string) []batch.Result[string] {
	s.mu.Lock()
	s.calls = append(s.calls, slices.Sorted(slices.Values(keys)))
	s.mu.Unlock()
	results := make([]batch.Result[string], len(keys))
	select {
	case <-time.After(s.takes):
		for i, key := range keys {
			results[i].Value = strings.ToUpper(key)
		}
	case <-ctx.Done():
		for i := range results {
			results[i].Err = fmt.Errorf("the shop is closed: %w", ctx.Err())
		}
		s.mu.Lock()
		s.ended = append(s.ended, ctx.Err())
		s.mu.Unlock()
	}
	return results
}

// within runs f in a bubble, over a Batcher of 3.
func within(t *testing.T, s *shop, f func(t *testing.T, b *batch.Batcher[string, string])) {
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(3, pause, linger, quiet, s.sell)
		t.Cleanup(b.Close)
		f(t, b)
	})
}

func buys(t *testing.T, b *batch.Batcher[string, string], key string) { buysAs(t, t.Context(), b, key) }

func buysAs(t *testing.T, ctx context.Context, b *batch.Batcher[string, string], key string) {
	got, err := b.Do(ctx, key)
	require.NoError(t, err)
	require.Equal(t, strings.ToUpper(key), got)
}

func TestAFullCallGoesOutAtOnce(t *testing.T) {
	s := &shop{}
	within(t, s, func(t *testing.T, b *batch.Batcher[string, string]) {
		start := time.Now()
		var callers sync.WaitGroup
		for _, key := range []string{"a", "b", "c"} {
			callers.Go(func() { buys(t, b, key) })
		}
		callers.Wait()
		require.Zero(t, time.Since(start))
		require.Equal(t, [][]string{{"a", "b", "c"}}, s.calls)
	})
}

func TestACallWaitsUntilNobodyComesAlong(t *testing.T) {
	s := &shop{}
	within(t, s, func(t *testing.T, b *batch.Batcher[string, string]) {
		start := time.Now()
		var callers sync.WaitGroup
		callers.Go(func() { buys(t, b, "a"); require.Equal(t, 2*pause, time.Since(start)) })
		time.Sleep(pause * 3 / 4)
		callers.Go(func() { buys(t, b, "b"); require.Equal(t, 2*pause, time.Since(start)) })
		callers.Wait()
		buys(t, b, "c")
		require.Equal(t, 3*pause, time.Since(start))
		require.Equal(t, [][]string{{"a", "b"}, {"c"}}, s.calls)
	})
}

func TestACallDoesNotWaitAsLongAsSomebodyComes(t *testing.T) {
	s := &shop{}
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(100, pause, linger, quiet, s.sell)
		defer b.Close()
		start := time.Now()
		var callers sync.WaitGroup
		for i := range 10 {
			callers.Go(func() {
				buys(t, b, fmt.Sprint(i))
				if i == 0 {
					require.Equal(t, 3*pause, time.Since(start))
				}
			})
			time.Sleep(pause * 9 / 10)
		}
		callers.Wait()
	})
}

// seated is a context for each of a party of n.
func seated(t *testing.T, n int) (seats []*batch.Seat, each []context.Context) {
	var party batch.Party
	for range n {
		seat := party.Seat()
		seats, each = append(seats, seat), append(each, batch.WithSeat(t.Context(), seat))
	}
	return seats, each
}

func TestACallWaitsForAPartyAndForNobodyElse(t *testing.T) {
	for name, last := range map[string]func(context.Context, *batch.Batcher[string, string], *batch.Seat){
		"who comes": func(ctx context.Context, b *batch.Batcher[string, string], _ *batch.Seat) {
			_, _ = b.Do(ctx, "c")
		},
		"who does not come": func(_ context.Context, _ *batch.Batcher[string, string], seat *batch.Seat) {
			seat.Leave()
			seat.Leave()
		},
		"who comes too late": func(ctx context.Context, b *batch.Batcher[string, string], _ *batch.Seat) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_, _ = b.Do(ctx, "c")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shop{}
			synctest.Test(t, func(t *testing.T) {
				b := batch.New(5, pause, linger, quiet, s.sell)
				defer b.Close()
				seats, each := seated(t, 3)
				start := time.Now()
				var callers sync.WaitGroup
				callers.Go(func() { _, err := b.Do(t.Context(), "alone"); require.NoError(t, err) })
				for i, key := range []string{"a", "b"} {
					callers.Go(func() {
						_, err := b.Do(each[i], key)
						require.NoError(t, err)
						require.Equal(t, 10*pause, time.Since(start))
					})
				}
				time.Sleep(10 * pause)
				last(each[2], b, seats[2])
				callers.Wait()
				require.Len(t, s.calls, 1)
				require.Subset(t, s.calls[0], []string{"a", "b", "alone"})
				require.Equal(t, 10*pause, time.Since(start))
			})
		})
	}
}

func TestACallWaitsForAllPartiesButNotForEver(t *testing.T) {
	s := &shop{}
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(5, pause, linger, quiet, s.sell)
		defer b.Close()
		_, lost := seated(t, 2)
		_, here := seated(t, 1)
		start := time.Now()
		var callers sync.WaitGroup
		for i, ctx := range []context.Context{lost[0], here[0]} {
			callers.Go(func() { buysAs(t, ctx, b, fmt.Sprint(i)); require.Equal(t, linger, time.Since(start)) })
			synctest.Wait() // in this order
		}
		callers.Wait()
		require.Equal(t, [][]string{{"0", "1"}}, s.calls)

		buysAs(t, lost[0], b, "again")
		require.Equal(t, linger+pause, time.Since(start), "who has been waited for comes alone")
	})
}

func TestAFullCallWaitsForNoParty(t *testing.T) {
	s := &shop{}
	within(t, s, func(t *testing.T, b *batch.Batcher[string, string]) {
		seats, each := seated(t, 8)
		start := time.Now()
		var callers sync.WaitGroup
		for i, ctx := range each[:7] {
			callers.Go(func() { buysAs(t, ctx, b, fmt.Sprint(i)) })
		}
		synctest.Wait()
		require.Len(t, s.calls, 2, "of three, while the seventh waits for the eighth")
		seats[7].Leave()
		callers.Wait()
		require.Zero(t, time.Since(start))
		require.Len(t, s.calls, 3)
	})
}

func TestManyKeysAreManyCallsSideBySide(t *testing.T) {
	s := &shop{takes: time.Second}
	within(t, s, func(t *testing.T, b *batch.Batcher[string, string]) {
		start := time.Now()
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() { buys(t, b, fmt.Sprint("key", i)) })
		}
		callers.Wait()
		require.Equal(t, time.Second+pause, time.Since(start))
		require.Len(t, s.calls, 34)
	})
}

func TestACallAsksForAKeyOnce(t *testing.T) {
	s := &shop{takes: time.Second}
	within(t, s, func(t *testing.T, b *batch.Batcher[string, string]) {
		var callers sync.WaitGroup
		for _, key := range []string{"a", "a", "b", "a"} {
			callers.Go(func() { buys(t, b, key) })
		}
		callers.Wait()
		require.Equal(t, [][]string{{"a", "b"}}, s.calls)
		buys(t, b, "a")
		require.Len(t, s.calls, 2, "another call is another answer")
	})
}

func TestEachCallerHasTheResultOfItsKey(t *testing.T) {
	bad := errors.New("bad")
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(2, pause, linger, quiet, func(_ context.Context, keys []string) []batch.Result[string] {
			results := make([]batch.Result[string], len(keys))
			for i, key := range keys {
				if results[i].Value = key; key == "bad" {
					results[i].Err = bad
				}
			}
			return results
		})
		defer b.Close()
		var callers sync.WaitGroup
		callers.Go(func() { _, err := b.Do(t.Context(), "bad"); require.ErrorIs(t, err, bad) })
		callers.Go(func() {
			got, err := b.Do(t.Context(), "good")
			require.NoError(t, err)
			require.Equal(t, "good", got)
		})
		callers.Wait()
	})
}

func TestOneCallersEndDoesNotFailTheOthers(t *testing.T) {
	s := &shop{takes: time.Second}
	within(t, s, func(t *testing.T, b *batch.Batcher[string, string]) {
		var callers sync.WaitGroup
		callers.Go(func() {
			short, cancel := context.WithTimeout(t.Context(), time.Second/2)
			defer cancel()
			_, err := b.Do(short, "a")
			require.ErrorIs(t, err, fault.Unavailable)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, context.Canceled)
		})
		synctest.Wait() // the first caller is the one who leaves
		callers.Go(func() { buys(t, b, "b") })
		callers.Wait()
		require.Len(t, s.calls, 1)
	})
}

func TestACallEndsWhenAllHaveLeft(t *testing.T) {
	for name, limit := range map[string]time.Duration{
		"without deadlines": 0, "before their deadlines": time.Minute, "just before": time.Second + pause,
	} {
		t.Run(name, func(t *testing.T) {
			s := &shop{takes: time.Hour}
			within(t, s, func(t *testing.T, b *batch.Batcher[string, string]) {
				start := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				if limit > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), limit)
				}
				time.AfterFunc(time.Second, cancel)
				var callers sync.WaitGroup
				for _, key := range []string{"a", "b"} {
					callers.Go(func() {
						_, err := b.Do(ctx, key)
						require.ErrorIs(t, err, fault.Unavailable)
						require.ErrorIs(t, err, context.Canceled)
					})
				}
				callers.Wait()
				synctest.Wait()
				require.Equal(t, []error{context.Canceled}, s.ended)
				require.Equal(t, time.Second, time.Since(start))
			})
		})
	}
}

// Whom a call asks has hung then: that differs from a caller who left.
func TestACallHasTheLastDeadlineOfItsCallersWhoLearnFromIt(t *testing.T) {
	s := &shop{takes: time.Hour}
	within(t, s, func(t *testing.T, b *batch.Batcher[string, string]) {
		start := time.Now()
		var callers sync.WaitGroup
		for i, limit := range []time.Duration{time.Second, time.Second + pause, time.Second / 2} {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				_, err := b.Do(ctx, fmt.Sprint("key", i))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				if limit == time.Second/2 {
					require.ErrorIs(t, err, fault.Unavailable)
					require.Equal(t, limit, time.Since(start), "nothing is known by then")
				} else {
					require.ErrorContains(t, err, "the shop is closed")
					require.Equal(t, time.Second+pause, time.Since(start))
				}
			})
			synctest.Wait() // in this order
		}
		callers.Wait()
		require.Equal(t, []error{context.DeadlineExceeded}, s.ended)
	})
}

func TestACallThatIgnoresItsEndHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := batch.New(3, pause, linger, quiet, func(context.Context, []string) []batch.Result[string] {
			time.Sleep(time.Hour)
			return nil
		})
		defer b.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.Do(ctx, "a")
		require.ErrorIs(t, err, fault.Unavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(start), 2*time.Second)
	})
}

func TestACallThatAllHaveLeftIsNotMadeNorJoined(t *testing.T) {
	s := &shop{}
	within(t, s, func(t *testing.T, b *batch.Batcher[string, string]) {
		for _, limit := range []func(context.Context) (context.Context, context.CancelFunc){
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, pause/4)
			},
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(pause/4, cancel)
				return ctx, cancel
			},
		} {
			ctx, cancel := limit(t.Context())
			defer cancel()
			_, err := b.Do(ctx, "a")
			require.ErrorIs(t, err, ctx.Err())
			_, err = b.Do(ctx, "b")
			require.ErrorIs(t, err, ctx.Err(), "who comes too late")
		}
		var callers sync.WaitGroup
		callers.Go(func() { buys(t, b, "c") })
		synctest.Wait()
		late, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.Do(late, "d")
		require.ErrorIs(t, err, fault.Unavailable)
		require.ErrorIs(t, err, context.Canceled)
		callers.Wait()
		require.Equal(t, [][]string{{"c"}}, s.calls)
	})
}

type valueKey struct{}

func TestACallKeepsTheValuesOfWhoBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(3, pause, linger, quiet, func(ctx context.Context, _ []string) []batch.Result[any] {
			return []batch.Result[any]{{Value: ctx.Value(valueKey{})}}
		})
		defer b.Close()
		got, err := b.Do(context.WithValue(t.Context(), valueKey{}, 7), "a")
		require.NoError(t, err)
		require.Equal(t, 7, got)
	})
}

func TestCloseEndsCallsAndRefusesNewOnes(t *testing.T) {
	s := &shop{takes: time.Hour}
	within(t, s, func(t *testing.T, b *batch.Batcher[string, string]) {
		start := time.Now()
		var callers sync.WaitGroup
		callers.Go(func() { _, err := b.Do(t.Context(), "a"); require.ErrorIs(t, err, context.Canceled) })
		time.Sleep(2 * pause)
		callers.Go(func() {
			_, err := b.Do(t.Context(), "b") // not asked for yet
			require.ErrorIs(t, err, fault.Unavailable)
			require.ErrorContains(t, err, "closed")
		})
		synctest.Wait()
		b.Close()
		callers.Wait()
		_, err := b.Do(t.Context(), "c")
		require.ErrorIs(t, err, fault.Unavailable)
		require.ErrorContains(t, err, "closed")
		require.Equal(t, [][]string{{"a"}}, s.calls)
		require.Equal(t, 2*pause, time.Since(start))
		b.Close()
	})
}

func TestCloseWaitsForCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		b := batch.New(1, pause, linger, quiet, func(ctx context.Context, _ []string) []batch.Result[string] {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = true
			return nil
		})
		go func() { _, _ = b.Do(t.Context(), "a") }()
		synctest.Wait()
		b.Close()
		require.True(t, ended)
	})
}

func TestAResultForEachKeyOrAnErrorForAll(t *testing.T) {
	for name, results := range map[string][]batch.Result[string]{
		"none": nil, "too few": {{Value: "x"}}, "too many": {{Value: "x"}, {Value: "y"}, {Value: "z"}},
	} {
		t.Run(name, func(t *testing.T) {
			failsForAll(t, func(context.Context, []string) []batch.Result[string] { return results })
		})
	}
	t.Run("the end of the goroutine", func(t *testing.T) {
		failsForAll(t, func(context.Context, []string) []batch.Result[string] { runtime.Goexit(); return nil })
	})
}

func TestAPanicBecomesAnErrorThatQuotesNothing(t *testing.T) {
	said := failsForAll(t, func(context.Context, []string) []batch.Result[string] { panic(errors.New("hunter2")) })
	require.NotContains(t, said, "hunter2")
	require.Contains(t, said, "batch_test.go", "the place is logged")
}

// failsForAll requires that a call ends in an error for both of its callers,
// and returns all that is said about it.
func failsForAll(t *testing.T, call func(context.Context, []string) []batch.Result[string]) string {
	var said bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(2, pause, linger, slog.New(slog.NewTextHandler(&said, nil)), call)
		defer b.Close()
		var callers sync.WaitGroup
		errs := make([]error, 2)
		for i, key := range []string{"a", "b"} {
			callers.Go(func() { _, errs[i] = b.Do(t.Context(), key) })
		}
		callers.Wait()
		for _, err := range errs {
			require.ErrorIs(t, err, fault.Unavailable)
			_, again := fault.Transient(err)
			require.False(t, again)
		}
		said.WriteString(errs[0].Error())
	})
	return said.String()
}

func TestEachGetsTheKeysSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		start := time.Now()
		got := batch.Each(slog.New(slog.NewTextHandler(&said, nil)), []string{"a", "bad", "panic", "exit", "b"}, func(key string) (string, error) {
			time.Sleep(time.Second)
			switch key {
			case "bad":
				return "", errors.New(key)
			case "panic":
				panic("hunter2")
			case "exit":
				runtime.Goexit()
			}
			return strings.ToUpper(key), nil
		})
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, batch.Result[string]{Value: "A"}, got[0])
		require.EqualError(t, got[1].Err, "bad")
		require.ErrorIs(t, got[2].Err, fault.Unavailable)
		require.NotContains(t, got[2].Err.Error()+said.String(), "hunter2")
		require.ErrorIs(t, got[3].Err, fault.Unavailable)
		require.Equal(t, batch.Result[string]{Value: "B"}, got[4])
		require.Empty(t, batch.Each(quiet, nil, func(string) (int, error) { return 0, nil }))
	})
}
