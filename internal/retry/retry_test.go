package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/retry"
)

func unavailable() *fault.Error { return fault.New(fault.Unavailable, "down") }

func TestDoStopsAtSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		attempts, err := retry.Do(t.Context(), func(context.Context) error {
			if n++; n < 3 {
				return unavailable()
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 3, attempts)
	})
}

func TestDoFailsAtOnceForGood(t *testing.T) {
	for _, err := range []error{
		fault.New(fault.Denied, ""), fault.New(fault.NotFound, ""), fault.New(fault.Syntax, ""),
		unavailable().Final(), errors.New("unknown"),
	} {
		attempts, got := retry.Do(t.Context(), func(context.Context) error { return err })
		require.Equal(t, 1, attempts)
		require.Equal(t, err, got)
	}
}

func TestDoBacksOffUntilTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		attempts, err := retry.Do(ctx, func(context.Context) error { return unavailable() })
		require.ErrorIs(t, err, fault.Unavailable)
		require.Less(t, time.Since(start), 30*time.Second, "it does not wait for a deadline that it cannot beat")
		require.Greater(t, attempts, 6)
		require.Less(t, attempts, 25)
	})
}

func TestDoHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := unavailable()
		busy.RetryAfter = 7 * time.Second
		start, n := time.Now(), 0
		_, err := retry.Do(t.Context(), func(context.Context) error {
			if n++; n == 1 {
				return busy
			}
			return nil
		})
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(start), 7*time.Second)
	})
}

func TestDoKeepsWhatItKnewWhenTheLastAttemptIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n := 0
		_, err := retry.Do(ctx, func(ctx context.Context) error {
			if n++; n == 1 {
				return fault.New(fault.Unavailable, "sealed")
			}
			<-ctx.Done()
			return fault.New(fault.Unavailable, "did not answer in time")
		})
		require.ErrorContains(t, err, "sealed")
	})
}

func TestDoLeavesWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(120 * time.Millisecond)
			cancel()
		}()
		start := time.Now()
		_, err := retry.Do(ctx, func(context.Context) error { return unavailable() })
		require.ErrorIs(t, err, fault.Unavailable)
		require.Less(t, time.Since(start), time.Second)
	})
}
