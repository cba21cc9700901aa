package retry_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/retry"
)

func unavailable() *fault.Error { return fault.New(fault.Unavailable, "down") }

func TestDoSuccess(t *testing.T) {
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

func TestDoPermanentError(t *testing.T) {
	for _, err := range []error{
		fault.New(fault.Denied, ""), fault.New(fault.NotFound, ""), fault.New(fault.Syntax, ""),
		unavailable().Permanently(), errors.New("unknown"),
	} {
		attempts, got := retry.Do(t.Context(), func(context.Context) error { return err })
		require.Equal(t, 1, attempts)
		require.Equal(t, err, got)
	}
}

func TestDoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		attempts, err := retry.Do(ctx, func(context.Context) error { return unavailable() })
		require.ErrorIs(t, err, fault.Unavailable)
		require.Less(t, time.Since(start), 30*time.Second, "it does not wait if the deadline comes first")
		require.Greater(t, attempts, 6)
		require.Less(t, attempts, 25)
	})
}

func TestDoRetryAfter(t *testing.T) {
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

func TestDoLastAttemptCutOff(t *testing.T) {
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

func TestDoCanceled(t *testing.T) {
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

// attempt is one that failed, with the pause after it.
type attempt struct {
	number int
	err    error
	pause  time.Duration
}

func TestLoop(t *testing.T) {
	loop := func(t *testing.T, timeout time.Duration, try func(n int) error) (failed []attempt,
		took time.Duration, err error) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			start := time.Now()
			var loop retry.Loop
			for n := 1; loop.Next(ctx); n++ {
				tried := try(n)
				if loop.Done(ctx, tried); tried != nil {
					failed = append(failed, attempt{loop.Attempts, tried, loop.Pause})
				}
			}
			err, took = loop.Err(), time.Since(start)
		})
		return failed, took, err
	}
	t.Run("each failed attempt has a pause", func(t *testing.T) {
		failed, took, err := loop(t, 30*time.Second, func(int) error { return unavailable() })
		require.ErrorIs(t, err, fault.Unavailable)
		total := time.Duration(0)
		for i, f := range failed {
			require.Equal(t, i+1, f.number)
			require.EqualError(t, f.err, "unavailable: down")
			require.Equal(t, i == len(failed)-1, f.pause == 0)
			total += f.pause
		}
		require.Equal(t, took, total)
		require.Greater(t, took, 20*time.Second)
		require.EqualError(t, err,
			fmt.Sprintf("unavailable: down; gave up after %d attempts in %s", len(failed),
				took.Round(time.Second)))
	})
	t.Run("an error after one attempt is unchanged", func(t *testing.T) {
		first := unavailable().Permanently()
		failed, _, err := loop(t, 30*time.Second, func(int) error { return first })
		require.Same(t, error(first), err)
		require.Equal(t, []attempt{{1, first, 0}}, failed)
	})
	t.Run("only an outage says how often it was tried", func(t *testing.T) {
		failed, _, err := loop(t, 30*time.Second, func(n int) error {
			if n < 3 {
				return unavailable()
			}
			return fault.New(fault.Denied, "no").WithCause(fault.Unavailable)
		})
		require.EqualError(t, err, "access denied: no")
		require.Len(t, failed, 3)
	})
	t.Run("an inner loop's count is replaced", func(t *testing.T) {
		_, _, err := loop(t, 2*time.Second,
			func(int) error { return fault.WithEffort(unavailable(), 90, time.Second) })
		require.NotContains(t, err.Error(), "90")
		require.Equal(t, 1, strings.Count(err.Error(), "gave up"))
	})
	t.Run("success", func(t *testing.T) {
		failed, _, err := loop(t, time.Second, func(int) error { return nil })
		require.NoError(t, err)
		require.Empty(t, failed)
	})
}

// A host that does not exist fails soon, even if each lookup is slow. A DNS resolver
// that does not answer may answer the next time.
func TestLoopNoSuchHost(t *testing.T) {
	for name, c := range map[string]struct {
		dns   net.DNSError
		takes time.Duration
		other int // each time this many attempts were made, one fails differently
		soon  bool
	}{
		"not found": {dns: net.DNSError{IsNotFound: true}, soon: true},
		"not found, slowly": {dns: net.DNSError{IsNotFound: true}, takes: 2 * time.Second,
			soon: true},
		"not found, very slowly": {dns: net.DNSError{IsNotFound: true}, takes: 4 * time.Second,
			soon: true},
		"a timeout":                      {dns: net.DNSError{IsNotFound: true, IsTimeout: true}},
		"a temporary failure":            {dns: net.DNSError{IsNotFound: true, IsTemporary: true}},
		"a server that fails":            {dns: net.DNSError{IsTemporary: true}},
		"not found, and refused between": {dns: net.DNSError{IsNotFound: true}, other: 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				start, tries := time.Now(), 0
				n, err := retry.Do(ctx, func(context.Context) error {
					time.Sleep(c.takes)
					if tries++; c.other > 0 && tries%c.other == 0 {
						return unavailable()
					}
					return unavailable().WithCause(&net.OpError{Op: "dial", Err: &c.dns})
				})
				require.ErrorIs(t, err, fault.Unavailable)
				if !c.soon {
					require.Greater(t, time.Since(start), 20*time.Second)
					return
				}
				require.Less(t, time.Since(start), 5*time.Second)
				if c.takes < time.Second {
					require.Greater(t, n, 3, "the name may be about to appear")
				}
			})
		})
	}
}
