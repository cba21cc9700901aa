package awssm_test

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/awssm"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

func TestBatchCall(t *testing.T) {
	bare(t)
	inproc.SkipWithoutRandom(t)
	t.Run("has the latest deadline of its callers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var deadlines []time.Duration
			s := &slow{}
			d := openDesk(t, over(func(r *http.Request, ids []string, batch bool) (int, string) {
				synctest.Wait() // both callers wait
				at, ok := r.Context().Deadline()
				require.True(t, ok)
				deadlines = append(deadlines, time.Until(at))
				return s.answer(r, ids, batch)
			}).config(), nil)
			pending := d.backend.Queue(t.Context(), []ref.Target{group("a"), group("b")})
			var all sync.WaitGroup
			for i, timeout := range []time.Duration{5 * time.Second, 7 * time.Second} {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), timeout)
					defer cancel()
					_, err := pending[i].Wait(ctx)
					require.NoError(t, err)
				})
			}
			all.Wait()
			require.Equal(t, []time.Duration{7 * time.Second}, deadlines)
		})
	})
	t.Run("gives its place back if its goroutine exits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			exits := true
			s := &slow{}
			d := openDesk(t, over(func(r *http.Request, ids []string, batch bool) (int, string) {
				if exits {
					runtime.Goexit()
				}
				return s.answer(r, ids, batch)
			}).config(), nil)
			for range 2 * awssm.MaxBatches {
				for _, r := range d.fetch("a", "b") {
					require.ErrorIs(t, r.Err, fault.Unavailable)
					require.ErrorContains(t, r.Err, "ended without a result")
				}
			}
			exits = false
			require.Equal(t, roundTrip, took(func() { d.texts(names(awssm.MaxBatches * awssm.MaxBatch)...) }))
		})
	})
}
