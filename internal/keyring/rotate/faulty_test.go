package rotate_test

import (
	"context"

	"golang.org/x/sync/semaphore"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// faulty is a Store, with its Leases, that calls hooks before and after each call. An
// error of a hook makes the call fail.
type faulty struct {
	store.Store
	before func(call string) error // if it fails, the call is not made
	after  func(call string) error // if it fails, the call was made but its result is lost

	hooks *semaphore.Weighted // one hook runs at a time; a rotation reads while it moves
}

func newFaulty() *faulty { return &faulty{hooks: semaphore.NewWeighted(1)} }

var errInjected = fault.New(fault.Unavailable, "injected")

func (f *faulty) call(name string, do func() error) error {
	if err := f.hook(&f.before, name); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return f.hook(&f.after, name)
}

func (f *faulty) hook(h *func(string) error, call string) error {
	if err := f.hooks.Acquire(context.Background(), 1); err != nil {
		return err
	}
	defer f.hooks.Release(1)
	if *h == nil {
		return nil
	}
	return (*h)(call)
}

// answered is call for calls with a result.
func answered[T any](f *faulty, name string, do func() (T, error)) (T, error) {
	var got T
	err := f.call(name, func() (err error) {
		got, err = do()
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return got, nil
}

func (f *faulty) Create(ctx context.Context, root seal.Fingerprint, first store.Key,
	e store.Event) (bool, error) {
	return answered(f, "Create", func() (bool, error) { return f.Store.Create(ctx, root, first, e) })
}

func (f *faulty) Load(ctx context.Context) (*store.Keys, error) {
	return answered(f, "Load", func() (*store.Keys, error) { return f.Store.Load(ctx) })
}

func (f *faulty) ReserveEncryptions(ctx context.Context, id seal.KeyID, n uint64) error {
	return f.call("ReserveEncryptions", func() error { return f.Store.ReserveEncryptions(ctx, id, n) })
}

func (f *faulty) Get(ctx context.Context, name string) ([]byte, error) {
	return answered(f, "Get", func() ([]byte, error) { return f.Store.Get(ctx, name) })
}

func (f *faulty) Put(ctx context.Context, id seal.KeyID, name string, record []byte) error {
	return f.call("Put", func() error { return f.Store.Put(ctx, id, name, record) })
}

func (f *faulty) Records(ctx context.Context, r store.Range) ([]store.Record, error) {
	return answered(f, "Records", func() ([]store.Record, error) { return f.Store.Records(ctx, r) })
}

func (f *faulty) Count(ctx context.Context) (map[seal.KeyID]int, error) {
	return answered(f, "Count", func() (map[seal.KeyID]int, error) { return f.Store.Count(ctx) })
}

func (f *faulty) DeleteInactive(ctx context.Context, e store.Event) ([]store.Key, error) {
	return answered(f, "DeleteInactive",
		func() ([]store.Key, error) { return f.Store.DeleteInactive(ctx, e) })
}

func (f *faulty) RecordEvent(ctx context.Context, e store.Event) (store.Event, error) {
	return answered(f, "RecordEvent",
		func() (store.Event, error) { return f.Store.RecordEvent(ctx, e) })
}

func (f *faulty) Acquire(ctx context.Context) (store.Lease, error) {
	var lease store.Lease
	err := f.call("Acquire", func() (err error) {
		lease, err = f.Store.Acquire(ctx)
		return err
	})
	if err != nil {
		if lease != nil { // as if its process had been killed
			lease.Release(ctx)
		}
		return nil, err
	}
	return &faultyLease{lease, f}, nil
}

type faultyLease struct {
	store.Lease
	f *faulty
}

func (l *faultyLease) Renew(ctx context.Context) error {
	return l.f.call("Renew", func() error { return l.Lease.Renew(ctx) })
}

func (l *faultyLease) Activate(ctx context.Context, root seal.Fingerprint, from seal.KeyID,
	next store.Key, e store.Event) error {
	return l.f.call("Activate", func() error { return l.Lease.Activate(ctx, root, from, next, e) })
}

func (l *faultyLease) Move(ctx context.Context, from, to seal.KeyID, swaps []store.Swap) (int,
	error) {
	return answered(l.f, "Move", func() (int, error) { return l.Lease.Move(ctx, from, to, swaps) })
}

func (l *faultyLease) Retire(ctx context.Context, id seal.KeyID, e store.Event) error {
	return l.f.call("Retire", func() error { return l.Lease.Retire(ctx, id, e) })
}

func (l *faultyLease) Rewrap(ctx context.Context, from, to seal.Fingerprint,
	wrapped map[seal.KeyID][]byte, e store.Event) error {
	return l.f.call("Rewrap", func() error { return l.Lease.Rewrap(ctx, from, to, wrapped, e) })
}
