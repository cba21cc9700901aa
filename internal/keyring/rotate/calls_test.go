package rotate_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

func TestRotate_storeCalls(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	r := p.keyring(f)
	s := p.fill(r, 7)
	var calls []string
	f.before = func(call string) error {
		calls = append(calls, call)
		return nil
	}
	done, err := rotate.Rotator{Keyring: r}.Paged(4).Rotate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"Acquire", "Load", "Records", "Records", "Records", "Activate", "Load"},
		calls[:7])
	assert.ElementsMatch(t, []string{"Records", "Records", "Records", "Move", "Move"},
		calls[7:len(calls)-2], "it prefetches")
	assert.Equal(t, []string{"Retire", "Load"}, calls[len(calls)-2:])

	calls = nil
	_, err = r.ReserveKey(t.Context(), done.To, 1000) // the rotation has reserved these
	require.NoError(t, err)
	assert.NotContains(t, calls, "ReserveEncryptions")
	for range 2 {
		_, err = r.ReserveKey(t.Context(), done.To, 50)
		require.NoError(t, err)
	}
	assert.Len(t,
		slices.DeleteFunc(calls, func(call string) bool { return call != "ReserveEncryptions" }), 1)
	f.before = nil
	p.checkIntact(s)
}

// Each page is read twice, first to check it and then to re-encrypt it, and moved once. An
// empty page ends each pass. The number of other calls is constant.
func TestRotate_storeCallsPerPage(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	r := p.keyring(f)
	const page = 4
	for _, n := range []int{page, 5 * page, 20 * page} {
		p.fill(r, n)
		calls := map[string]int{}
		f.before = func(call string) error {
			calls[call]++
			return nil
		}
		done, err := rotate.Rotator{Keyring: r}.Paged(page).Rotate(t.Context())
		f.before = nil
		require.NoError(t, err)
		require.Equal(t, n, done.Moved)
		assert.Equal(t, map[string]int{
			"Acquire": 1, "Load": 3, "Records": 2*n/page + 2, "Activate": 1, "Move": n / page, "Retire": 1,
		}, calls, "%d secrets", n)
	}
}

// Prefetching takes a second call beside the one that moves, and so, with SQL, a second
// connection.
func TestRotate_singlePageIsNotPrefetched(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	r := p.keyring(f)
	p.fill(r, 4)
	var calls []string
	f.before = func(call string) error {
		calls = append(calls, call)
		return nil
	}
	_, err := rotate.Rotator{Keyring: r}.Paged(4).Rotate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"Acquire", "Load", "Records", "Records", "Activate", "Load", "Records",
		"Move", "Records", "Retire", "Load"}, calls)
}

// observed is a Store that calls read with each page that was read, which read may change,
// and move before each Move.
type observed struct {
	store.Store
	read func(r store.Range, page []store.Record)
	move func()
}

func (o observed) Records(ctx context.Context, r store.Range) ([]store.Record, error) {
	page, err := o.Store.Records(ctx, r)
	o.read(r, page)
	return page, err
}

func (o observed) Acquire(ctx context.Context) (store.Lease, error) {
	l, err := o.Store.Acquire(ctx)
	return observedLease{l, o}, err
}

type observedLease struct {
	store.Lease
	o observed
}

func (l observedLease) Move(ctx context.Context, from, to seal.KeyID, swaps []store.Swap) (int,
	error) {
	l.o.move()
	return l.Lease.Move(ctx, from, to, swaps)
}

func TestRotate_prefetches(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	r := p.keyring(f)
	s := p.fill(r, 12)
	var read atomic.Int32
	moves := 0
	f.Store = observed{f.Store, func(of store.Range, _ []store.Record) {
		if of.Key != 0 {
			read.Add(1)
		}
	}, func() {
		if moves++; moves == 1 {
			require.Eventually(t, func() bool { return read.Load() > 1 }, 30*time.Second, time.Millisecond)
		}
	}}
	_, err := rotate.Rotator{Keyring: r}.Paged(4).Rotate(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, moves)
	p.checkIntact(s)
}

// A row that was restored from a backup may be under an inactive key.
func TestRotate_visitsAllKeysInUse(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	r := p.keyring(f)
	p.fill(r, 3)
	old, err := r.Store().Get(t.Context(), "secret 1")
	require.NoError(t, err)
	to := rotate.Rotator{Keyring: r}
	first, err := to.Rotate(t.Context())
	require.NoError(t, err)
	var visited []seal.KeyID
	f.Store = observed{f.Store, func(of store.Range, page []store.Record) {
		if of.Key != 0 {
			visited = append(visited, of.Key)
		}
		for i := range page {
			if of.Key == 0 && page[i].Name == "secret 1" {
				page[i] = store.Record{Name: "secret 1", Key: first.From, Sealed: old}
			}
		}
	}, func() {}}
	_, err = to.Rotate(t.Context())
	require.NoError(t, err)
	require.Subset(t, visited, []seal.KeyID{first.From, first.To})
}
