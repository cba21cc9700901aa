package rotation_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A load is eight goroutines that each send one query after the other until end is called.
type load struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
	queries atomic.Int64

	mu       sync.Mutex
	failures []failure
}

type failure struct {
	begun, ended time.Time
	err          error
}

const workers = 8

func startLoad(t *testing.T, query func(context.Context) error) *load {
	t.Helper()
	l := &load{}
	running, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	for range workers {
		l.running.Go(func() {
			for running.Err() == nil {
				l.one(query)
			}
		})
	}
	t.Cleanup(l.end)
	l.wait(t)
	return l
}

// one sends one query. It completes even if the load ends meanwhile.
func (l *load) one(query func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	begun := time.Now()
	err := query(ctx)
	l.queries.Add(1)
	if err != nil {
		l.mu.Lock()
		l.failures = append(l.failures, failure{begun, time.Now(), err})
		l.mu.Unlock()
		time.Sleep(5 * time.Millisecond) // as a client would
	}
}

// wait returns after three more queries per worker.
func (l *load) wait(t *testing.T) {
	t.Helper()
	want := l.queries.Load() + 3*workers
	require.Eventually(t, func() bool { return l.queries.Load() >= want }, 2*time.Minute,
		time.Millisecond)
}

func (l *load) end() {
	l.cancel()
	l.running.Wait()
}

// since returns the queries that failed after start.
func (l *load) since(start time.Time) (some []failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.failures {
		if f.ended.After(start) {
			some = append(some, f)
		}
	}
	return some
}
