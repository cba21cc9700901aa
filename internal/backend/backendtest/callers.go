package backendtest

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

func fetchesSecretOnce(t *testing.T, b Backend) {
	t.Run("for one call", func(t *testing.T) {
		s := b.Start(t)
		s.Put("db", "x")
		got, err := s.Open(t, Options{}).ResolveAll(t.Context(),
			slices.Repeat([]string{s.Reference("db")}, 100)...)
		require.NoError(t, err)
		require.Equal(t, slices.Repeat([]string{"x"}, 100), got)
		require.Equal(t, 1, s.Calls(), "there is no other call either")
	})
	t.Run("for many goroutines", func(t *testing.T) {
		inproc.SkipWithoutRandom(t)
		s := b.StartInProcess(t)
		synctest.Test(t, func(t *testing.T) {
			s.Put("db", "x")
			s.Latency(time.Second) // passes when all callers wait
			r := s.Open(t, Options{})
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() {
					got, err := r.ResolveAll(t.Context(), s.Reference("db"))
					assert.NoError(t, err)
					assert.Equal(t, []string{"x"}, got)
				})
			}
			callers.Wait()
			require.Equal(t, 1, s.Calls())
			require.NoError(t, r.Close())
		})
	})
}

// putHundred stores 100 secrets and returns references to them and their values.
func putHundred(s *Server) (references, values []string) {
	for i := range 100 {
		name, value := fmt.Sprint("secret-", i), fmt.Sprint("value of secret-", i)
		s.Put(name, value)
		references, values = append(references, s.Reference(name)), append(values, value)
	}
	return references, values
}

func makesFiftyCalls(t *testing.T, b Backend) {
	s := b.Start(t)
	references, values := putHundred(s)
	var now, most atomic.Int32
	var once sync.Once
	full := make(chan struct{})
	s.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if n == 50 {
			once.Do(func() { close(full) })
		}
		select { // the first fifty wait for each other
		case <-full:
		case <-r.Context().Done():
		}
		time.Sleep(5 * time.Millisecond) // for a fifty-first, if there is one
		return false
	})
	got, err := s.Open(t, Options{}).ResolveAll(t.Context(), references...)
	require.NoError(t, err)
	require.Equal(t, values, got)
	require.EqualValues(t, 50, most.Load())
	require.Equal(t, 100, s.Calls(), "and not one more")
}

func keepsConnections(t *testing.T, b Backend) {
	s := b.Start(t)
	references, _ := putHundred(s)
	s.Latency(5 * time.Millisecond)
	var addresses sync.Map
	s.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		addresses.Store(r.RemoteAddr, true)
		return false
	})
	r := s.Open(t, Options{})
	for range 8 {
		_, err := r.ResolveAll(t.Context(), references...)
		require.NoError(t, err)
	}
	made := 0
	addresses.Range(func(any, any) bool { made++; return true })
	require.LessOrEqual(t, made, 150,
		"800 calls over 50 connections, and some that net/http did not need")
}

func survivesCanceledCaller(t *testing.T, b Backend) {
	inproc.SkipWithoutRandom(t)
	s := b.StartInProcess(t)
	synctest.Test(t, func(t *testing.T) {
		s.Put("db", "hunter2")
		proceed := make(chan struct{})
		s.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-proceed:
			case <-r.Context().Done():
			}
			return false
		})
		r := s.Open(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		var canceled, others sync.WaitGroup
		canceled.Go(func() {
			_, err := r.ResolveAll(ctx, s.Reference("db"))
			assert.ErrorIs(t, err, context.Canceled)
			assert.ErrorIs(t, err, fault.Unavailable)
		})
		synctest.Wait()
		for range 10 {
			others.Go(func() {
				got, err := r.ResolveAll(t.Context(), s.Reference("db"))
				assert.NoError(t, err)
				assert.Equal(t, []string{"hunter2"}, got)
			})
		}
		synctest.Wait()
		cancel()
		canceled.Wait()
		close(proceed)
		others.Wait()
		require.Equal(t, 1, s.Calls())
		require.NoError(t, r.Close())
	})
}

func closeLeavesNothingRunning(t *testing.T, b Backend) {
	s := b.Start(t)
	references, _ := putHundred(s)
	before := runtime.NumGoroutine()
	r := s.Open(t, Options{TTL: time.Minute})
	_, err := r.ResolveAll(t.Context(), references...)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, // and this one
		5*time.Minute, 5*time.Millisecond)
	_, err = resolve(t, r, s.Reference("new"))
	require.ErrorIs(t, err, fault.Unavailable)
}
