package rotate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/rootkey"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

var discard = slog.New(slog.DiscardHandler)

// place is a keyring in a file, with its root key in another.
type place struct {
	t    *testing.T
	path string
}

func newPlace(t *testing.T) place { return place{t, filepath.Join(t.TempDir(), "secrets.db")} }

// ring opens the keyring, through f if it is not nil.
func (p place) ring(f *faulty) *keyring.Keyring {
	r, err := p.open(f)
	require.NoError(p.t, err)
	return r
}

func (p place) open(f *faulty) (*keyring.Keyring, error) {
	store := store.Store(boltstore.New(p.path))
	if f != nil {
		f.Store = store
		store = f
	}
	return keyring.Open(p.t.Context(), keyring.Settings{Store: store, Roots: rootkey.NewFile(p.path+".key", discard), Log: discard})
}

// stored are the secrets that must not be lost.
type stored map[string]string

// fill stores n secrets.
func (p place) fill(r *keyring.Keyring, n int) stored {
	s := stored{}
	for i := range n {
		name, text := fmt.Sprintf("secret %d", i), fmt.Sprintf("text %d", i)
		s[name] = text
		require.NoError(p.t, r.Put(p.t.Context(), name, []byte(text)))
	}
	return s
}

// whole proves, with a keyring that is opened anew, that nothing is lost, that a
// rotation succeeds, that no key is needed but the active one after it, and
// that nothing is lost then either.
func (p place) whole(s stored) {
	p.t.Helper()
	r := p.ring(nil)
	p.same(r, s)
	require.NoError(p.t, r.Verify(p.t.Context()))
	to := rotate.Rotator{Keyring: r}
	done, err := to.Rotate(p.t.Context())
	require.NoError(p.t, err)
	require.Empty(p.t, done.Blocked)
	_, err = to.DeleteInactive(p.t.Context())
	require.NoError(p.t, err)
	keys, err := r.Store().Load(p.t.Context())
	require.NoError(p.t, err)
	require.Len(p.t, keys.Keys, 1)
	require.Equal(p.t, store.Active, keys.Keys[0].State)
	require.GreaterOrEqual(p.t, keys.Keys[0].Encryptions, uint64(len(s)), "every seal is counted")
	p.same(p.ring(nil), s)
}

func (p place) same(r *keyring.Keyring, s stored) {
	p.t.Helper()
	for name, text := range s {
		got, err := r.Get(p.t.Context(), name)
		require.NoError(p.t, err, name)
		require.True(p.t, text == string(got), "%s has another text", name)
	}
}

func (p place) events(r *keyring.Keyring) (lines []string) {
	p.t.Helper()
	events, err := r.Store().Events(p.t.Context(), 0, 1000)
	require.NoError(p.t, err)
	for _, e := range events {
		require.WithinDuration(p.t, time.Now(), e.Time, time.Minute)
		lines = append(lines, fmt.Sprintf("%s %s %s %d", e.Actor, e.Action, e.Outcome, len(e.Keys)))
	}
	return lines
}

func TestARotationTakesEverySecretToANewKey(t *testing.T) {
	p := newPlace(t)
	r := p.ring(nil)
	s := p.fill(r, 20)
	var progress [][2]int
	to := rotate.Rotator{Keyring: r, Progress: func(done, total int) { progress = append(progress, [2]int{done, total}) }}.Paged(8)
	ctx := keyring.WithActor(t.Context(), "alice")

	done, err := to.Rotate(ctx)
	require.NoError(t, err)
	assert.Equal(t, 20, done.Moved)
	assert.Equal(t, [][2]int{{8, 20}, {16, 20}, {20, 20}}, progress)
	p.same(r, s)
	records, err := r.Store().Count(ctx)
	require.NoError(t, err)
	assert.Equal(t, map[seal.KeyID]int{done.To: 20}, records)

	deleted, err := to.DeleteInactive(ctx)
	require.NoError(t, err)
	require.Len(t, deleted, 1)
	assert.Equal(t, done.From, deleted[0].ID)
	p.same(r, s)
	assert.Equal(t, []string{" create done 1", "alice rotate started 2", "alice rotate done 2", "alice delete-inactive done 1"}, p.events(r))
	p.whole(s)
}

func TestAnEmptyKeyringRotates(t *testing.T) {
	p := newPlace(t)
	done, err := (&rotate.Rotator{Keyring: p.ring(nil)}).Rotate(t.Context())
	require.NoError(t, err)
	assert.Zero(t, done.Moved)
	p.whole(stored{})
}

