package awssm_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
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

// roundTrip is how long each call of a slow takes.
const roundTrip = time.Second

// slow is a service that has every secret and takes roundTrip for each call.
type slow struct {
	mu                  sync.Mutex
	batches, singles    int
	running, concurrent int
	refuses             string // an error code, for batches only
}

// answer implements over.
func (s *slow) answer(r *http.Request, ids []string, batch bool) (int, string) {
	s.mu.Lock()
	refuses := s.refuses
	if s.running++; batch {
		s.batches++
	} else {
		s.singles++
	}
	s.concurrent = max(s.concurrent, s.running)
	s.mu.Unlock()
	select {
	case <-time.After(roundTrip):
	case <-r.Context().Done():
	}
	s.mu.Lock()
	s.running--
	s.mu.Unlock()
	switch {
	case batch && refuses != "":
		return 400, fmt.Sprintf(`{"__type":%q}`, refuses)
	case !batch:
		return 200, fmt.Sprintf(`{"SecretString":"value of %s"}`, ids[0])
	}
	var entries []string
	for _, id := range ids {
		entries = append(entries,
			fmt.Sprintf(`{"ARN":%q,"Name":%[2]q,"SecretString":"value of %[2]s"}`, prefix+id+"-AAAAAA", id))
	}
	return 200, `{"SecretValues":[` + strings.Join(entries, ",") + `]}`
}

// calls returns the calls since the last time, and how many ran at a time.
func (s *slow) calls() (batches, singles, concurrent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batches, singles, concurrent = s.batches, s.singles, s.concurrent
	s.batches, s.singles, s.concurrent = 0, 0, 0
	return batches, singles, concurrent
}

func queueing(t *testing.T, test func(t *testing.T, s *slow, d *desk)) {
	bare(t)
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		d := openDesk(t, over(s.answer).config(), nil)
		test(t, s, d)
		synctest.Wait()
	})
}

func names(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint("s", i))
	}
	return ids
}

// took returns the round trips of a function.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func TestQueue(t *testing.T) {
	t.Run("a lone target goes out at once", func(t *testing.T) {
		queueing(t, func(t *testing.T, s *slow, d *desk) {
			require.Equal(t, roundTrip,
				took(func() { require.Equal(t, []string{"value of s0"}, d.texts("s0")) }))
			batches, singles, _ := s.calls()
			require.Equal(t, []int{0, 1}, []int{batches, singles})
		})
	})
	t.Run("100 targets of a list are five calls in one round trip", func(t *testing.T) {
		queueing(t, func(t *testing.T, s *slow, d *desk) {
			require.Equal(t, roundTrip,
				took(func() { require.Equal(t, "value of s99", d.texts(names(100)...)[99]) }))
			batches, singles, _ := s.calls()
			require.Equal(t, []int{5, 0}, []int{batches, singles})
		})
	})
	t.Run("100 callers are at most 13 calls in two round trips", func(t *testing.T) {
		queueing(t, func(t *testing.T, s *slow, d *desk) {
			require.LessOrEqual(t, took(func() {
				var all sync.WaitGroup
				for _, id := range names(100) {
					all.Go(func() { require.Equal(t, []string{"value of " + id}, d.texts(id)) })
				}
				all.Wait()
			}), 2*roundTrip)
			batches, singles, concurrent := s.calls()
			require.LessOrEqual(t, batches+singles, 13)
			require.LessOrEqual(t, concurrent, awssm.MaxBatches)
		})
	})
	t.Run("eight calls run at a time", func(t *testing.T) {
		queueing(t, func(t *testing.T, s *slow, d *desk) {
			require.Equal(t, 2*roundTrip, took(func() { d.texts(names(9 * awssm.MaxBatch)...) }))
			batches, singles, concurrent := s.calls()
			require.Equal(t, []int{9, 0, 8}, []int{batches, singles, concurrent})
		})
	})
	t.Run("regions have queues of their own", func(t *testing.T) {
		queueing(t, func(t *testing.T, s *slow, d *desk) {
			targets := []ref.Target{group("s0"), group("s1"),
				{Kind: ref.AWS, Region: "us-east-1", Secret: "s0"}}
			var all sync.WaitGroup
			for _, pending := range d.backend.Queue(t.Context(), targets) {
				all.Go(func() {
					_, err := pending.Wait(t.Context())
					require.NoError(t, err)
				})
			}
			require.Equal(t, roundTrip, took(all.Wait))
			batches, singles, _ := s.calls()
			require.Equal(t, []int{1, 1}, []int{batches, singles})
		})
	})
	for _, code := range []string{"AccessDeniedException", "ThrottlingException"} {
		t.Run("after "+code+" targets go out singly, 50 at a time", func(t *testing.T) {
			queueing(t, func(t *testing.T, s *slow, d *desk) {
				s.refuses = code
				require.Equal(t, 3*roundTrip, took(func() { d.texts(names(100)...) }))
				batches, singles, concurrent := s.calls()
				require.Equal(t, []int{5, 100, 50}, []int{batches, singles, concurrent})
				require.Equal(t, 2*roundTrip, took(func() { d.texts(names(100)...) }))
				batches, singles, _ = s.calls()
				require.Equal(t, []int{0, 100}, []int{batches, singles})
			})
		})
	}
	t.Run("throttled batches are tried again after five seconds", func(t *testing.T) {
		queueing(t, func(t *testing.T, s *slow, d *desk) {
			s.refuses = "ThrottlingException"
			d.texts("a", "b")
			s.refuses = ""
			time.Sleep(5 * time.Second)
			s.calls()
			d.texts("a", "b")
			batches, singles, _ := s.calls()
			require.Equal(t, []int{1, 0}, []int{batches, singles})
		})
	})
}

