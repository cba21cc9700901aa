package boltstore

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// filled returns a store with a keyring that has n records of 32 bytes of text under its
// active key 1.
func filled(tb testing.TB, n int) *Store {
	s := New(filepath.Join(tb.TempDir(), "keyring.db"))
	made, err := s.Create(tb.Context(), seal.Fingerprint{},
		store.Key{ID: 1, Wrapped: make([]byte, 77)}, store.Event{})
	require.NoError(tb, err)
	require.True(tb, made)
	order := rand.New(rand.NewPCG(1, 1)).Perm(n)
	for len(order) > 0 {
		batch := order[:min(len(order), 10_000)]
		order = order[len(batch):]
		require.NoError(tb, s.update(tb.Context(), func(tx *txn) error {
			for _, i := range batch {
				if err := tx.putRecord([]byte(name(i)), 1, record(1, i)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	return s
}

func name(i int) string { return fmt.Sprintf("service-%05d/password", i) }

func record(id seal.KeyID, i int) []byte {
	b := make([]byte, 32+seal.Overhead)
	b[0] = 1
	binary.BigEndian.PutUint64(b[1:], uint64(id))
	binary.BigEndian.PutUint64(b[12:], uint64(i))
	for j := seal.HeadSize; j < len(b); j++ {
		b[j] = byte(i * j)
	}
	return b
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1, 100_000} {
		s := filled(b, n)
		// whether this Store has verified the file
		for _, mode := range []string{"verified", "unverified"} {
			b.Run(fmt.Sprintf("%d/%s", n, mode), func(b *testing.B) {
				if mode == "unverified" {
					s = New(s.path)
				}
				for i := 0; b.Loop(); i++ {
					if _, err := s.Get(b.Context(), name(i*7919%n)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("%d/first miss", n), func(b *testing.B) {
			for b.Loop() {
				_, _ = New(s.path).Get(b.Context(), "nothing")
			}
		})
		b.Run(fmt.Sprintf("%d/next miss", n), func(b *testing.B) {
			for b.Loop() {
				_, _ = s.Get(b.Context(), "nothing")
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	for _, n := range []int{1, 100_000} {
		s := filled(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := s.Put(b.Context(), 1, name(i*7919%n), record(1, i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMove moves 100 000 records to another key, as a rotation does.
func BenchmarkMove(b *testing.B) {
	const n = 100_000
	for _, size := range []int{1000, 4000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := filled(b, n)
			l, err := s.Acquire(b.Context())
			require.NoError(b, err)
			from := seal.KeyID(1)
			for b.Loop() {
				to := from + 1
				require.NoError(b, l.Activate(b.Context(), seal.Fingerprint{}, from, store.Key{ID: to},
					store.Event{}))
				moved, after := 0, ""
				var moving time.Duration
				for {
					page, err := s.Records(b.Context(), store.Range{Key: from, After: after, Limit: size,
						Bytes: 1 << 20})
					require.NoError(b, err)
					if len(page) == 0 {
						break
					}
					var swaps []store.Swap
					for i, x := range page {
						swaps = append(swaps, store.Swap{Name: x.Name, Head: x.Sealed[:seal.HeadSize],
							Sealed: record(to, i)})
					}
					start := time.Now()
					m, err := l.Move(b.Context(), from, to, swaps)
					require.NoError(b, err)
					moving += time.Since(start)
					moved += m
					after = page[len(page)-1].Name
				}
				require.Equal(b, n, moved)
				require.NoError(b, l.Retire(b.Context(), from, store.Event{}))
				b.ReportMetric(moving.Seconds(), "s-moving/op")
				from = to
			}
		})
	}
}