// Each store call of a rotation fails in turn, before it has an effect or after
// it.
func TestAFailureAtAnyStoreCallLosesNothing(t *testing.T) {
	works := map[string]func(context.Context, *rotate.Rotator) error{
		"rotate": func(ctx context.Context, r *rotate.Rotator) error {
			_, err := r.Rotate(ctx)
			return err
		},
		"delete inactive": func(ctx context.Context, r *rotate.Rotator) error {
			_, err := r.DeleteInactive(ctx)
			return err
		},
		"change root key": func(ctx context.Context, r *rotate.Rotator) error {
			return r.ChangeRoot(ctx, seal.NewRootText())
		},
	}
	for name, work := range works {
		for _, when := range []string{"before", "after"} {
			t.Run(name+", "+when, func(t *testing.T) {
				calls := map[string]bool{}
				for nth := 1; ; nth++ {
					p := newPlace(t)
					f := newFaulty()
					r := p.ring(f)
					s := p.fill(r, 7)
					_, err := (&rotate.Rotator{Keyring: r}).Rotate(t.Context()) // so that there is an inactive key
					require.NoError(t, err)
					n, failed := 0, ""
					inject := func(call string) error {
						if n++; n == nth {
							failed = call
							return errInjected
						}
						return nil
					}
					if when == "before" {
						f.before = inject
					} else {
						f.after = inject
					}
					err = work(t.Context(), rotate.Rotator{Keyring: r}.Paged(3))
					f.before, f.after = nil, nil
					if failed == "" {
						require.NoError(t, err)
						break
					}
					if failed != "Rewrap" || when == "before" { // which asks whether it has happened
						require.Error(t, err, "call %d, %s", nth, failed)
					}
					if failed == "Rewrap" {
						require.NoFileExists(t, p.path+".key.new", "whether it has happened could be asked")
					}
					calls[failed] = true
					p.same(r, s)
					p.whole(s)
				}
				t.Log(calls)
				if name == "rotate" {
					assert.Subset(t, calls, map[string]bool{"Acquire": true, "Load": true, "Records": true, "Activate": true, "Move": true, "Retire": true})
				}
			})
		}
	}
}

// Between any two store calls of a rotation another process stores a secret: a
// new one, or another text under a name that is there.
func TestAPutBetweenAnyTwoStoreCallsIsKept(t *testing.T) {
	for _, name := range []string{"new", "secret 0", "secret 5"} {
		for nth, more := 1, true; more; nth++ {
			p := newPlace(t)
			f := newFaulty()
			r := p.ring(f)
			s := p.fill(r, 7)
			other := p.ring(nil)
			n := 0
			f.before = func(string) error {
				if n++; n == nth {
					s[name] = fmt.Sprintf("put before call %d", nth)
					require.NoError(t, other.Put(t.Context(), name, []byte(s[name])))
				}
				return nil
			}
			_, err := rotate.Rotator{Keyring: r}.Paged(3).Rotate(t.Context())
			require.NoError(t, err)
			f.before = nil
			more = n >= nth
			p.same(r, s)
			p.same(other, s)
			p.whole(s)
		}
	}
}

// Two nodes take turns in failing, so that what is finished was begun by
// another.
func TestARecordedRotationIsFinishedAndNoOtherBegun(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
	s := p.fill(r, 7)
	f.before = func(call string) error {
		if call == "Retire" {
			return errInjected
		}
		return nil
	}
	first, err := (&rotate.Rotator{Keyring: r}).Rotate(t.Context())
	require.ErrorIs(t, err, fault.Unavailable)
	assert.Equal(t, 7, first.Moved)

	other := p.ring(nil)
	second, rotated, err := (&rotate.Rotator{Keyring: other}).IfOlder(t.Context(), time.Hour)
	require.NoError(t, err)
	assert.True(t, rotated, "a recorded rotation has no age")
	assert.Equal(t, first.From, second.From)
	assert.Equal(t, first.To, second.To)
	assert.Zero(t, second.Moved)
	assert.Equal(t, []string{" create done 1", " rotate started 2", " rotate failed 2", " rotate done 2"}, p.events(other))
	p.whole(s)
}

