package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// strangeNames find stores that apply a collation, padding or an encoding to names.
var strangeNames = []string{
	"\x00", "\x00\x00", " ", "'; DROP TABLE records; --", "%", "A", "B", "\\x41", "_", "a", "a\x00",
	"a ", "a  ", "aa",
	strings.Repeat("n", 1023), strings.Repeat("n", 1024), strings.Repeat("n", 1023) + "o",
	"z", "\xc3", "a\u0308", "ä", "Ä", "日本", "\x80", "\xfe", "\xff", "\xff\x00", "\xff\xff",
}

var recordTests = []test{
	{"put, get, replace and delete", func(t *testing.T, open Opener) {
		s, other := created(t, open), open(t)
		put(t, s, key1, "name", []byte("first"))
		checkStored(t, s, "name", []byte("first"))
		checkStored(t, other, "name", []byte("first"))
		put(t, other, key1, "name", []byte("a second, longer one"))
		checkStored(t, s, "name", []byte("a second, longer one"))
		require.NoError(t, s.Delete(t.Context(), "name"))
		_, err := other.Get(t.Context(), "name")
		require.ErrorIs(t, err, fault.NotFound)
		require.ErrorIs(t, other.Delete(t.Context(), "name"), fault.NotFound)
		put(t, s, key1, "name", []byte("third"))
		checkStored(t, other, "name", []byte("third"))
	}},

	{"names are bytes in bytewise order", func(t *testing.T, open Opener) {
		s := created(t, open)
		want := slices.Clone(strangeNames)
		slices.Sort(want)
		for i, name := range strangeNames {
			put(t, s, key1, name, recordUnder(key1, fmt.Sprint(i)))
		}
		for i, name := range strangeNames {
			checkStored(t, s, name, recordUnder(key1, fmt.Sprint(i)))
		}
		for _, limit := range []int{1, 2, 7, 1000} {
			assert.Equal(t, want, names(t, s, limit))
		}
		for _, name := range strangeNames {
			require.NoError(t, s.Delete(t.Context(), name))
			require.ErrorIs(t, s.Delete(t.Context(), name), fault.NotFound, "%.40q", name)
		}
		assert.Empty(t, names(t, s, 10))
	}},

	{"Names starts after a name that need not exist", func(t *testing.T, open Opener) {
		s := created(t, open)
		for _, name := range []string{"a", "c", "e"} {
			put(t, s, key1, name, nil)
		}
		for after, want := range map[string][]string{
			"": {"a", "c"}, "\x00": {"a", "c"}, "a": {"c", "e"}, "b": {"c",
				"e"}, "c": {"e"}, "d\xff": {"e"}, "e": nil, "f": nil,
		} {
			page, err := s.Names(t.Context(), after, 2)
			require.NoError(t, err)
			if len(want) == 0 {
				assert.Empty(t, page)
			} else {
				assert.Equal(t, want, page, "after %q", after)
			}
		}
	}},

	{"records of all lengths are returned unchanged", func(t *testing.T, open Opener) {
		s := created(t, open)
		random := make([]byte, seal.MaxText+seal.Overhead)
		for i, x := 0, uint32(1); i < len(random); i++ {
			x = x*1664525 + 1013904223
			random[i] = byte(x >> 24)
		}
		lengths := []int{0, 1, 2, 3, seal.HeadSize - 1, seal.HeadSize, seal.Overhead, 255, 256, 4000,
			4095, 4096, 4097, 65535, 65536, len(random)}
		for _, n := range lengths {
			put(t, s, key1, fmt.Sprint(n), random[:n])
		}
		for _, n := range lengths {
			checkStored(t, s, fmt.Sprint(n), random[:n])
		}
		for _, b := range []byte{0x00, 0xff, '\\', '\''} {
			put(t, s, key1, "one", bytes.Repeat([]byte{b}, 3))
			checkStored(t, s, "one", bytes.Repeat([]byte{b}, 3))
		}
	}},

	{"slices belong to the caller", func(t *testing.T, open Opener) {
		s := created(t, open)
		record := []byte("record")
		put(t, s, key1, "name", record)
		record[0] = 'X'
		got, err := s.Get(t.Context(), "name")
		require.NoError(t, err)
		got[1] = 'X'
		checkStored(t, s, "name", []byte("record"))
		load(t, s).Keys[0].Wrapped[0]++
		assert.Equal(t, wrapped(key1, root1), load(t, s).Keys[0].Wrapped)
	}},

	{"Put requires the active key", func(t *testing.T, open Opener) {
		s, l := rotating(t, open, "old")
		require.ErrorIs(t, s.Put(t.Context(), key1, "old", []byte("x")), store.ErrNotActive, "retiring")
		require.ErrorIs(t, open(t).Put(t.Context(), key1, "new", []byte("x")), store.ErrNotActive,
			"retiring")
		require.ErrorIs(t, s.Put(t.Context(), key3, "new", []byte("x")), store.ErrNotActive, "unknown")
		require.ErrorIs(t, s.Put(t.Context(), 0, "new", []byte("x")), store.ErrNotActive, "none")
		checkStored(t, s, "old", recordUnder(key1, "old"))
		assert.Equal(t, []string{"old"}, names(t, s, 10))

		put(t, s, key2, "old", recordUnder(key2, "old"))
		require.NoError(t, l.Retire(t.Context(), key1, event("retire")))
		require.ErrorIs(t, s.Put(t.Context(), key1, "old", []byte("x")), store.ErrNotActive, "inactive")
		checkStored(t, s, "old", recordUnder(key2, "old"))
	}},

	{"Delete removes a record under any key", func(t *testing.T, open Opener) {
		s, l := rotating(t, open, "old")
		require.NoError(t, s.Delete(t.Context(), "old"))
		require.NoError(t, l.Retire(t.Context(), key1, event("retire")))
	}},

	{"Records returns names, keys and records in order", func(t *testing.T, open Opener) {
		s, _ := rotating(t, open, "b", "d", "a")
		put(t, s, key2, "c", recordUnder(key2, "c"))
		put(t, s, key2, "d", recordUnder(key2, "d"))
		page, err := s.Records(t.Context(), store.Range{Limit: 100, Bytes: 1 << 20})
		require.NoError(t, err)
		assert.Equal(t, []store.Record{
			{Name: "a", Key: key1, Sealed: recordUnder(key1, "a")},
			{Name: "b", Key: key1, Sealed: recordUnder(key1, "b")},
			{Name: "c", Key: key2, Sealed: recordUnder(key2, "c")},
			{Name: "d", Key: key2, Sealed: recordUnder(key2, "d")},
		}, page)

		under, err := s.Records(t.Context(), store.Range{Key: key1, Limit: 100, Bytes: 1 << 20})
		require.NoError(t, err)
		assert.Equal(t, page[:2], under)
		under, err = s.Records(t.Context(), store.Range{Key: key2, After: "c", Limit: 100,
			Bytes: 1 << 20})
		require.NoError(t, err)
		assert.Equal(t, page[3:], under)
		under, err = s.Records(t.Context(), store.Range{Key: key3, Limit: 100, Bytes: 1 << 20})
		require.NoError(t, err)
		assert.Empty(t, under)
	}},

	{"Records ends a page at Limit", func(t *testing.T, open Opener) {
		s := created(t, open)
		var want []string
		for i := range 7 {
			want = append(want, fmt.Sprint(i))
			put(t, s, key1, want[i], []byte("record"))
		}
		for _, limit := range []int{1, 2, 3, 7, 8} {
			assert.Equal(t, want, recordNames(t, s, store.Range{Limit: limit, Bytes: 1 << 20}, limit))
			assert.Equal(t, want,
				recordNames(t, s, store.Range{Key: key1, Limit: limit, Bytes: 1 << 20}, limit))
		}
	}},

	{"Records ends a page with the record that reaches Bytes", func(t *testing.T, open Opener) {
		s := created(t, open)
		for _, name := range []string{"a", "b", "c", "d"} {
			put(t, s, key1, name, make([]byte, 10))
		}
		put(t, s, key1, "e", make([]byte, 1000))
		for bytes, want := range map[int]int{1: 1, 10: 1, 11: 2, 20: 2, 21: 3, 40: 4, 41: 5, 5000: 5} {
			page, err := s.Records(t.Context(), store.Range{Limit: 100, Bytes: bytes})
			require.NoError(t, err)
			assert.Len(t, page, want, "%d bytes", bytes)
		}
		page, err := s.Records(t.Context(), store.Range{After: "d", Limit: 100, Bytes: 1})
		require.NoError(t, err)
		require.Len(t, page, 1)
		assert.Len(t, page[0].Sealed, 1000)
		assert.Equal(t, []string{"a", "b", "c", "d", "e"},
			recordNames(t, s, store.Range{Limit: 100, Bytes: 15}, 2))
	}},

	{"Count counts by key", func(t *testing.T, open Opener) {
		s, _ := rotating(t, open, "a", "b", "c")
		put(t, s, key2, "c", nil)
		put(t, s, key2, "d", nil)
		put(t, s, key2, "e", nil)
		count, err := s.Count(t.Context())
		require.NoError(t, err)
		assert.Equal(t, map[seal.KeyID]int{key1: 2, key2: 3}, count)
	}},

	{"the key of a record is the one given to Put", func(t *testing.T, open Opener) {
		s := created(t, open)
		put(t, s, key1, "name", recordUnder(key3, "text"))
		page, err := s.Records(t.Context(), store.Range{Key: key1, Limit: 1, Bytes: 1})
		require.NoError(t, err)
		require.Len(t, page, 1)
		assert.Equal(t, key1, page[0].Key)
	}},
}

// recordNames returns the names of all records in r, and checks that no page has more than
// maxLen.
func recordNames(t *testing.T, s store.Store, r store.Range, maxLen int) []string {
	t.Helper()
	var all []string
	for {
		page, err := s.Records(t.Context(), r)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), maxLen)
		if len(page) == 0 {
			return all
		}
		require.Greater(t, page[0].Name, r.After)
		for _, b := range page {
			all = append(all, b.Name)
		}
		r.After = all[len(all)-1]
	}
}
