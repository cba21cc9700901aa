package fetch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/batch"
	"github.com/seed74218947/secretref/internal/fetch/retry"
	"github.com/seed74218947/secretref/internal/ref"
)

const (
	// perBatch is how many groups one call may bring.
	perBatch = 20

	// quiet is how long a call that is not full waits for groups of other callers
	// to come along, after each that did.
	quiet = time.Millisecond

	// linger is how long a call waits for the others of one caller at most. They
	// come within microseconds, unless the machine is busy.
	linger = 50 * time.Millisecond
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

	mu       sync.Mutex
	open     map[lane]*batch.Batcher[ref.Target, tried]
	watching map[ref.Target]*watcher
}

// watcher is told of the failed attempts of a call to get its group.
type watcher struct{ failed retry.Failed }

// get brings a group. Where a call brought others and not this one, it is tried
// again with another call, so that they need not wait for it.
func (b *batches) get(ctx context.Context, g ref.Target, once bool, failed retry.Failed) (got tried, err error) {
	in, made, start := b.lane(lane{g.Region, g.Endpoint, once}), 0, time.Now()
	_, _ = attempts(ctx, once, func(ctx context.Context) error {
		before := made
		forget := b.watch(g, func(n int, err error, pause time.Duration) { failed(before+n, err, pause) })
		defer forget()
		got, err = in.Do(ctx, g)
		if made += got.attempts; got.spent {
			return nil
		}
		return err
	}, func(_ int, err error, pause time.Duration) { failed(max(1, made), err, pause) })
	got.attempts = made
	if err != nil && made > 1 && fault.KindIs(err, fault.Unavailable) {
		err = fault.WithEffort(err, made, time.Since(start))
	}
	return got, err
}

// watch has failed called for each failed attempt of a call that is tried again
// as a whole, until forget is called.
func (b *batches) watch(g ref.Target, failed retry.Failed) (forget func()) {
	w := &watcher{failed}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watching[g] = w
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.watching[g] == w {
			delete(b.watching, g)
		}
	}
}

func (b *batches) watcher(g ref.Target) *watcher {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.watching[g]
}

func (b *batches) lane(l lane) *batch.Batcher[ref.Target, tried] {
	b.mu.Lock()
	defer b.mu.Unlock()
	open := b.open[l]
	if open == nil {
		open = batch.New(perBatch, quiet, linger, b.log, func(ctx context.Context, groups []ref.Target) []batch.Result[tried] {
			return b.call(ctx, groups, l.once)
		})
		b.open[l] = open
	}
	return open
}

// call is all attempts to get some groups as long as none comes: were each to
// be tried again by itself, a backend that throttles would get twenty calls for
// one.
func (b *batches) call(ctx context.Context, groups []ref.Target, once bool) []batch.Result[tried] {
	var results []batch.Result[tried]
	attempt, cutOff := 0, false
	_, _ = attempts(ctx, once, func(ctx context.Context) error {
		attempt++
		got := b.backend.FetchBatch(ctx, groups)
		if results != nil && ctx.Err() != nil {
			cutOff = true
			return ctx.Err() // the attempt before knows more than one that was cut off
		}
		results = make([]batch.Result[tried], len(got))
		var longest error // of those who ask to be left alone, for the longest
		passing := 0
		for i, g := range got {
			results[i] = batch.Result[tried]{Value: tried{payload: g.Value, attempts: attempt}, Err: g.Err}
			if wait, transient := fault.Transient(g.Err); transient {
				passing++
				if before, _ := fault.Transient(longest); longest == nil || wait > before {
					longest = g.Err
				}
			}
		}
		if passing < len(got) {
			return nil
		}
		for i := range results {
			results[i].Value.spent = true
		}
		return longest
	}, func(n int, _ error, pause time.Duration) {
		for i, g := range groups {
			if w := b.watcher(g); w != nil && !cutOff {
				w.failed(n, results[i].Err, pause)
			}
		}
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
