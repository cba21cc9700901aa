package cache

import (
	"context"
	"sync"
	"time"
)

// Known keeps values beyond the process. Its methods are called from several
// goroutines, but Save and Remove one at a time; what goes wrong is theirs to
// tell.
type Known[K comparable, V any] interface {
	// Load returns a value and when it was fetched, if there is one.
	Load(ctx context.Context, key K) (V, time.Time, bool)
	Save(ctx context.Context, key K, value V, fetched time.Time)
	Remove(ctx context.Context, key K)
}

// outbox hands to Known what it is to keep, so that nobody waits for it: of
// each key the latest, one after the other.
type outbox[K comparable, V any] struct {
	known Known[K, V]
	wg    sync.WaitGroup

	mu      sync.Mutex
	notes   map[K]note[V]
	sending bool
}

type note[V any] struct {
	remove  bool
	value   V
	fetched time.Time
}

// saving is how long Known may take for one value.
const saving = 10 * time.Second

func (o *outbox[K, V]) put(ctx context.Context, key K, n note[V]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.notes == nil {
		o.notes = map[K]note[V]{}
	}
	o.notes[key] = n
	if !o.sending {
		o.sending = true
		ctx = context.WithoutCancel(ctx)
		o.wg.Go(func() { o.send(ctx) })
	}
}

func (o *outbox[K, V]) send(ctx context.Context) {
	for {
		key, n, ok := o.take()
		if !ok {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, saving)
		if n.remove {
			o.known.Remove(ctx, key)
		} else {
			o.known.Save(ctx, key, n.value, n.fetched)
		}
		cancel()
	}
}

func (o *outbox[K, V]) take() (K, note[V], bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, n := range o.notes {
		delete(o.notes, key)
		return key, n, true
	}
	o.sending = false
	var none K
	return none, note[V]{}, false
}
