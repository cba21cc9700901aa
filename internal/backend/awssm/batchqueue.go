package awssm

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

const (
	// MaxBatch limits the secrets of one BatchGetSecretValue call.
	MaxBatch = 20

	// MaxBatches limits the concurrent calls to one endpoint, and maxSingles those
	// while batches are paused.
	MaxBatches = 8
	maxSingles = 50

	// refusalPause is how long batches are not tried after one was refused, so that
	// a permission granted in the meantime is noticed.
	refusalPause = 5 * time.Minute

	// throttlePause is how long batches are not tried after AWS throttled one.
	// Single calls have a limit of their own, a hundred times as high.
	throttlePause = 5 * time.Second

	// explainTimeout is how long a target whose deadline has passed waits for the
	// error of its call, which is more specific.
	explainTimeout = 100 * time.Millisecond
)

// Batcher is a Backend that fetches several secrets with one call. It has a queue
// for each region and endpoint. As soon as a call may go out, it takes what is
// waiting, up to MaxBatch targets. A single target needs no permission but that of
// [Backend.Fetch].
type Batcher struct {
	*Backend
	calls sync.WaitGroup

	mu     sync.Mutex
	queues map[clientKey]*queue
}

// NewBatcher returns a Batcher over b.
func NewBatcher(b *Backend) *Batcher { return &Batcher{Backend: b, queues: map[clientKey]*queue{}} }

// Close waits for the calls and closes idle connections. The fetches must have
// ended before.
func (b *Batcher) Close() {
	b.calls.Wait()
	b.Backend.Close()
}

// Fetch implements backend.Backend.
func (b *Batcher) Fetch(ctx context.Context, target ref.Target) (backend.Document, error) {
	return b.Queue(ctx, []ref.Target{target})[0].Wait(ctx)
}

// Queue implements backend.Queuer.
func (b *Batcher) Queue(ctx context.Context, targets []ref.Target) []backend.Pending {
	pending := make([]backend.Pending, len(targets))
	added := map[*queue][]*queued{}
	for i, target := range targets {
		q := b.queue(clientKey{target.Region, target.Endpoint})
		item := &queued{queue: q, target: target, values: context.WithoutCancel(ctx),
			outcome: make(chan outcome, 1)}
		pending[i] = item
		added[q] = append(added[q], item)
	}
	for q, items := range added {
		q.add(items)
	}
	return pending
}

func (b *Batcher) queue(at clientKey) *queue {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[at]
	if q == nil {
		q = &queue{batcher: b, at: at}
		b.queues[at] = q
	}
	return q
}

// queue has the targets of one region and endpoint that wait for a call.
type queue struct {
	batcher *Batcher
	at      clientKey

	mu          sync.Mutex
	waiting     []*queued
	running     int       // calls
	pausedUntil time.Time // no batches before
	refused     *session  // whose batches are paused
}

// queued is a target in a queue. It implements backend.Pending.
type queued struct {
	queue  *queue
	target ref.Target
	values context.Context // of the caller, without its end

	outcome chan outcome // gets one

	// Guarded by queue.mu.
	deadline time.Time  // of its Wait; zero if unknown
	single   bool       // it must not be part of a batch
	call     *batchCall // that it is part of
	left     bool
}

// outcome is the result of a batch for one target, or the turn to make a single
// call.
type outcome struct {
	batchResult
	turn bool
}

// batchCall is a batch that is under way.
type batchCall struct {
	ctx     *callContext
	members int // that have not left
}

func (q *queue) add(items []*queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, items...)
}

// flush is dispatch after all goroutines that can run had the chance to add their
// targets.
func (q *queue) flush(p *queued, deadline time.Time) {
	runtime.Gosched()
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.deadline = deadline; p.call != nil {
		p.call.ctx.extend(deadline)
	}
	q.dispatch()
}

// dispatch lets calls go out as long as there are targets and free places; the
// caller holds the lock.
func (q *queue) dispatch() {
	for len(q.waiting) > 0 {
		size, limit := q.limits()
		if q.running >= limit {
			return
		}
		q.running++
		if items := q.take(size); len(items) == 1 {
			items[0].outcome <- outcome{turn: true} // the call is made by Wait
		} else {
			q.start(items)
		}
	}
}

// limits returns the maximum size of a call and the maximum number of concurrent calls;
// the caller holds the lock.
func (q *queue) limits() (size, calls int) {
	if q.paused() {
		return 1, maxSingles
	}
	return MaxBatch, MaxBatches
}

// take removes the targets of the next call; the caller holds the lock.
func (q *queue) take(size int) (items []*queued) {
	if first := q.waiting[0]; first.single {
		size = 1
	}
	for i := 0; i < len(q.waiting) && len(items) < size; {
		if item := q.waiting[i]; len(items) > 0 && item.single {
			i++
		} else {
			items = append(items, item)
			q.waiting = slices.Delete(q.waiting, i, i+1)
		}
	}
	return items
}

