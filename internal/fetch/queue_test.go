package fetch_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/ref"
)

const takes = 5 * time.Millisecond

// queuer answers each list of targets at once, with the names of the secrets unless
// answer returns an error.
type queuer struct {
	mu     sync.Mutex
	calls  [][]string
	answer func(call int, secret string) error
}

func (q *queuer) Queue(_ context.Context, targets []ref.Target) []backend.Pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	pending := make([]backend.Pending, len(targets))
	var names []string
	for i, target := range targets {
		p := answer{due: time.Now().Add(takes), text: "value of " + target.Secret}
		if q.answer != nil {
			p.err = q.answer(len(q.calls), target.Secret)
		}
		pending[i], names = p, append(names, target.Secret)
	}
	q.calls = append(q.calls, names)
	return pending
}

func (q *queuer) Fetch(ctx context.Context, target ref.Target) (backend.Document, error) {
	return q.Queue(ctx, []ref.Target{target})[0].Wait(ctx)
}

// count returns the number of attempts to fetch a secret.
func (q *queuer) count(secret string) (n int) {
	for _, names := range q.calls {
		for _, name := range names {
			if name == secret {
				n++
			}
		}
	}
	return n
}

// answer implements backend.Pending.
type answer struct {
	due  time.Time
	text string
	err  error
}

func (a answer) Wait(ctx context.Context) (backend.Document, error) {
	select {
	case <-time.After(time.Until(a.due)):
		if a.err != nil {
			return backend.Document{}, a.err
		}
		return backend.Document{Text: a.text}, nil
	case <-ctx.Done():
		return backend.Document{}, fault.New(fault.Unavailable, "too slow").WithCause(ctx.Err())
	}
}

// queueing runs test with a Fetcher over q and references to n secrets.
func queueing(t *testing.T, q *queuer, n int,
	test func(*testing.T, *fetch.Fetcher, []ref.Reference)) {
	synctest.Test(t, func(t *testing.T) {
		f := fetch.New(map[ref.Kind]backend.Backend{ref.AWS: q},
			fetch.Settings{Timeout: 30 * time.Second, TTL: -1, Log: slog.New(slog.DiscardHandler)})
		defer f.Close()
		refs := make([]ref.Reference, n)
		for i := range refs {
			refs[i] = ref.Reference{Kind: ref.AWS, Region: "eu-west-1", SecretID: fmt.Sprint("secret-", i)}
		}
		test(t, f, refs)
	})
}

func TestQueue(t *testing.T) {
	t.Run("a list is queued in one step", func(t *testing.T) {
		q := &queuer{}
		queueing(t, q, 100, func(t *testing.T, f *fetch.Fetcher, refs []ref.Reference) {
			refs = append(refs, ref.Reference{Kind: ref.AWS, Region: "us-east-1", SecretID: "secret-0"},
				refs[7])
			start := time.Now()
			for i, got := range f.Resolve(t.Context(), refs, cache.UseCached) {
				require.NoError(t, got.Err)
				require.Equal(t, "value of "+refs[i].SecretID, got.Text)
			}
			require.Equal(t, takes, time.Since(start))
			require.Len(t, q.calls, 1)
			require.Len(t, q.calls[0], 101)
		})
	})
	t.Run("only targets that this caller fetches are queued", func(t *testing.T) {
		q := &queuer{}
		queueing(t, q, 3, func(t *testing.T, f *fetch.Fetcher, refs []ref.Reference) {
			start := time.Now()
			var all sync.WaitGroup
			all.Go(func() { f.Resolve(t.Context(), refs[:2], cache.UseCached) })
			time.Sleep(takes / 5)
			elsewhere := ref.Reference{Kind: ref.Vault, Mount: "secret", Path: "p", Key: "k"}
			all.Go(func() {
				got := f.Resolve(t.Context(), []ref.Reference{refs[0], refs[2], elsewhere}, cache.UseCached)
				require.NoError(t, got[0].Err)
				require.NoError(t, got[1].Err)
				require.ErrorIs(t, got[2].Err, fault.Unsupported)
				require.Equal(t, takes/5+takes, time.Since(start))
			})
			all.Wait()
			require.Equal(t, [][]string{{"secret-0", "secret-1"}, {"secret-2"}}, q.calls)
		})
	})
	t.Run("a forced fetch is queued when the one before it has ended", func(t *testing.T) {
		q := &queuer{}
		queueing(t, q, 1, func(t *testing.T, f *fetch.Fetcher, refs []ref.Reference) {
			start := time.Now()
			var all sync.WaitGroup
			all.Go(func() { f.Resolve(t.Context(), refs, cache.UseCached) })
			time.Sleep(takes / 5)
			f.Resolve(t.Context(), refs, cache.ForceFetch)
			require.Equal(t, 2*takes, time.Since(start))
			all.Wait()
			require.Len(t, q.calls, 2)
		})
	})
}