// Whoever found an old key, and then waited for the lease, may find a young one.
func TestTheAgeOfAKeyIsLookedAtAgainUnderTheLease(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
	other := p.ring(nil)
	time.Sleep(200 * time.Millisecond)
	f.before = func(call string) error {
		if call == "Acquire" {
			_, err := (&rotate.Rotator{Keyring: other}).Rotate(t.Context())
			require.NoError(t, err)
		}
		return nil
	}
	_, rotated, err := (&rotate.Rotator{Keyring: r}).IfOlder(t.Context(), 200*time.Millisecond)
	require.NoError(t, err)
	assert.False(t, rotated)
}

func TestARotationMakesNoMoreStoreCallsThanItNeeds(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
	s := p.fill(r, 7)
	var calls []string
	f.before = func(call string) error {
		calls = append(calls, call)
		return nil
	}
	_, err := rotate.Rotator{Keyring: r}.Paged(4).Rotate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"Acquire", "Load", "Records", "Records", "Records", "Activate", "Load"}, calls[:7])
	assert.ElementsMatch(t, []string{"Records", "Records", "Records", "Move", "Move"}, calls[7:len(calls)-2], "it reads ahead")
	assert.Equal(t, []string{"Retire", "Load"}, calls[len(calls)-2:])

	calls = nil
	for range 1000 { // the rotation has reserved seals for those, too
		require.NoError(t, r.Put(t.Context(), "secret 1", []byte("text 1")))
	}
	assert.NotContains(t, calls, "ReserveEncryptions")
	for range 100 {
		require.NoError(t, r.Put(t.Context(), "secret 1", []byte("text 1")))
	}
	assert.Len(t, slices.DeleteFunc(calls, func(call string) bool { return call != "ReserveEncryptions" }), 1)
	f.before = nil
	p.whole(s)
}

// Each page is read twice, to prove that it opens and to seal it anew, and moved
// once; an empty page ends each reading. All else is the same for any number.
func TestTheStoreCallsOfARotationGrowWithItsPagesOnly(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
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

// What is read ahead is a second call beside the one that moves, and so with SQL
// a second connection.
func TestASinglePageIsNotReadAhead(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
	p.fill(r, 4)
	var calls []string
	f.before = func(call string) error {
		calls = append(calls, call)
		return nil
	}
	_, err := rotate.Rotator{Keyring: r}.Paged(4).Rotate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"Acquire", "Load", "Records", "Records", "Activate", "Load", "Records", "Move", "Records", "Retire", "Load"}, calls)
}

// observed is a Store that tells of pages that were read, which it may change,
// and of moves that begin.
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

func (l observedLease) Move(ctx context.Context, from, to seal.KeyID, swaps []store.Swap) (int, error) {
	l.o.move()
	return l.Lease.Move(ctx, from, to, swaps)
}

func TestTheNextPageIsReadWhileOneIsMoved(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
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
	p.whole(s)
}

// A row that was put back from a backup may be under a key that is inactive.
func TestARotationLooksUnderAllKeysThatItHasSeen(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
	p.fill(r, 3)
	old, err := r.Store().Get(t.Context(), "secret 1")
	require.NoError(t, err)
	to := rotate.Rotator{Keyring: r}
	first, err := to.Rotate(t.Context())
	require.NoError(t, err)
	var asked []seal.KeyID
	f.Store = observed{f.Store, func(of store.Range, page []store.Record) {
		if of.Key != 0 {
			asked = append(asked, of.Key)
		}
		for i := range page {
			if of.Key == 0 && page[i].Name == "secret 1" {
				page[i] = store.Record{Name: "secret 1", Key: first.From, Sealed: old}
			}
		}
	}, func() {}}
	_, err = to.Rotate(t.Context())
	require.NoError(t, err)
	require.Subset(t, asked, []seal.KeyID{first.From, first.To})
}

// The lease ends after 15 seconds, and opening secrets may take longer.
func TestARotatorKeepsItsLeaseWhileItOnlyReads(t *testing.T) {
	p := newPlace(t)
	s := p.fill(p.ring(nil), 7)
	inproc.NeedsRandom(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty()
		r := p.ring(f)
		var renewed []time.Duration
		start := time.Now()
		f.before = func(call string) error {
			switch call {
			case "Records":
				time.Sleep(4 * time.Second)
			case "Renew":
				renewed = append(renewed, time.Since(start))
			}
			return nil
		}
		_, err := rotate.Rotator{Keyring: r}.Paged(2).Rotate(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(renewed), 4, "every page of the preflight takes 4 seconds")
		for i, at := range renewed[1:] {
			assert.Less(t, at-renewed[i], 15*time.Second)
		}
	})
	p.whole(s)
}

