package cache_test

import (
	"context"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/cache"
)

// memory is a Persister in memory.
type memory struct {
	mu    sync.Mutex
	value int
	at    time.Time
	saves int

	takes  time.Duration
	broken bool
}

func (k *memory) Load(ctx context.Context, _ string) (int, time.Time, bool) {
	select {
	case <-time.After(k.takes):
	case <-ctx.Done():
		return 0, time.Time{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.value, k.at, k.value != 0
}

func (k *memory) Save(ctx context.Context, _ string, value int, fetched time.Time) {
	select {
	case <-time.After(k.takes):
	case <-ctx.Done():
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.value, k.at = value, fetched
	k.saves++
}

func (k *memory) Remove(ctx context.Context, _ string) bool {
	select {
	case <-time.After(k.takes):
	case <-ctx.Done():
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken {
		return false
	}
	k.value = 0
	return true
}
