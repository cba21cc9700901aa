package cache

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Persister stores values across restarts. Its methods are called from several
// goroutines, but Save and Remove one at a time. It logs its own errors.
type Persister[K comparable, V any] interface {
	// Load returns a stored value and when it was fetched.
	Load(ctx context.Context, key K) (V, time.Time, bool)
	Save(ctx context.Context, key K, value V, fetched time.Time)
	// Remove reports whether the value no longer exists.
	Remove(ctx context.Context, key K) bool
}

const (
	loadTimeout  = time.Second      // of one Load
	writeTimeout = 10 * time.Second // of one Save or Remove
	closeTimeout = 5 * time.Second  // of all that are left on Close
)

// outbox writes values to the Persister in the background, one after the other:
// of each key the latest.
type outbox[K comparable, V any] struct {
	persister Persister[K, V]
	log       *slog.Logger
	ctx       context.Context // ends closeTimeout after Close
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	mu         sync.Mutex
	queued     map[K]write[V]
	sending    bool
	inFlight   map[K]write[V] // the one that is being written
	tombstones map[K]struct{} // removed keys that the Persister may still have
}

// write is a value to save, or the removal of one.
type write[V any] struct {
	remove  bool
	value   V
	fetched time.Time
}

func newOutbox[K comparable, V any](p Persister[K, V], log *slog.Logger) *outbox[K, V] {
	o := &outbox[K, V]{persister: p, log: log,
		queued: map[K]write[V]{}, inFlight: map[K]write[V]{}, tombstones: map[K]struct{}{}}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	return o
}

// load returns the latest value of key, also if it has not been written yet.
func (o *outbox[K, V]) load(ctx context.Context, key K) (value V, fetched time.Time, ok bool) {
	o.mu.Lock()
	w, pending := o.queued[key]
	if !pending {
		w, pending = o.inFlight[key]
	}
	_, removed := o.tombstones[key]
	o.mu.Unlock()
	switch {
	case pending:
		return w.value, w.fetched, !w.remove
	case removed:
		o.put(key, write[V]{remove: true}) // the last removal failed
		return value, fetched, false
	}
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	return o.persister.Load(ctx, key)
}

func (o *outbox[K, V]) put(key K, w write[V]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queued[key] = w
	if w.remove {
		o.tombstones[key] = struct{}{}
	}
	if !o.sending {
		o.sending = true
		o.wg.Go(o.send)
	}
}

func (o *outbox[K, V]) send() {
	for {
		key, w, ok := o.take()
		if !ok {
			return
		}
		ctx, cancel := context.WithTimeout(o.ctx, writeTimeout)
		done := true
		if w.remove {
			done = o.persister.Remove(ctx, key)
		} else {
			o.persister.Save(ctx, key, w.value, w.fetched)
		}
		cancel()
		o.finish(key, done)
	}
}

// take returns the next write.
func (o *outbox[K, V]) take() (key K, w write[V], ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if left := len(o.queued); left > 0 && o.ctx.Err() != nil {
		o.log.Warn("there was no time to store the last known secrets", "left", left)
		clear(o.queued)
	}
	for key, w = range o.queued {
		delete(o.queued, key)
		o.inFlight[key] = w
		return key, w, true
	}
	o.sending = false
	return key, w, false
}

func (o *outbox[K, V]) finish(key K, done bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.inFlight, key)
	if _, more := o.queued[key]; done && !more {
		delete(o.tombstones, key)
	}
}

// close waits until all is written, up to closeTimeout.
func (o *outbox[K, V]) close() {
	timer := time.AfterFunc(closeTimeout, o.cancel)
	o.wg.Wait()
	timer.Stop()
	o.cancel()
}
