package singleflight_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/singleflight"
)

func newGroup(t *testing.T) *singleflight.Group[string, int] {
	g := singleflight.New[string, int](30*time.Second, slog.New(slog.DiscardHandler))
	t.Cleanup(g.Close)
	return g
}

func TestManyCallersShareOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		var runs atomic.Int32
		run := func(context.Context, func(error)) (int, error) {
			time.Sleep(time.Second)
			return int(runs.Add(1)), nil
		}
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				got, err := g.Do(t.Context(), "k", run).Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, 1, got)
			})
		}
		callers.Wait()
		require.EqualValues(t, 1, runs.Load())

		got, err := g.Do(t.Context(), "k", run).Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, got, "a flight that has ended is not joined")
	})
}

func TestOneCallersEndDoesNotFailTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		run := func(ctx context.Context, failed func(error)) (int, error) {
			failed(fault.New(fault.Unavailable, "connection refused"))
			select {
			case <-time.After(time.Second):
				return 7, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		first, second := g.Do(short, "k", run), g.Do(t.Context(), "k", run)
		_, err := first.Wait(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, fault.Unavailable)
		require.ErrorContains(t, err, "connection refused", "a caller that leaves gets the latest error")
		got, err := second.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 7, got)
	})
}

func TestTheLastOneOutEndsTheFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		ended := make(chan error, 1)
		run := func(ctx context.Context, _ func(error)) (int, error) {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return 0, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		w := g.Do(ctx, "k", run)
		cancel()
		_, err := w.Wait(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

func TestFlightsEndAfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		start := time.Now()
		_, err := g.Do(t.Context(), "k", func(ctx context.Context, _ func(error)) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}).Wait(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestCloseEndsFlightsAndRefusesNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		w := g.Do(t.Context(), "k", func(ctx context.Context, _ func(error)) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		g.Close()
		_, err := w.Wait(t.Context())
		require.ErrorIs(t, err, context.Canceled)
		_, err = g.Do(t.Context(), "k", nil).Wait(t.Context())
		require.ErrorIs(t, err, fault.Unavailable)
	})
}

func TestAPanicBecomesAnErrorThatQuotesNothing(t *testing.T) {
	var log bytes.Buffer
	g := singleflight.New[string, int](time.Second, slog.New(slog.NewTextHandler(&log, nil)))
	defer g.Close()
	_, err := g.Do(t.Context(), "k", func(context.Context, func(error)) (int, error) {
		panic(errors.New("hunter2"))
	}).Wait(t.Context())
	require.ErrorIs(t, err, fault.Unavailable)
	require.NotContains(t, err.Error()+log.String(), "hunter2")
	require.Contains(t, log.String(), "flight_test.go", "the place is logged")
}

func TestTheNextFlightBeginsAfterTheCallAndIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		start := time.Now()
		var runs atomic.Int32
		run := func(context.Context, func(error)) (int, error) {
			n := int(runs.Add(1))
			time.Sleep(time.Second)
			return n, nil
		}
		first := g.Do(t.Context(), "k", run)
		time.Sleep(time.Second / 2)
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				got, err := g.DoFresh(t.Context(), "k", run).Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, 2, got)
				require.Equal(t, 2*time.Second, time.Since(start))
			})
		}
		got, err := first.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, got)
		callers.Wait()

		got, err = g.DoFresh(t.Context(), "k", run).Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 3, got)
	})
}

func TestTheNextFlightBeginsWhenNobodyWaitsForTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		hang := func(ctx context.Context, _ func(error)) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := g.Do(short, "k", hang)
		next := g.DoFresh(t.Context(), "k", func(context.Context, func(error)) (int, error) { return 2, nil })
		_, err := first.Wait(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		got, err := next.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, got)
	})
}

func TestANextFlightThatNobodyWaitsForIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		var runs atomic.Int32
		run := func(context.Context, func(error)) (int, error) {
			time.Sleep(time.Second)
			return int(runs.Add(1)), nil
		}
		first := g.Do(t.Context(), "k", run)
		short, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, err := g.DoFresh(short, "k", run).Wait(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = first.Wait(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		require.EqualValues(t, 1, runs.Load())
	})
}

func TestCloseEndsTheNextFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		hang := func(ctx context.Context, _ func(error)) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
		first := g.Do(t.Context(), "k", hang)
		next := g.DoFresh(t.Context(), "k", hang)
		g.Close()
		_, err := first.Wait(t.Context())
		require.ErrorIs(t, err, context.Canceled)
		_, err = next.Wait(t.Context())
		require.ErrorIs(t, err, fault.Unavailable)
	})
}