func TestOnlyOldKeysAreRotated(t *testing.T) {
	p := newPlace(t)
	r := rotate.Rotator{Keyring: p.ring(nil)}
	_, rotated, err := r.IfOlder(t.Context(), time.Hour)
	require.NoError(t, err)
	assert.False(t, rotated)
	time.Sleep(2 * time.Millisecond)
	done, rotated, err := r.IfOlder(t.Context(), time.Millisecond)
	require.NoError(t, err)
	assert.True(t, rotated)
	assert.NotZero(t, done.To)
}

func TestManyNodesOnOneScheduleRotateOnce(t *testing.T) {
	p := newPlace(t)
	p.fill(p.ring(nil), 3)
	time.Sleep(300 * time.Millisecond)
	const nodes = 8
	results := make(chan bool, nodes)
	for range nodes {
		r := rotate.Rotator{Keyring: p.ring(nil)}
		go func() {
			_, rotated, err := r.IfOlder(t.Context(), 300*time.Millisecond)
			assert.NoError(t, err)
			results <- rotated
		}()
	}
	times := 0
	for range nodes {
		if <-results {
			times++
		}
	}
	assert.Equal(t, 1, times)
}

func TestASecondRotatorIsRefusedAndThatIsRecorded(t *testing.T) {
	p := newPlace(t)
	r := p.ring(nil)
	lease, err := p.ring(nil).Store().Acquire(t.Context())
	require.NoError(t, err)
	to := rotate.Rotator{Keyring: r}
	_, err = to.Rotate(t.Context())
	require.ErrorIs(t, err, fault.RotationInProgress)
	require.ErrorIs(t, to.ChangeRoot(t.Context(), seal.NewRootText()), fault.RotationInProgress)
	_, rotated, err := to.IfOlder(t.Context(), 0)
	require.NoError(t, err)
	assert.False(t, rotated, "another node does it")
	assert.Equal(t, []string{" create done 1", " rotate refused 0", " change-root refused 0"}, p.events(r))
	lease.Release(t.Context())
	_, err = to.Rotate(t.Context())
	require.NoError(t, err)
}

// damage replaces the record under name by one that does not open.
func (p place) damage(r *keyring.Keyring, name string, change func(record []byte) []byte) {
	p.t.Helper()
	record, err := r.Store().Get(p.t.Context(), name)
	require.NoError(p.t, err)
	keys, err := r.Store().Load(p.t.Context())
	require.NoError(p.t, err)
	require.NoError(p.t, r.Store().Put(p.t.Context(), keys.Active().ID, name, change(record)))
}

func flip(record []byte) []byte { record[len(record)-1] ^= 1; return record }

func TestARecordThatDoesNotOpenBlocksBeforeAnythingHasChanged(t *testing.T) {
	changes := map[string]func([]byte) []byte{
		"flipped":         flip,
		"newer version":   func(b []byte) []byte { b[0]++; return b },
		"unknown key":     func(b []byte) []byte { b[5] ^= 1; return b },
		"cut off":         func(b []byte) []byte { return b[:10] },
		"empty":           func(b []byte) []byte { return b[:0] },
		"of another name": nil,
	}
	for what, change := range changes {
		t.Run(what, func(t *testing.T) {
			p := newPlace(t)
			r := p.ring(nil)
			s := p.fill(r, 5)
			if change == nil {
				record, err := r.Store().Get(t.Context(), "secret 4")
				require.NoError(t, err)
				change = func([]byte) []byte { return record }
			}
			p.damage(r, "secret 2", change)
			delete(s, "secret 2")

			_, err := r.Get(t.Context(), "secret 2")
			require.ErrorIs(t, err, fault.Corrupt)
			err = r.Verify(t.Context())
			require.ErrorIs(t, err, fault.Corrupt)
			require.ErrorContains(t, err, `"secret 2"`)
			before, err := r.Store().Load(t.Context())
			require.NoError(t, err)

			to := rotate.Rotator{Keyring: r}
			done, err := to.Rotate(t.Context())
			require.ErrorIs(t, err, fault.RotationBlocked)
			require.ErrorContains(t, err, `"secret 2"`)
			assert.Equal(t, []string{"secret 2"}, done.Blocked)
			assert.Zero(t, done.To)
			after, err := r.Store().Load(t.Context())
			require.NoError(t, err)
			assert.Equal(t, before.Keys, after.Keys)
			assert.Equal(t, []string{" create done 1", " rotate refused 1"}, p.events(r))
			p.same(r, s)

			require.NoError(t, r.Delete(t.Context(), "secret 2"), "what is damaged can be deleted")
			p.whole(s)
		})
	}
}

