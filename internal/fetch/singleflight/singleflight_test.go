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

type runFunc func(ctx context.Context, failed func(error)) (int, error)

func do(ctx context.Context, g *singleflight.Group[string, int],
	run runFunc) *singleflight.Flight[string, int] {
	f, started := g.Do(ctx, "k")
	if started {
		go start(f, run)
	}
	return f
}

func doFresh(ctx context.Context, g *singleflight.Group[string, int],
	run runFunc) *singleflight.Flight[string, int] {
	f, started := g.DoFresh(ctx, "k")
	if started {
		go start(f, run)
	}
	return f
}

func start(f *singleflight.Flight[string, int], run runFunc) {
	defer func() { f.Land(recover()) }()
	if ctx, ok := f.Begin(); ok {
		f.Return(run(ctx, f.Failed))
	}
}

func TestDo(t *testing.T) {
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
				got, err := do(t.Context(), g, run).Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, 1, got)
			})
		}
		callers.Wait()
		require.EqualValues(t, 1, runs.Load())

		got, err := do(t.Context(), g, run).Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, got, "a flight that has ended is not joined")
	})
}

func TestResultLeave(t *testing.T) {
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
		first, second := do(short, g, run), do(t.Context(), g, run)
		_, err := first.Wait(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, fault.Unavailable)
		require.ErrorContains(t, err, "connection refused", "a caller that leaves gets the latest error")
		got, err := second.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 7, got)
	})
}

func TestResultLastCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		ended := make(chan error, 1)
		run := func(ctx context.Context, _ func(error)) (int, error) {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return 0, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		w := do(ctx, g, run)
		cancel()
		_, err := w.Wait(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		start := time.Now()
		_, err := do(t.Context(), g, func(ctx context.Context, _ func(error)) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}).Wait(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		w := do(t.Context(), g, func(ctx context.Context, _ func(error)) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		g.Close()
		_, err := w.Wait(t.Context())
		require.ErrorIs(t, err, context.Canceled)
		_, err = do(t.Context(), g, nil).Wait(t.Context())
		require.ErrorIs(t, err, fault.Unavailable)
	})
}

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	g := singleflight.New[string, int](time.Second, slog.New(slog.NewTextHandler(&log, nil)))
	defer g.Close()
	_, err := do(t.Context(), g, func(context.Context, func(error)) (int, error) {
		panic(errors.New("hunter2"))
	}).Wait(t.Context())
	require.ErrorIs(t, err, fault.Unavailable)
	require.NotContains(t, err.Error()+log.String(), "hunter2")
	require.Contains(t, log.String(), "flight_test.go", "the place is logged")
}

func TestDoFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		start := time.Now()
		var runs atomic.Int32
		run := func(context.Context, func(error)) (int, error) {
			n := int(runs.Add(1))
			time.Sleep(time.Second)
			return n, nil
		}
		first := do(t.Context(), g, run)
		time.Sleep(time.Second / 2)
		var callers sync.WaitGroup
		for range 100 {
			callers.Go(func() {
				got, err := doFresh(t.Context(), g, run).Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, 2, got)
				require.Equal(t, 2*time.Second, time.Since(start))
			})
		}
		got, err := first.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, got)
		callers.Wait()

		got, err = doFresh(t.Context(), g, run).Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 3, got)
	})
}

func TestDoFreshAfterAbandonedFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		hang := func(ctx context.Context, _ func(error)) (int, error) {
			<-ctx.Done()
			return 0,
				ctx.Err()
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := do(short, g, hang)
		next := doFresh(t.Context(), g, func(context.Context, func(error)) (int, error) { return 2, nil })
		_, err := first.Wait(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		got, err := next.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, got)
	})
}

func TestDoFreshAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		var runs atomic.Int32
		run := func(context.Context, func(error)) (int, error) {
			time.Sleep(time.Second)
			return int(runs.Add(1)), nil
		}
		first := do(t.Context(), g, run)
		short, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, err := doFresh(short, g, run).Wait(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = first.Wait(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		require.EqualValues(t, 1, runs.Load())
	})
}

func TestCloseDoFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t)
		hang := func(ctx context.Context, _ func(error)) (int, error) {
			<-ctx.Done()
			return 0,
				ctx.Err()
		}
		first := do(t.Context(), g, hang)
		next := doFresh(t.Context(), g, hang)
		g.Close()
		_, err := first.Wait(t.Context())
		require.ErrorIs(t, err, context.Canceled)
		_, err = next.Wait(t.Context())
		require.ErrorIs(t, err, fault.Unavailable)
	})
}
