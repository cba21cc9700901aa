package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

// contender is a tool that resolves references.
type contender struct {
	name string
	open func(w *world) (client, error)
}

// client is created once when a program starts. If possible, this does no I/O.
type client interface {
	get(ctx context.Context, r reference) (string, error)
	close()
}

// batchClient is a client that resolves all references with one call.
type batchClient interface {
	all(ctx context.Context, refs []reference) ([]string, error)
}

// mode is a way to resolve several references.
type mode struct {
	name string
	run  func(ctx context.Context, c client, refs []reference) ([]string, error)
}

var (
	sequential = mode{"sequential",
		func(ctx context.Context, c client, refs []reference) ([]string, error) {
			got := make([]string, len(refs))
			for i, r := range refs {
				var err error
				if got[i], err = c.get(ctx, r); err != nil {
					return nil, fmt.Errorf("%s: %w", r.name(), err)
				}
			}
			return got, nil
		}}

	goroutines = mode{"goroutines",
		func(ctx context.Context, c client, refs []reference) ([]string, error) {
			if c, ok := c.(batchClient); ok {
				return c.all(ctx, refs)
			}
			const workers = 100
			got := make([]string, len(refs))
			errs := make([]error, workers)
			var group sync.WaitGroup
			for worker := range min(workers, len(refs)) {
				group.Go(func() {
					for i := worker; i < len(refs) && errs[worker] == nil; i += workers {
						got[i], errs[worker] = c.get(ctx, refs[i])
					}
				})
			}
			group.Wait()
			for _, err := range errs {
				if err != nil {
					return nil, err
				}
			}
			return got, nil
		}}
)

// cold measures a contender with a new client in each iteration and reports the calls that the
// servers received.
func (w *world) cold(b *testing.B, tool contender, m mode, refs []reference) {
	b.Run(tool.name, func(b *testing.B) {
		b.ReportAllocs()
		calls := 0
		for b.Loop() {
			b.StopTimer()
			w.reset()
			b.StartTimer()

			c, err := tool.open(w)
			if err != nil {
				b.Fatal(err)
			}
			got, err := m.run(b.Context(), c, refs)
			if err != nil {
				b.Fatal(err)
			}

			b.StopTimer()
			check(b, refs, got)
			calls += w.calls()
			c.close()
			w.closeConnections()
			b.StartTimer()
		}
		b.ReportMetric(float64(calls)/float64(b.N), "calls/op")
	})
}

// check fails the benchmark unless every answer is correct.
func check(b *testing.B, refs []reference, got []string) {
	if len(got) != len(refs) {
		b.Fatalf("%d answers to %d references", len(got), len(refs))
	}
	for i, r := range refs {
		if got[i] != r.want() {
			b.Fatalf("%s, %s: got %q, want %q", r.name(), r.key, got[i], r.want())
		}
	}
}