func TestARecordThatGoesBadDuringARotationIsNamedAndKeepsItsKey(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
	s := p.fill(r, 7)
	other := p.ring(nil)
	f.before = func(call string) error {
		if call == "Activate" {
			p.damage(other, "secret 2", flip)
		}
		return nil
	}
	done, err := (&rotate.Rotator{Keyring: r}).Rotate(t.Context())
	require.ErrorIs(t, err, fault.RotationBlocked)
	require.ErrorContains(t, err, `"secret 2"`)
	assert.Equal(t, []string{"secret 2"}, done.Blocked)
	assert.Equal(t, 6, done.Moved)
	keys, err := r.Store().Load(t.Context())
	require.NoError(t, err)
	require.NotNil(t, keys.Retiring())
	assert.Equal(t, done.From, keys.Retiring().ID)
	deleted, err := (&rotate.Rotator{Keyring: r}).DeleteInactive(t.Context())
	require.NoError(t, err)
	assert.Empty(t, deleted, "the key that may still be needed stays")

	s["secret 2"] = "replaced"
	require.NoError(t, other.Put(t.Context(), "secret 2", []byte(s["secret 2"])))
	again, err := (&rotate.Rotator{Keyring: other}).Rotate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, done.To, again.To)
	p.whole(s)
}

func TestClosingEndsARotationBetweenTwoTransactions(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
	s := p.fill(r, 20)
	stop := make(chan struct{})
	moves := 0
	f.after = func(call string) error {
		if call == "Move" {
			if moves++; moves == 1 {
				close(stop)
			}
		}
		return nil
	}
	done, err := rotate.Rotator{Keyring: r, Stop: stop}.Paged(3).Rotate(t.Context())
	require.ErrorIs(t, err, fault.Unavailable)
	assert.Equal(t, 1, moves)
	assert.Positive(t, done.Moved)
	assert.Less(t, done.Moved, 20)
	p.whole(s)
}

func TestTheEndOfTheContextEndsARotation(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
	s := p.fill(r, 20)
	ctx, cancel := context.WithCancel(t.Context())
	f.after = func(call string) error {
		if call == "Move" {
			cancel()
		}
		return nil
	}
	_, err := rotate.Rotator{Keyring: r}.Paged(3).Rotate(ctx)
	require.ErrorIs(t, err, fault.Unavailable)
	require.ErrorIs(t, err, context.Canceled)
	assert.Contains(t, p.events(p.ring(nil)), " rotate failed 2")
	p.whole(s)
}

// A node whose lease went to somebody else changes nothing any more.
func TestARotatorThatLostItsLeaseStops(t *testing.T) {
	for _, lose := range []string{"Renew", "Activate", "Move", "Retire"} {
		p := newPlace(t)
		f := newFaulty()
		r := p.ring(f)
		s := p.fill(r, 7)
		f.before = func(call string) error {
			if call == lose {
				return fault.New(fault.RotationInProgress, "another node took over")
			}
			return nil
		}
		_, err := (&rotate.Rotator{Keyring: r}).Rotate(t.Context())
		if lose != "Renew" { // which a short rotation does not need
			require.ErrorIs(t, err, fault.RotationInProgress, lose)
		}
		p.whole(s)
	}
}

// A secret that is deleted, or sealed with another key, while all are being
// opened is not damaged.
func TestVerifyGoesOnWhileOthersWrite(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
	s := p.fill(r, 3)
	require.NoError(t, r.Verify(t.Context()))
	other := p.ring(nil)
	f.after = func(call string) error {
		if call != "Records" {
			return nil
		}
		f.after = nil
		to := rotate.Rotator{Keyring: other}
		_, err := to.Rotate(t.Context())
		require.NoError(t, err)
		_, err = to.DeleteInactive(t.Context())
		require.NoError(t, err)
		delete(s, "secret 2")
		return other.Delete(t.Context(), "secret 2")
	}
	// The key that the page needs is gone from the store, and from this ring.
	r = p.ring(f)
	require.NoError(t, r.Verify(t.Context()))
	p.whole(s)
}

