package cache

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Persister keeps values beyond the process. Its methods are called from several
// goroutines, but Save and Remove one at a time; what goes wrong is theirs to
// tell.
type Persister[K comparable, V any] interface {
	// Load returns a value and when it was fetched, if there is one.
	Load(ctx context.Context, key K) (V, time.Time, bool)
	Save(ctx context.Context, key K, value V, fetched time.Time)
	// Remove reports whether the value is gone.
	Remove(ctx context.Context, key K) bool
}

const (
	// saving is how long Known may take for one value.
	saving = 10 * time.Second

	// closing is how long it may take for what is left at the end.
	closing = 5 * time.Second
)

// outbox hands to Known what it is to keep, so that nobody waits for it: of
// each key the latest, one after the other.
type outbox[K comparable, V any] struct {
	known  Persister[K, V]
	log    *slog.Logger
	ctx    context.Context // ends when there is no more time
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	notes   map[K]note[V]
	sending bool
	under   map[K]note[V]  // the one that is being handed over
	gone    map[K]struct{} // what must not be used any more, although Known may have it
}

type note[V any] struct {
	remove  bool
	value   V
	fetched time.Time
}

func newOutbox[K comparable, V any](known Persister[K, V], log *slog.Logger) *outbox[K, V] {
	o := &outbox[K, V]{known: known, log: log, notes: map[K]note[V]{}, under: map[K]note[V]{}, gone: map[K]struct{}{}}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	return o
}

// load returns what is known of a key, also what Known has not been told yet.
func (o *outbox[K, V]) load(ctx context.Context, key K) (value V, fetched time.Time, ok bool) {
	o.mu.Lock()
	n, told := o.notes[key]
	if !told {
		n, told = o.under[key]
	}
	_, gone := o.gone[key]
	o.mu.Unlock()
	switch {
	case told:
		return n.value, n.fetched, !n.remove
	case gone:
		o.put(key, note[V]{remove: true}) // it did not work the last time
		return value, fetched, false
	}
	ctx, cancel := context.WithTimeout(ctx, loading)
	defer cancel()
	return o.known.Load(ctx, key)
}

func (o *outbox[K, V]) put(key K, n note[V]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.notes[key] = n
	if n.remove {
		o.gone[key] = struct{}{}
	}
	if !o.sending {
		o.sending = true
		o.wg.Go(o.send)
	}
}

func (o *outbox[K, V]) send() {
	for {
		key, n, ok := o.take()
		if !ok {
			return
		}
		ctx, cancel := context.WithTimeout(o.ctx, saving)
		done := true
		if n.remove {
			done = o.known.Remove(ctx, key)
		} else {
			o.known.Save(ctx, key, n.value, n.fetched)
		}
		cancel()
		o.told(key, done)
	}
}

// take returns what is to be handed over next.
func (o *outbox[K, V]) take() (key K, n note[V], ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if left := len(o.notes); left > 0 && o.ctx.Err() != nil {
		o.log.Warn("there was no time to store the last known secrets", "left", left)
		clear(o.notes)
	}
	for key, n = range o.notes {
		delete(o.notes, key)
		o.under[key] = n
		return key, n, true
	}
	o.sending = false
	return key, n, false
}

func (o *outbox[K, V]) told(key K, done bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.under, key)
	if _, more := o.notes[key]; done && !more {
		delete(o.gone, key)
	}
}

// close waits for what is left to be handed over, as long as that does not take
// too long.
func (o *outbox[K, V]) close() {
	timer := time.AfterFunc(closing, o.cancel)
	o.wg.Wait()
	timer.Stop()
	o.cancel()
}
