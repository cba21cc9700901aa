package storetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// swap returns the Swap of a record that rotating has stored.
func swap(name string) store.Swap {
	return store.Swap{Name: name, Head: head(recordUnder(key1, name)), Sealed: recordUnder(key2, name)}
}

var moveTests = []test{
	{"Move puts records under the other key", func(t *testing.T, open Opener) {
		s, l := rotating(t, open, "a", "b", "c")
		swaps := []store.Swap{swap("c"), swap("a")}
		given := slices.Clone(swaps)
		moved, err := l.Move(t.Context(), key1, key2, swaps)
		assert.Equal(t, given, swaps, "the slice belongs to the caller")
		require.NoError(t, err)
		assert.Equal(t, 2, moved)
		checkStored(t, s, "a", recordUnder(key2, "a"))
		checkStored(t, s, "b", recordUnder(key1, "b"))
		checkStored(t, s, "c", recordUnder(key2, "c"))
		count, err := open(t).Count(t.Context())
		require.NoError(t, err)
		assert.Equal(t, map[seal.KeyID]int{key1: 1, key2: 2}, count)

		moved, err = l.Move(t.Context(), key1, key2, nil)
		require.NoError(t, err)
		assert.Zero(t, moved)
	}},

	{"Move skips records that changed, are gone or are under another key",
		func(t *testing.T, open Opener) {
			s := created(t, open)
			for _, name := range []string{"changed", "deleted", "resealed", "same"} {
				put(t, s, key1, name, recordUnder(key1, name))
			}
			put(t, s, key1, "changed", recordUnder(key1, "another text"))
			require.NoError(t, s.Delete(t.Context(), "deleted"))
			l := acquire(t, s)
			require.NoError(t, l.Activate(t.Context(), root1, key1, newKey(key2), event("activate")))
			put(t, s, key2, "resealed", recordUnder(key1, "resealed")) // the same bytes, but under key2

			moved, err := l.Move(t.Context(), key1, key2, []store.Swap{
				swap("changed"), swap("deleted"), swap("never"), swap("resealed"), swap("same"),
			})
			require.NoError(t, err)
			assert.Equal(t, 1, moved)
			checkStored(t, s, "changed", recordUnder(key1, "another text"))
			checkStored(t, s, "resealed", recordUnder(key1, "resealed"))
			checkStored(t, s, "same", recordUnder(key2, "same"))
			for _, name := range []string{"deleted", "never"} {
				_, err := s.Get(t.Context(), name)
				require.ErrorIs(t, err, fault.NotFound)
			}
		}},

	{"Move compares all of a record that is shorter than a head", func(t *testing.T, open Opener) {
		s := created(t, open)
		for _, record := range []string{"", "a", "ab", "abc"} {
			put(t, s, key1, "is "+record, []byte(record))
			put(t, s, key1, "was "+record, []byte(record+"+"))
		}
		l := acquire(t, s)
		require.NoError(t, l.Activate(t.Context(), root1, key1, newKey(key2), event("activate")))
		var swaps []store.Swap
		for _, record := range []string{"", "a", "ab", "abc"} {
			swaps = append(swaps,
				store.Swap{Name: "is " + record, Head: []byte(record), Sealed: []byte("moved")},
				store.Swap{Name: "was " + record, Head: []byte(record), Sealed: []byte("moved")})
		}
		moved, err := l.Move(t.Context(), key1, key2, swaps)
		require.NoError(t, err)
		assert.Equal(t, 4, moved)
		for _, record := range []string{"", "a", "ab", "abc"} {
			checkStored(t, s, "is "+record, []byte("moved"))
			checkStored(t, s, "was "+record, []byte(record+"+"))
		}
	}},

	{"Move requires an active key", func(t *testing.T, open Opener) {
		s, l := rotating(t, open, "a")
		for _, to := range []seal.KeyID{key1, key3} {
			_, err := l.Move(t.Context(), key1, to, []store.Swap{swap("a")})
			require.ErrorIs(t, err, store.ErrNotActive)
		}
		checkStored(t, s, "a", recordUnder(key1, "a"))
	}},

	{"Move accepts thousands of swaps", func(t *testing.T, open Opener) {
		const n = 2500
		s := created(t, open)
		l := acquire(t, s)
		var swaps []store.Swap // most of them for records that do not exist
		for i := range n {
			swaps = append(swaps, swap(fmt.Sprintf("record %04d", i)))
		}
		put(t, s, key1, swaps[0].Name, recordUnder(key1, swaps[0].Name))
		put(t, s, key1, swaps[n-1].Name, recordUnder(key1, swaps[n-1].Name))
		require.NoError(t, l.Activate(t.Context(), root1, key1, newKey(key2), event("activate")))
		moved, err := l.Move(t.Context(), key1, key2, swaps)
		require.NoError(t, err)
		assert.Equal(t, 2, moved)
		assert.Equal(t, []string{swaps[0].Name, swaps[n-1].Name}, names(t, s, n))
	}},

	{"concurrent Puts are neither lost nor under an old key", checkConcurrentPuts},
}