func TestQueueRetries(t *testing.T) {
	t.Run("each target is retried by itself", func(t *testing.T) {
		q := &queuer{answer: func(call int, secret string) error {
			switch {
			case secret == "secret-7" && call < 4:
				return fault.New(fault.Unavailable, "internal error")
			case secret == "secret-8":
				return fault.New(fault.NotFound, "no")
			}
			return nil
		}}
		queueing(t, q, 20, func(t *testing.T, f *fetch.Fetcher, refs []ref.Reference) {
			start := time.Now()
			var all sync.WaitGroup
			all.Go(func() {
				got := f.Resolve(t.Context(), refs, cache.UseCached)
				require.NoError(t, got[7].Err)
				require.ErrorIs(t, got[8].Err, fault.NotFound)
				require.Greater(t, time.Since(start), 200*time.Millisecond)
			})
			time.Sleep(takes / 5)
			f.Resolve(t.Context(), refs[:7], cache.UseCached)
			require.Equal(t, takes, time.Since(start), "the others have their results")
			all.Wait()
			require.Equal(t, 1, q.count("secret-6"))
			require.Equal(t, 1, q.count("secret-8"))
			require.Equal(t, 5, q.count("secret-7"))
		})
	})
	t.Run("RetryAfter of one target does not delay another", func(t *testing.T) {
		q := &queuer{answer: func(call int, secret string) error {
			if call > 0 {
				return nil
			}
			f := fault.New(fault.Unavailable, "throttled")
			if secret == "secret-3" {
				f.RetryAfter = 4 * time.Second
			}
			return f
		}}
		queueing(t, q, 5, func(t *testing.T, f *fetch.Fetcher, refs []ref.Reference) {
			start := time.Now()
			var all sync.WaitGroup
			all.Go(func() {
				f.Resolve(t.Context(), refs, cache.UseCached)
				require.GreaterOrEqual(t, time.Since(start), 4*time.Second)
			})
			time.Sleep(takes / 5)
			f.Resolve(t.Context(), refs[:3], cache.UseCached)
			require.Less(t, time.Since(start), 200*time.Millisecond)
			all.Wait()
		})
	})
	t.Run("end with the Timeout", func(t *testing.T) {
		q := &queuer{answer: func(int, string) error { return fault.New(fault.Unavailable, "down") }}
		queueing(t, q, 20, func(t *testing.T, f *fetch.Fetcher, refs []ref.Reference) {
			start := time.Now()
			for _, got := range f.Resolve(t.Context(), refs, cache.UseCached) {
				require.ErrorContains(t, got.Err, "down")
			}
			require.LessOrEqual(t, time.Since(start), 30*time.Second)
			require.Less(t, q.count("secret-0"), 25)
		})
	})
	t.Run("a caller that leaves does not cancel the others", func(t *testing.T) {
		q := &queuer{}
		queueing(t, q, 2, func(t *testing.T, f *fetch.Fetcher, refs []ref.Reference) {
			ctx, cancel := context.WithTimeout(t.Context(), takes/2)
			defer cancel()
			var all sync.WaitGroup
			all.Go(func() { require.Error(t, f.Resolve(ctx, refs, cache.UseCached)[0].Err) })
			synctest.Wait()
			require.NoError(t, f.Resolve(t.Context(), refs[1:], cache.UseCached)[0].Err)
			all.Wait()
			require.Len(t, q.calls, 1)
		})
	})
}
