package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

// contender is one way to resolve references.
type contender struct {
	name string
	open func(w *world) (client, error)
}

// client is what a program makes once when it starts. Opening does no I/O yet
// where it need not.
type client interface {
	get(ctx context.Context, r reference) (string, error)
	close()
}

// together is a client that can be given all references at once.
type together interface {
	all(ctx context.Context, refs []reference) ([]string, error)
}

// mode is in which way a program asks for several references.
type mode struct {
	name string
	run  func(ctx context.Context, c client, refs []reference) ([]string, error)
}

var (
	sequential = mode{"sequential", func(ctx context.Context, c client, refs []reference) ([]string, error) {
		got := make([]string, len(refs))
		for i, r := range refs {
			var err error
			if got[i], err = c.get(ctx, r); err != nil {
				return nil, fmt.Errorf("%s: %w", r.name(), err)
			}
		}
		return got, nil
	}}

	goroutines = mode{"goroutines", func(ctx context.Context, c client, refs []reference) ([]string, error) {
		if c, ok := c.(together); ok {
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

// cold measures a contender that starts anew in each iteration, and reports the
// calls that the servers have seen.
func (w *world) cold(b *testing.B, who contender, m mode, refs []reference) {
	b.Run(who.name, func(b *testing.B) {
		b.ReportAllocs()
		calls := 0
		for b.Loop() {
			b.StopTimer()
			w.reset()
			b.StartTimer()

			c, err := who.open(w)
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
			w.hangUp()
			b.StartTimer()
		}
		b.ReportMetric(float64(calls)/float64(b.N), "calls/op")
	})
}

// check fails the benchmark unless every answer is right.
func check(b *testing.B, refs []reference, got []string) {
	if len(got) != len(refs) {
		b.Fatalf("%d answers to %d references", len(got), len(refs))
	}
	for i, r := range refs {
		if got[i] != r.want() {
			b.Fatalf("%s, %s: the answer is %q and not %q", r.name(), r.key, got[i], r.want())
		}
	}
}
