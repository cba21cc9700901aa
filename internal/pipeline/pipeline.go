// Package pipeline takes references to their secrets: it plans what has to be
// fetched, fetches each group once, side by side, and extracts the values.
package pipeline

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/seed74218947/secretref/internal/coord"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/flight"
	"github.com/seed74218947/secretref/internal/retry"
)

// perBackend is how many fetches of one backend run at a time.
const perBackend = 50

// Payload is what one fetch brings.
type Payload struct {
	// Text is the secret: for AWS its whole text, for Vault the JSON object of
	// its keys.
	Text string

	// Values, unless nil, has the values by pointer or key instead, as a fake is
	// told them.
	Values map[string]string
}

// Backend makes one attempt to fetch a group.
type Backend interface {
	Fetch(ctx context.Context, g coord.Group) (Payload, error)
}

// Event tells about one finished fetch.
type Event struct {
	Group    coord.Group
	Start    time.Time
	Duration time.Duration
	Attempts int
	Err      error
}

// Pipeline is safe for concurrent use.
type Pipeline struct {
	backends map[coord.Kind]Backend
	limits   map[coord.Kind]*semaphore.Weighted
	flights  *flight.Group[coord.Group, Payload]
	timeout  time.Duration
	log      *slog.Logger
	onFetch  func(Event)
}

// New returns a Pipeline over the backends. A fetch, with all its attempts,
// ends after timeout; the wait for its turn does not count. onFetch may be nil.
func New(backends map[coord.Kind]Backend, timeout time.Duration, log *slog.Logger, onFetch func(Event)) *Pipeline {
	p := &Pipeline{
		backends: backends,
		limits:   make(map[coord.Kind]*semaphore.Weighted, len(backends)),
		flights:  flight.New[coord.Group, Payload](0, log),
		timeout:  timeout,
		log:      log,
		onFetch:  onFetch,
	}
	for kind := range backends {
		p.limits[kind] = semaphore.NewWeighted(perBackend)
	}
	return p
}

// Close ends all fetches and returns when they have ended.
func (p *Pipeline) Close() { p.flights.Close() }

// Result is the outcome for one reference.
type Result struct {
	Text string
	Err  error
}

// Resolve returns a result for each reference, in order. References into one
// group see one version of it.
func (p *Pipeline) Resolve(ctx context.Context, refs []coord.Reference) []Result {
	results := make([]Result, len(refs))
	groups, members := plan(refs)
	fetched := p.fetch(ctx, groups)
	for g, got := range fetched {
		for _, i := range members[g] {
			if got.err != nil {
				results[i].Err = got.err
				continue
			}
			results[i].Text, results[i].Err = p.extract(got.payload, refs[i])
		}
	}
	return results
}

// plan groups the references by what has to be fetched, in order of first use.
func plan(refs []coord.Reference) (groups []coord.Group, members [][]int) {
	at := make(map[coord.Group]int, len(refs))
	for i, r := range refs {
		g := r.Group()
		n, known := at[g]
		if !known {
			n = len(groups)
			at[g] = n
			groups = append(groups, g)
			members = append(members, nil)
		}
		members[n] = append(members[n], i)
	}
	return groups, members
}

type fetched struct {
	payload Payload
	err     error
}

// fetch gets all groups side by side; callers who ask for the same group at
// the same time share its flight.
func (p *Pipeline) fetch(ctx context.Context, groups []coord.Group) []fetched {
	out := make([]fetched, len(groups))
	waiters := make([]flight.Waiter[coord.Group, Payload], len(groups))
	for i, g := range groups {
		waiters[i] = p.flights.Join(ctx, g, func(ctx context.Context, failed func(error)) (Payload, error) {
			return p.fly(ctx, g, failed)
		})
	}
	for i, w := range waiters {
		out[i].payload, out[i].err = w.Wait(ctx)
	}
	return out
}

// fly is one flight: all attempts to fetch one group.
func (p *Pipeline) fly(ctx context.Context, g coord.Group, failed func(error)) (payload Payload, err error) {
	backend := p.backends[g.Kind]
	if backend == nil {
		return Payload{}, fault.New(fault.Unsupported, "no %s store is configured", g.Kind)
	}
	limit := p.limits[g.Kind]
	if err := limit.Acquire(ctx, 1); err != nil {
		return Payload{}, fault.New(fault.Unavailable, "nobody waited for its turn among the %d fetches at a time", perBackend).Because(err)
	}
	defer limit.Release(1)
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()

	event := Event{Group: g, Start: time.Now()}
	event.Attempts, err = retry.Do(ctx, func(ctx context.Context) error {
		var err error
		if payload, err = backend.Fetch(ctx, g); err != nil {
			failed(err)
		}
		return err
	})
	event.Duration, event.Err = time.Since(event.Start), err
	p.report(ctx, event)
	return payload, err
}

func (p *Pipeline) report(ctx context.Context, e Event) {
	if p.log.Enabled(ctx, slog.LevelDebug) {
		attrs := []any{"backend", e.Group.Kind.String(), "reference", e.Group.Reference(), "duration", e.Duration, "attempts", e.Attempts}
		if e.Err != nil {
			attrs = append(attrs, "error", e.Err.Error())
		}
		p.log.DebugContext(ctx, "fetch", attrs...)
	}
	if p.onFetch != nil {
		p.onFetch(e)
	}
}