// checkConcurrentPuts checks that after Activate has returned, no Put under the old key
// succeeds; that each name holds the last record that a Put has stored, or what Move made
// of it; and that the key of each record exists.
func checkConcurrentPuts(t *testing.T, open Opener) {
	const writers, rounds = 3, 4
	ids := []seal.KeyID{key1, key2, key3, 4, 5}[:rounds+1]
	created(t, open)

	var active atomic.Int32 // index into ids of the key that is known to be active
	var done atomic.Bool
	var wg sync.WaitGroup
	texts := make([]string, writers)
	for w := range writers {
		s := open(t)
		wg.Go(func() {
			name := fmt.Sprint("writer ", w)
			at := 0
			for i := 0; !done.Load(); i++ {
				known := int(active.Load())
				text := fmt.Sprintf("%06d", i)
				err := s.Put(t.Context(), ids[at], name, recordUnder(ids[at], text))
				switch {
				case err == nil:
					assert.GreaterOrEqual(t, at, known, "a Put under an old key succeeded")
					texts[w] = text
				case assert.ErrorIs(t, err, store.ErrNotActive):
					at = min(at+1, rounds)
				default:
					return
				}
				if err := s.ReserveEncryptions(t.Context(), ids[known], 1); err != nil {
					assert.ErrorIs(t, err, store.ErrNotActive)
				}
			}
		})
	}

	s := open(t)
	l := acquire(t, s)
	for i := range rounds {
		from, to := ids[i], ids[i+1]
		if !assert.NoError(t, l.Activate(t.Context(), root1, from, newKey(to), event("activate"))) {
			break
		}
		active.Store(int32(i + 1))
		assert.ErrorIs(t, s.Put(t.Context(), from, "late", nil), store.ErrNotActive)
		assert.NoError(t, moveAll(t, s, l, from, to))
		assert.NoError(t, l.Retire(t.Context(), from, event("retire")))
	}
	done.Store(true)
	wg.Wait()

	known := states(t, s)
	assert.Len(t, known, rounds+1)
	page, err := s.Records(t.Context(), store.Range{Limit: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	for _, b := range page {
		assert.Contains(t, known, b.Key)
	}
	for w, text := range texts {
		if text != "" {
			got, err := s.Get(t.Context(), fmt.Sprint("writer ", w))
			require.NoError(t, err)
			assert.Equal(t, text, textOf(got))
		}
	}
}

// moveAll moves records, like a rotation, until none is under from.
func moveAll(t *testing.T, s store.Store, l store.Lease, from, to seal.KeyID) error {
	for {
		page, err := s.Records(t.Context(), store.Range{Key: from, Limit: 2, Bytes: 1 << 20})
		if err != nil || len(page) == 0 {
			return err
		}
		var swaps []store.Swap
		for _, b := range page {
			swaps = append(swaps, store.Swap{Name: b.Name, Head: head(b.Sealed), Sealed: recordUnder(to,
				textOf(b.Sealed))})
		}
		if _, err := l.Move(t.Context(), from, to, swaps); err != nil {
			return err
		}
	}
}

// textOf returns the text of a record from recordUnder.
func textOf(record []byte) string { return string(record[seal.HeadSize : len(record)-16]) }