func TestQueueLeave(t *testing.T) {
	leaving := func(t *testing.T, d *desk, timeout time.Duration, ids ...string) []result {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		return d.fetchWith(ctx, ids...)
	}
	t.Run("a caller that leaves does not affect the others of its call", func(t *testing.T) {
		queueing(t, func(t *testing.T, s *slow, d *desk) {
			pending := d.backend.Queue(t.Context(), []ref.Target{group("a"), group("b")})
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			all.Go(func() {
				_, err := pending[0].Wait(ctx)
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, err, fault.Unavailable)
			})
			all.Go(func() {
				got, err := pending[1].Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, "value of b", got.Text)
			})
			time.Sleep(roundTrip / 2)
			cancel()
			all.Wait()
			batches, singles, _ := s.calls()
			require.Equal(t, []int{1, 0}, []int{batches, singles})
		})
	})
	t.Run("a call ends when its last caller has left", func(t *testing.T) {
		queueing(t, func(t *testing.T, s *slow, d *desk) {
			require.Equal(t, roundTrip/2, took(func() {
				for _, r := range leaving(t, d, roundTrip/2, "a", "b") {
					require.ErrorIs(t, r.Err, context.DeadlineExceeded)
					require.ErrorContains(t, r.Err, "did not answer in time")
				}
			}))
			synctest.Wait()
			require.Zero(t, s.running)
		})
	})
	t.Run("a caller that leaves the queue makes no call", func(t *testing.T) {
		queueing(t, func(t *testing.T, s *slow, d *desk) {
			var all sync.WaitGroup
			all.Go(func() { d.texts(names(awssm.MaxBatches * awssm.MaxBatch)...) })
			synctest.Wait()
			for _, r := range leaving(t, d, roundTrip/2, "a", "b") {
				require.ErrorIs(t, r.Err, context.DeadlineExceeded)
				require.ErrorContains(t, r.Err, "canceled while waiting for one of 8 concurrent calls")
			}
			all.Wait()
			require.Equal(t, roundTrip, took(func() { d.texts("c") }), "the slot is released")
			batches, singles, _ := s.calls()
			require.Equal(t, []int{8, 1}, []int{batches, singles})
		})
	})
	t.Run("a caller whose context has ended releases its slot", func(t *testing.T) {
		queueing(t, func(t *testing.T, s *slow, d *desk) {
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			for range 10 * awssm.MaxBatches {
				for _, r := range d.fetchWith(ended, "a") {
					require.ErrorIs(t, r.Err, fault.Unavailable)
				}
				d.fetchWith(ended, "a", "b")
			}
			require.Equal(t, roundTrip, took(func() { d.texts(names(8 * awssm.MaxBatch)...) }))
		})
	})
	t.Run("a call has the values of its first caller, not its end", func(t *testing.T) {
		type key struct{}
		bare(t)
		inproc.SkipWithoutRandom(t)
		synctest.Test(t, func(t *testing.T) {
			var seen []any
			s := &slow{}
			d := openDesk(t, over(func(r *http.Request, ids []string, batch bool) (int, string) {
				seen = append(seen, r.Context().Value(key{}))
				return s.answer(r, ids, batch)
			}).config(), nil)
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
			pending := d.backend.Queue(ctx, []ref.Target{group("a"), group("b")})
			cancel()
			var all sync.WaitGroup
			for _, p := range pending {
				all.Go(func() {
					_, err := p.Wait(t.Context())
					require.NoError(t, err)
				})
			}
			all.Wait()
			require.Equal(t, []any{"v"}, seen)
		})
	})
}
