package pages_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/pages"
)

// Files that bbolt writes pass Check and contain what was put, after growth and shrinkage,
// with deep trees and overflowing pages, after commits, rollbacks and reopening.
func TestCheck_randomFiles(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("PAGES_ROUNDS"))
	seeds := 4
	if testing.Short() {
		seeds = 2
	}
	for seed := range uint64(max(rounds, seeds)) {
		t.Run(fmt.Sprint("seed ", seed),
			func(t *testing.T) { checkRandomFile(t, rand.New(rand.NewPCG(seed, uint64(rounds)))) })
	}
}

func checkRandomFile(t *testing.T, random *rand.Rand) {
	path := filepath.Join(t.TempDir(), "db")
	options := &bbolt.Options{
		NoSync: true, PageSize: 1024 << random.IntN(3),
		FreelistType: []bbolt.FreelistType{bbolt.FreelistArrayType,
			bbolt.FreelistMapType}[random.IntN(2)],
	}
	names := []string{"a", "b", "c"}
	want := map[string]map[string]string{}
	db, err := bbolt.Open(path, 0o600, options)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		for _, name := range names {
			want[name] = map[string]string{}
			_, err := tx.CreateBucket([]byte(name))
			require.NoError(t, err)
		}
		return nil
	}))

	space := 1 + random.IntN(2000) // how many different keys
	maxPadding := []int{0, 200, 1000}[random.IntN(3)]
	for round := range 30 {
		tx, err := db.Begin(true)
		require.NoError(t, err)
		changed := map[string]map[string]string{}
		grow := random.IntN(101)
		for _, name := range names {
			changed[name] = maps.Clone(want[name])
			b := tx.Bucket([]byte(name))
			for range random.IntN(1 + random.IntN(600)) {
				key := fmt.Sprint(random.IntN(space))
				if maxPadding > 0 {
					key += string(bytes.Repeat([]byte{byte(random.Uint32())}, random.IntN(maxPadding)))
				}
				if random.IntN(100) < grow {
					value := make([]byte, random.IntN(60))
					if random.IntN(50) == 0 {
						value = make([]byte, random.IntN(20000))
					}
					for i := range value {
						value[i] = byte(random.Uint32())
					}
					require.NoError(t, b.Put([]byte(key), value))
					changed[name][key] = string(value)
					continue
				}
				for _, k := range slices.Sorted(maps.Keys(changed[name])) { // a run of neighbours
					if k >= key {
						require.NoError(t, b.Delete([]byte(k)))
						delete(changed[name], k)
						if random.IntN(6) == 0 {
							break
						}
					}
				}
			}
		}
		if random.IntN(8) == 0 {
			require.NoError(t, tx.Rollback())
		} else {
			require.NoError(t, tx.Commit())
			want = changed
		}
		if random.IntN(4) == 0 {
			require.NoError(t, db.Close())
			db, err = bbolt.Open(path, 0o600, options)
			require.NoError(t, err)
		}
		checkContent(t, path, want, fmt.Sprint("round ", round))
	}
	require.NoError(t, db.Close())
}

// checkContent checks that the file is valid and contains exactly want.
func checkContent(t *testing.T, path string, want map[string]map[string]string, when string) {
	t.Helper()
	f := open(t, path)
	got := map[string]map[string]string{}
	for name := range want {
		got[name] = map[string]string{}
	}
	last := map[string]string{}
	require.NoError(t, f.Check(t.Context(), func(bucket string, e pages.Entry) error {
		value, err := e.Value()
		require.NoError(t, err)
		require.Greater(t, string(e.Key), last[bucket])
		last[bucket] = string(e.Key)
		got[bucket][string(e.Key)] = string(value)
		return nil
	}), when)
	require.True(t, maps.EqualFunc(want, got, maps.Equal[map[string]string]), when)

	for name, entries := range want {
		b, err := f.Bucket(name)
		require.NoError(t, err)
		require.NotNil(t, b)
		keys := slices.Sorted(maps.Keys(entries))
		for i, key := range keys {
			if i%17 == 0 {
				e, err := b.Get([]byte(key))
				require.NoError(t, err)
				require.NotNil(t, e)
				value, err := e.Value()
				require.NoError(t, err)
				require.Equal(t, entries[key], string(value))
			}
		}
		for _, from := range []string{"", "5", "5\x00", "777", "zzz"} {
			i, found := slices.BinarySearch(keys, from)
			var page []string
			require.NoError(t, b.Ascend([]byte(from), func(e pages.Entry) (bool, error) {
				page = append(page, string(e.Key))
				return len(page) < 40, nil
			}))
			assert.True(t, slices.Equal(keys[i:min(i+40, len(keys))], page), "from %q", from)
			if from != "" {
				e, err := b.Get([]byte(from))
				require.NoError(t, err)
				assert.Equal(t, found, e != nil)
			}
		}
	}
}

func open(t *testing.T, path string) *pages.File {
	t.Helper()
	r, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	info, err := r.Stat()
	require.NoError(t, err)
	f, err := pages.Open(r, info.Size())
	require.NoError(t, err)
	return f
}
