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

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/batch"
	"github.com/seed74218947/secretref/internal/fetch/cache"
	"github.com/seed74218947/secretref/internal/ref"
)

const takes = 5 * time.Millisecond

// store answers batches with the names of the secrets, unless told otherwise.
type store struct {
	mu     sync.Mutex
	calls  [][]string
	answer func(call int, secret string) error
}

func (s *store) FetchBatch(ctx context.Context, groups []ref.Target) []batch.Result[fetch.Document] {
	s.mu.Lock()
	call := len(s.calls)
	s.calls = append(s.calls, nil)
	results := make([]batch.Result[fetch.Document], len(groups))
	for i, g := range groups {
		s.calls[call] = append(s.calls[call], g.Secret)
		if s.answer != nil {
			results[i].Err = s.answer(call, g.Secret)
		}
		if results[i].Err == nil {
			results[i].Value.Text = "value of " + g.Secret
		}
	}
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	return results
}

func inBatches(t *testing.T, s *store, n int, test func(*testing.T, *fetch.Fetcher, []ref.Reference)) {
	synctest.Test(t, func(t *testing.T) {
		p := fetch.New(nil, fetch.Settings{Timeout: 30 * time.Second, TTL: -1, Batch: s, Log: slog.New(slog.DiscardHandler)})
		defer p.Close()
		refs := make([]ref.Reference, n)
		for i := range refs {
			refs[i] = ref.Reference{Kind: ref.AWS, Region: "eu-west-1", SecretID: fmt.Sprint("secret-", i)}
		}
		test(t, p, refs)
	})
}

func TestBatchesAreOfTwentyAndOfOneRegion(t *testing.T) {
	s := &store{}
	inBatches(t, s, 100, func(t *testing.T, p *fetch.Fetcher, refs []ref.Reference) {
		refs = append(refs, ref.Reference{Kind: ref.AWS, Region: "us-east-1", SecretID: "secret-0"})
		start := time.Now()
		for i, got := range p.Resolve(t.Context(), refs, cache.UseCached) {
			require.NoError(t, got.Err)
			require.Equal(t, "value of "+refs[i].SecretID, got.Text)
		}
		require.Equal(t, takes, time.Since(start), "who knows how many come waits for nobody else")
		require.Len(t, s.calls, 6)

		start = time.Now()
		p.ResolveAll(t.Context(), refs[:1], cache.UseCached)
		require.Equal(t, takes, time.Since(start))
		p.Resolve(t.Context(), refs[:1], cache.UseCached)
		require.Equal(t, 2*takes+time.Millisecond, time.Since(start), "others may come along")
	})
}

func TestThoseWhoComeAloneShareACall(t *testing.T) {
	s := &store{}
	inBatches(t, s, 21, func(t *testing.T, p *fetch.Fetcher, refs []ref.Reference) {
		start := time.Now()
		var all sync.WaitGroup
		for _, reference := range refs {
			all.Go(func() { require.NoError(t, p.Resolve(t.Context(), []ref.Reference{reference}, cache.UseCached)[0].Err) })
		}
		all.Wait()
		require.Less(t, time.Since(start), takes+3*time.Millisecond)
		require.Len(t, s.calls, 2)
	})
}

// One has to be fetched, one is on its way, one is for another store and one
// begins when what is on its way is there: nobody waits for more than those who
// may come.
func TestACallDoesNotWaitForWhatIsNotFetchedWithIt(t *testing.T) {
	s := &store{}
	inBatches(t, s, 3, func(t *testing.T, p *fetch.Fetcher, refs []ref.Reference) {
		start := time.Now()
		var all sync.WaitGroup
		all.Go(func() { p.Resolve(t.Context(), refs[:2], cache.UseCached) })
		time.Sleep(takes / 5)
		elsewhere := ref.Reference{Kind: ref.Vault, Mount: "secret", Path: "p", Key: "k"}
		all.Go(func() {
			got := p.Resolve(t.Context(), []ref.Reference{refs[0], refs[2], elsewhere}, cache.UseCached)
			require.NoError(t, got[0].Err)
			require.NoError(t, got[1].Err)
			require.ErrorIs(t, got[2].Err, fault.Unsupported)
			require.Equal(t, takes/5+takes, time.Since(start))
		})
		synctest.Wait()
		require.Len(t, s.calls, 2)
		all.Go(func() {
			p.Resolve(t.Context(), refs[:2], cache.ForceFetch)
			require.GreaterOrEqual(t, time.Since(start), 2*takes)
			require.Less(t, time.Since(start), 2*takes+3*time.Millisecond)
		})
		all.Wait()
		require.Len(t, s.calls, 3)
	})
}

func TestABatchIsTriedAgainAsOne(t *testing.T) {
	s := &store{answer: func(call int, _ string) error {
		if call < 3 {
			return fault.New(fault.Unavailable, "throttled")
		}
		return nil
	}}
	inBatches(t, s, 20, func(t *testing.T, p *fetch.Fetcher, refs []ref.Reference) {
		for _, got := range p.Resolve(t.Context(), refs, cache.UseCached) {
			require.NoError(t, got.Err)
		}
		require.Len(t, s.calls, 4)
	})
}

func TestOneSecretThatHasToBeTriedAgainHoldsNobodyUp(t *testing.T) {
	s := &store{answer: func(call int, secret string) error {
		switch {
		case secret == "secret-7" && call < 4:
			return fault.New(fault.Unavailable, "internal error")
		case secret == "secret-8":
			return fault.New(fault.NotFound, "no")
		}
		return nil
	}}
	inBatches(t, s, 20, func(t *testing.T, p *fetch.Fetcher, refs []ref.Reference) {
		start := time.Now()
		var all sync.WaitGroup
		for i, reference := range refs {
			all.Go(func() {
				got := p.Resolve(t.Context(), []ref.Reference{reference}, cache.UseCached)[0]
				switch i {
				case 7:
					require.NoError(t, got.Err)
					require.Greater(t, time.Since(start), 200*time.Millisecond)
				case 8:
					require.ErrorIs(t, got.Err, fault.NotFound)
				default:
					require.NoError(t, got.Err)
					require.Less(t, time.Since(start), 20*time.Millisecond)
				}
			})
		}
		all.Wait()
		require.Len(t, s.calls, 5)
	})
}

func TestTheWishToBeLeftAloneOfOneCountsForTheBatch(t *testing.T) {
	s := &store{answer: func(call int, secret string) error {
		if call > 0 {
			return nil
		}
		f := fault.New(fault.Unavailable, "throttled")
		if secret == "secret-3" {
			f.RetryAfter = 4 * time.Second
		}
		return f
	}}
	inBatches(t, s, 5, func(t *testing.T, p *fetch.Fetcher, refs []ref.Reference) {
		start := time.Now()
		p.Resolve(t.Context(), refs, cache.UseCached)
		require.GreaterOrEqual(t, time.Since(start), 4*time.Second)
		require.Len(t, s.calls, 2)
	})
}

func TestABatchEndsWhenItsTimeIsUp(t *testing.T) {
	s := &store{answer: func(int, string) error { return fault.New(fault.Unavailable, "down") }}
	inBatches(t, s, 20, func(t *testing.T, p *fetch.Fetcher, refs []ref.Reference) {
		start := time.Now()
		for _, got := range p.Resolve(t.Context(), refs, cache.UseCached) {
			require.ErrorContains(t, got.Err, "down")
		}
		require.LessOrEqual(t, time.Since(start), 31*time.Second)
		require.Less(t, len(s.calls), 40)
	})
}