// Between reading a record and looking for its key, a rotation and the deletion of
// the old key may pass.
func TestGetFindsARecordThatIsSealedAnewUnderItsHands(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	p.fill(p.ring(nil), 3)
	first := rotate.Rotator{Keyring: p.ring(nil)}
	r := p.ring(f)
	_, err := first.Rotate(t.Context()) // to a key that r does not know yet
	require.NoError(t, err)
	f.after = func(call string) error {
		if call == "Get" {
			f.after = nil
			_, err := first.Rotate(t.Context())
			require.NoError(t, err)
			_, err = first.DeleteInactive(t.Context())
			require.NoError(t, err)
		}
		return nil
	}
	text, err := r.Get(t.Context(), "secret 1")
	require.NoError(t, err)
	assert.Equal(t, "text 1", string(text))
}

func TestVerifyNamesADamagedKey(t *testing.T) {
	p := newPlace(t)
	r := p.ring(nil)
	keys, err := r.Store().Load(t.Context())
	require.NoError(t, err)
	key := keys.Active()
	key.Wrapped[30] ^= 1
	lease, err := r.Store().Acquire(t.Context())
	require.NoError(t, err)
	require.NoError(t, lease.Rewrap(t.Context(), keys.Root, keys.Root, map[seal.KeyID][]byte{key.ID: key.Wrapped}, store.Event{}))
	lease.Release(t.Context())
	err = r.Verify(t.Context())
	require.ErrorIs(t, err, fault.Corrupt)
	require.ErrorContains(t, err, key.ID.String())
	require.ErrorIs(t, p.ring(nil).Put(t.Context(), "a", nil), fault.Corrupt)
}

func TestASpentKeySealsNoMoreAndIsRotated(t *testing.T) {
	p := newPlace(t)
	r := p.ring(nil)
	s := p.fill(r, 3)
	keys, err := r.Store().Load(t.Context())
	require.NoError(t, err)
	active := keys.Active()
	require.NoError(t, r.Store().ReserveEncryptions(t.Context(), active.ID, seal.MaxEncryptions-active.Encryptions-2))

	other := p.ring(nil)
	for range 2 { // the last seals are given out one by one
		require.NoError(t, other.Put(t.Context(), "secret 1", []byte("again")))
	}
	s["secret 1"] = "again"
	err = other.Put(t.Context(), "secret 1", []byte("too often"))
	require.ErrorIs(t, err, fault.Unavailable)
	require.ErrorContains(t, err, "rotate")
	p.whole(s)
	require.NoError(t, other.Put(t.Context(), "secret 1", []byte("with the new key")))
}

func TestTheRootKeyCanBeChanged(t *testing.T) {
	p := newPlace(t)
	r, other := p.ring(nil), p.ring(nil)
	s := p.fill(r, 3)
	text := seal.NewRootText()
	to := rotate.Rotator{Keyring: r}
	require.NoError(t, to.ChangeRoot(t.Context(), text))
	require.NoError(t, to.ChangeRoot(t.Context(), text), "once more changes nothing")
	require.ErrorIs(t, to.ChangeRoot(t.Context(), "correct horse battery staple"), fault.RootKey)
	assert.Equal(t, []string{" create done 1", " change-root done 1", " change-root refused 0"}, p.events(r))
	root, err := seal.ParseRoot(text)
	require.NoError(t, err)
	assert.Equal(t, root.Fingerprint(), r.Root().Fingerprint())
	require.NoFileExists(t, p.path+".key.new")

	// A node that had the keyring open finds the new key in the file.
	_, err = (&rotate.Rotator{Keyring: other}).Rotate(t.Context())
	require.NoError(t, err)
	p.same(other, s)
	p.whole(s)
}

// Until it is renamed the new root key is in a file of its own. That may be the
// only copy of the key in use.
func TestASecondChangeOfTheRootKeyKeepsTheFirstOnesKey(t *testing.T) {
	for _, second := range []string{"succeeds", "fails", "is killed"} {
		p := newPlace(t)
		f := newFaulty()
		r := p.ring(f) // stays open
		s := p.fill(r, 3)
		killed := errors.New("killed")
		g := newFaulty()
		other := p.ring(g)
		g.after = func(call string) error {
			if call == "Rewrap" {
				panic(killed)
			}
			return nil
		}
		require.PanicsWithValue(t, killed, func() { _ = (&rotate.Rotator{Keyring: other}).ChangeRoot(t.Context(), seal.NewRootText()) })
		f.before = func(call string) error {
			switch {
			case call != "Rewrap":
			case second == "fails":
				return errInjected
			case second == "is killed":
				panic(killed)
			}
			return nil
		}
		func() {
			defer func() { _ = recover() }()
			_ = (&rotate.Rotator{Keyring: r}).ChangeRoot(t.Context(), seal.NewRootText())
		}()
		f.before = nil
		p.same(r, s)
		p.whole(s)
	}
}