// paused reports whether batches are paused for the present session; the caller
// holds the lock.
func (q *queue) paused() bool {
	return q.refused != nil && !q.refused.ended.Load() && time.Now().Before(q.pausedUntil)
}

// pause pauses batches. It reports false if they were paused before.
func (q *queue) pause(s *session, d time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := q.paused()
	q.refused, q.pausedUntil = s, time.Now().Add(d)
	return !before
}

// start makes a batch call; the caller holds the lock.
func (q *queue) start(items []*queued) {
	call := &batchCall{ctx: newCallContext(items[0].values), members: len(items)}
	targets := make([]ref.Target, len(items))
	for i, item := range items {
		item.call, targets[i] = call, item.target
		call.ctx.extend(item.deadline)
	}
	q.batcher.calls.Go(func() {
		lost := fault.New(fault.Unavailable, "the fetch ended without a result").Permanently()
		results := slices.Repeat([]batchResult{{err: lost}}, len(items)) // if the goroutine exits
		defer func() {
			call.ctx.end(context.Canceled)
			q.finish(items, results)
		}()
		results = q.batcher.guardedBatch(call.ctx, q, targets)
	})
}

// guardedBatch turns a panic, for example in AllowEndpoint, into the error of each
// target.
func (b *Batcher) guardedBatch(
	ctx context.Context, q *queue, targets []ref.Target,
) (results []batchResult) {
	defer func() {
		if p := recover(); p != nil {
			results = slices.Repeat([]batchResult{{err: fault.FromPanic(b.log, p)}}, len(targets))
		}
	}()
	return b.fetchBatch(ctx, q, targets)
}

// finish hands out the results of a batch and puts the targets that are to be
// fetched singly back to the front of the queue.
func (q *queue) finish(items []*queued, results []batchResult) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	var again []*queued
	for i, item := range items {
		item.call = nil
		switch {
		case !results[i].open:
			item.outcome <- outcome{batchResult: results[i]}
		case !item.left:
			item.single = true
			again = append(again, item)
		}
	}
	q.waiting = append(again, q.waiting...)
	q.dispatch()
}

// release ends a single call.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	q.dispatch()
}

// Wait implements backend.Pending.
func (p *queued) Wait(ctx context.Context) (backend.Document, error) {
	if ctx.Err() == nil {
		deadline, _ := ctx.Deadline()
		p.queue.flush(p, deadline)
	}
	select {
	case o := <-p.outcome:
		if o.turn {
			defer p.queue.release()
			return p.queue.batcher.Backend.Fetch(ctx, p.target)
		}
		return o.document, o.err
	case <-ctx.Done():
	}
	if called, limit := p.leave(ctx.Err()); !called {
		return backend.Document{}, fault.New(fault.Unavailable,
			"canceled while waiting for one of %d concurrent calls", limit).WithCause(ctx.Err())
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		timer := time.NewTimer(explainTimeout)
		defer timer.Stop()
		select {
		case o := <-p.outcome:
			return o.document, o.err
		case <-timer.C:
		}
	}
	return backend.Document{}, httpguard.Explain(ctx.Err(), "AWS Secrets Manager")
}

// leave gives the place in the queue up and reports whether a batch with the target
// is under way, and the limit of concurrent calls. After the last target has left, the
// batch is canceled.
func (p *queued) leave(cause error) (called bool, limit int) {
	q := p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	p.left = true
	_, limit = q.limits()
	if call := p.call; call != nil {
		if call.members--; call.members == 0 {
			call.ctx.end(cause)
		}
		return true, limit
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(other *queued) bool { return other == p })
	select {
	case o := <-p.outcome: // it came at the same time
		if !o.turn {
			p.outcome <- o
			return true, limit
		}
		q.running--
		q.dispatch()
	default:
	}
	return false, limit
}

// callContext is the context of a batch. It ends with the error of the last context
// that left the batch: [context.WithCancel] would turn every deadline into a
// cancellation.
type callContext struct {
	context.Context // for its values
	done            chan struct{}

	mu       sync.Mutex
	err      error
	deadline time.Time // the latest one of those that wait
}

// Deadline implements context.Context. A request reads it to leave time for
// another connection.
func (c *callContext) Deadline() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline, !c.deadline.IsZero()
}

func (c *callContext) extend(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if deadline.After(c.deadline) {
		c.deadline = deadline
	}
}

func newCallContext(values context.Context) *callContext {
	return &callContext{Context: values, done: make(chan struct{})}
}

func (c *callContext) Done() <-chan struct{} { return c.done }

func (c *callContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *callContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.done)
	}
}
