package pipeline

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/batch"
	"github.com/seed74218947/secretref/internal/coord"
	"github.com/seed74218947/secretref/internal/fault"
)

const (
	// perBatch is how many groups one call may bring.
	perBatch = 20

	// linger is how long a call that is not full waits for groups to come along:
	// those of one ResolveAll come within microseconds, unless the machine is
	// busy.
	linger = 3 * time.Millisecond
)

// lane is what the groups of one call have in common.
type lane struct {
	region, endpoint string
	once             bool
}

// batches gathers groups into calls.
type batches struct {
	backend BatchBackend
	log     *slog.Logger

	mu   sync.Mutex
	open map[lane]*batch.Batcher[coord.Group, tried]
}

func (b *batches) get(ctx context.Context, g coord.Group, once bool) (tried, error) {
	return b.lane(lane{g.Region, g.Endpoint, once}).Do(ctx, g)
}

func (b *batches) lane(l lane) *batch.Batcher[coord.Group, tried] {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := b.open[l]
	if open == nil {
		open = batch.New(perBatch, linger, b.log, func(ctx context.Context, groups []coord.Group) []batch.Result[tried] {
			return b.call(ctx, groups, l.once)
		})
		b.open[l] = open
	}
	return open
}

// call is all attempts to get some groups. The next attempt is for all that
// are still missing: were each to be tried again by itself, a backend that
// throttles would get twenty calls for one.
func (b *batches) call(ctx context.Context, groups []coord.Group, once bool) []batch.Result[tried] {
	results := make([]batch.Result[tried], len(groups))
	missing := make([]int, len(groups))
	for i := range groups {
		missing[i] = i
	}
	attempt := 0
	_, _ = attempts(ctx, once, func(ctx context.Context) (err error) {
		attempt++
		asked := make([]coord.Group, len(missing))
		for n, i := range missing {
			asked[n] = groups[i]
		}
		var again []int
		longest := time.Duration(-1)
		for n, got := range b.backend.FetchBatch(ctx, asked) {
			i := missing[n]
			if results[i].Err != nil && ctx.Err() != nil {
				continue // the attempt before knows more than one that was cut off
			}
			results[i] = batch.Result[tried]{Value: tried{got.Value, attempt}, Err: got.Err}
			if wait, transient := fault.Transient(got.Err); transient {
				again = append(again, i)
				if wait > longest {
					longest, err = wait, got.Err // whose wish to be left alone is the strongest
				}
			}
		}
		missing = again
		return err
	})
	return results
}

func (b *batches) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, open := range b.open {
		open.Close()
	}
}