// A file that is mounted by itself cannot be renamed to. A directory in its
// place stands for one that cannot be written at all.
func TestARootKeyThatCannotBePutInItsPlaceIsNotLost(t *testing.T) {
	p := newPlace(t)
	f := newFaulty()
	r := p.ring(f)
	s := p.fill(r, 3)
	key := p.path + ".key"
	f.after = func(call string) error {
		if call == "Rewrap" {
			require.NoError(t, os.Rename(key, key+".away"))
			require.NoError(t, os.MkdirAll(filepath.Join(key, "not empty"), 0o700))
		}
		return nil
	}
	err := (&rotate.Rotator{Keyring: r}).ChangeRoot(t.Context(), seal.NewRootText())
	require.ErrorIs(t, err, fault.Unavailable)
	require.ErrorContains(t, err, "keep both files")
	f.after = nil
	require.Error(t, (&rotate.Rotator{Keyring: r}).ChangeRoot(t.Context(), seal.NewRootText()), "nothing is staged over it")
	p.same(r, s)
	require.FileExists(t, key+".new")

	require.NoError(t, os.RemoveAll(key))
	require.NoError(t, os.Rename(key+".away", key))
	p.same(p.ring(nil), s)
	p.whole(s)
}

func TestAKeyFromTheFutureIsRotated(t *testing.T) {
	p := newPlace(t)
	inproc.NeedsRandom(t)
	synctest.Test(t, func(t *testing.T) { // where it is the year 2000
		time.Sleep(100 * 365 * 24 * time.Hour)
		place{t, p.path}.ring(nil)
	})
	_, rotated, err := (&rotate.Rotator{Keyring: p.ring(nil)}).IfOlder(t.Context(), 24*time.Hour)
	require.NoError(t, err)
	assert.True(t, rotated)
}

func TestARowThatNamesAnotherKeyThanItsRecordBlocks(t *testing.T) {
	p := newPlace(t)
	r := p.ring(nil)
	p.fill(r, 3)
	record, err := r.Store().Get(t.Context(), "secret 1")
	require.NoError(t, err)
	to := rotate.Rotator{Keyring: r}
	_, err = to.Rotate(t.Context())
	require.NoError(t, err)
	p.damage(r, "secret 1", func([]byte) []byte { return record }) // which the inactive key opens
	require.ErrorIs(t, r.Verify(t.Context()), fault.Corrupt)
	_, err = to.Rotate(t.Context())
	require.ErrorIs(t, err, fault.RotationBlocked)
}

// A change of the root key that is killed leaves one of three states behind.
func TestOpeningHealsAChangeOfTheRootKey(t *testing.T) {
	for _, when := range []string{"before the keys are wrapped", "after", "before, with half a file"} {
		p := newPlace(t)
		f := newFaulty()
		r := p.ring(f)
		s := p.fill(r, 3)
		killed := errors.New("killed")
		f.before = func(call string) error {
			if call == "Rewrap" && when != "after" {
				panic(killed)
			}
			return nil
		}
		f.after = func(call string) error {
			if call == "Rewrap" {
				panic(killed)
			}
			return nil
		}
		require.PanicsWithValue(t, killed, func() { _ = (&rotate.Rotator{Keyring: r}).ChangeRoot(t.Context(), seal.NewRootText()) })
		next := p.path + ".key.new"
		require.FileExists(t, next)
		if strings.Contains(when, "half") {
			require.NoError(t, rootkey.NewFile(p.path+".key", discard).WriteNext("QUFB"))
		}
		if when == "after" { // while somebody holds the lease, nothing can be healed: both root keys are tried
			lease, err := r.Store().Acquire(t.Context())
			require.NoError(t, err)
			p.same(p.ring(nil), s)
			lease.Release(t.Context())
		}
		p.whole(s)
		require.NoFileExists(t, next, when)
	}
}
