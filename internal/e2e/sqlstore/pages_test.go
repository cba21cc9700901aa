package sqlstore_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
)

// large returns a record of the maximum length.
func large(id seal.KeyID, fill string) []byte {
	return recordUnder(id, fill+string(bytes.Repeat([]byte{0x00, 0xff, '\'', '\\'},
		(seal.MaxText+seal.Overhead)/4)))[:seal.MaxText+seal.Overhead]
}

func TestRecords_largeTransfersOnlyPage(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		d := s.shared(t)
		st := created(t, s, d.Open(t))
		for i := range 12 {
			require.NoError(t, st.Put(t.Context(), key1, fmt.Sprintf("%02d", i), large(key1, fmt.Sprint(i))))
		}
		line := newLine(t, d)
		received := &line.received
		st = sqlstore.New(line.open(t, d), s.dialect)
		for _, under := range []seal.KeyID{0, key1} {
			before := received.Load()
			page, err := st.Records(t.Context(), store.Range{Key: under, After: "01", Limit: 1000,
				Bytes: 4 << 20})
			require.NoError(t, err)
			assert.Len(t, page, 4)
			// Hexadecimal digits, if the driver has the database send text.
			assert.Less(t, received.Load()-before, int64(9<<20))
		}
		before := received.Load()
		names, err := st.Names(t.Context(), "", 1000)
		require.NoError(t, err)
		assert.Len(t, names, 12)
		_, err = st.Count(t.Context())
		require.NoError(t, err)
		assert.Less(t, received.Load()-before, int64(1<<20))
	})
}

func TestMove_largeRecords(t *testing.T) {
	for _, row := range []struct {
		server
		params []string
	}{
		{postgres, nil},
		{mariadb, nil},
		{mariadb, []string{"interpolateParams=true"}},
	} {
		t.Run(row.name+strings.Join(row.params, ""), func(t *testing.T) {
			t.Parallel()
			st := created(t, row.server, row.shared(t).Open(t, row.params...))
			const n = 3
			var swaps []store.Swap
			for i := range n {
				name, record := fmt.Sprint(i), large(key1, fmt.Sprintf("%012d", i))
				require.NoError(t, st.Put(t.Context(), key1, name, record))
				swaps = append(swaps, store.Swap{Name: name, Head: record[:seal.HeadSize], Sealed: large(key2,
					fmt.Sprintf("%012d", i))})
			}
			l := acquire(t, st)
			require.NoError(t, l.Activate(t.Context(), root, key1, newKey(key2), event("activate")))
			moved, err := l.Move(t.Context(), key1, key2, swaps)
			require.NoError(t, err)
			assert.Equal(t, n, moved)
			for i, swap := range swaps {
				got, err := st.Get(t.Context(), fmt.Sprint(i))
				require.NoError(t, err)
				require.True(t, bytes.Equal(swap.Sealed, got))
			}
			require.NoError(t, l.Retire(t.Context(), key1, event("retire")))
		})
	}
}

// A database may truncate records in a temporary table.
func TestMove_allSizes(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		st := created(t, s, s.shared(t).Open(t))
		text := string(bytes.Repeat([]byte{0x00, 0xff, '\'', '\\', '?'}, 70_000))
		var swaps []store.Swap
		for i, size := range []int{0, 1, 100, 255, 256, 8191, 16_384, 65_000, 65_535, 65_536, 70_000,
			131_072, 300_000, 10} {
			name := fmt.Sprintf("%02d", i)
			record := func(id seal.KeyID) []byte {
				return recordUnder(id,
					fmt.Sprintf("%012d", i)+text[:size])
			}
			require.NoError(t, st.Put(t.Context(), key1, name, record(key1)))
			swaps = append(swaps, store.Swap{Name: name, Head: record(key1)[:seal.HeadSize],
				Sealed: record(key2)})
		}
		l := acquire(t, st)
		require.NoError(t, l.Activate(t.Context(), root, key1, newKey(key2), event("activate")))
		moved, err := l.Move(t.Context(), key1, key2, swaps)
		require.NoError(t, err)
		assert.Equal(t, len(swaps), moved)
		for _, swap := range swaps {
			got, err := st.Get(t.Context(), swap.Name)
			require.NoError(t, err)
			require.True(t, bytes.Equal(swap.Sealed, got), "%d bytes have become %d", len(swap.Sealed),
				len(got))
		}
		page, err := st.Records(t.Context(), store.Range{Limit: 100, Bytes: len(swaps[0].Sealed) + 1})
		require.NoError(t, err)
		require.Len(t, page, 2)
	})
}

func TestKeyIDs(t *testing.T) {
	onEach(t, func(t *testing.T, s server) {
		for _, id := range []seal.KeyID{1, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
			st := sqlstore.New(s.shared(t).Open(t), s.dialect)
			_, err := st.Create(t.Context(), root, newKey(id), store.Event{Keys: []seal.KeyID{id}})
			require.NoError(t, err)
			require.NoError(t, st.Put(t.Context(), id, "a", recordUnder(id, "a")))
			count, err := st.Count(t.Context())
			require.NoError(t, err)
			assert.Equal(t, map[seal.KeyID]int{id: 1}, count)
			assert.Equal(t, []string{"a"}, under(t, st, id))
			keys, err := st.Load(t.Context())
			require.NoError(t, err)
			assert.Equal(t, id, keys.Active().ID)
			events, err := st.Events(t.Context(), 0, 1)
			require.NoError(t, err)
			assert.Equal(t, []seal.KeyID{id}, events[0].Keys)
		}
	})
}
