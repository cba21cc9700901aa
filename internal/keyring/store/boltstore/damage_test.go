package boltstore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

func TestDamage_everyPage(t *testing.T) {
	f := newSample(t)
	path := filepath.Join(t.TempDir(), "keyring.db")
	f.write(t, path, func(b []byte) []byte { return b })
	require.True(t, f.checkReads(t, path, f.names), "the undamaged file")
	f.checkWrites(t, path)

	page := func(b []byte, i int) []byte { return b[i*pageSize:][:pageSize] }
	noticed := 0
	step := 1
	if testing.Short() {
		step = 4
	}
	for i := 0; i < f.pages(); i += step {
		random := rand.New(rand.NewPCG(seed(), uint64(i)))
		other := (i + 1 + random.IntN(f.pages()-1)) % f.pages()
		for _, damage := range []struct {
			name string
			do   func(b []byte)
		}{
			{"a bit of the header", func(b []byte) { page(b, i)[random.IntN(16)] ^= 1 << random.IntN(8) }},
			{"a bit", func(b []byte) { page(b, i)[random.IntN(pageSize)] ^= 1 << random.IntN(8) }},
			{"a byte", func(b []byte) { page(b, i)[random.IntN(200)] ^= 0xff }},
			{"inverted", func(b []byte) {
				for j := range page(b, i) {
					page(b, i)[j] ^= 0xff
				}
			}},
			{"zeroed", func(b []byte) { clear(page(b, i)) }},
			{"swapped", func(b []byte) {
				copied := slices.Clone(page(b, i))
				copy(page(b, i), page(b, other))
				copy(page(b, other), copied)
			}},
			{"another", func(b []byte) { copy(page(b, i), page(b, other)) }},
		} {
			t.Run(fmt.Sprintf("page %d: %s", i, damage.name), func(t *testing.T) {
				f.write(t, path, func(b []byte) []byte { damage.do(b); return b })
				n := 60
				if raceEnabled || testing.Short() {
					n = 10
				}
				gets := some(random, f.names, n)
				intact := f.checkReads(t, path, gets)
				if !intact {
					noticed++
				}
				if !intact || i%5 == 0 { // four commits are slow
					f.checkWrites(t, path)
				}
			})
		}
	}
	assert.Greater(t, noticed, f.pages()/step*3, "too few changes were damage")
}

// seed returns the seed of all damage, which BOLT_SEED overrides.
func seed() uint64 {
	n, _ := strconv.ParseUint(os.Getenv("BOLT_SEED"), 10, 64)
	return n
}

func some(random *rand.Rand, names []string, n int) (list []string) {
	for range n {
		list = append(list, names[random.IntN(len(names))])
	}
	return list
}

func TestDamage_truncation(t *testing.T) {
	f := newSample(t)
	path := filepath.Join(t.TempDir(), "keyring.db")
	random := rand.New(rand.NewPCG(seed(), 0))
	lengths := []int{0, 1, 15, 16, 79, 80, 81, 100, len(f.bytes) - 1}
	for i := 1; i*pageSize < len(f.bytes); i++ {
		lengths = append(lengths, i*pageSize)
		if i <= f.pages() {
			lengths = append(lengths, i*pageSize-1, i*pageSize+1)
		}
	}
	for _, n := range lengths {
		f.write(t, path, func(b []byte) []byte { return b[:n] })
		intact := f.checkReads(t, path, some(random, f.names, 3))
		assert.Equal(t, n >= f.pages()*pageSize, intact, "truncated after %d bytes", n)
		if !intact || n%(5*pageSize) == 0 {
			f.checkWrites(t, path)
		}
	}
}

func TestDamage_randomFlips(t *testing.T) {
	flips := 1200
	if raceEnabled || testing.Short() {
		flips = 200
	}
	f := newSample(t)
	path := filepath.Join(t.TempDir(), "keyring.db")
	f.write(t, path, func(b []byte) []byte { return b })
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer w.Close()
	random := rand.New(rand.NewPCG(seed(), 0))
	noticed := 0
	for range flips {
		at, bits := random.IntN(f.pages()*pageSize), byte(1+random.IntN(255))
		if random.IntN(2) == 0 {
			bits = 1 << random.IntN(8)
		}
		_, err := w.WriteAt([]byte{f.bytes[at] ^ bits}, int64(at))
		require.NoError(t, err)
		if !f.checkReads(t, path, some(random, f.names, 3)) {
			noticed++
		}
		_, err = w.WriteAt(f.bytes[at:at+1], int64(at))
		require.NoError(t, err)
		if t.Failed() {
			t.Fatalf("byte %d of page %d, flipped by %#x", at%pageSize, at/pageSize, bits)
		}
	}
	t.Logf("%d of %d flips were noticed; the others were in unused space", noticed, flips)
	assert.Greater(t, noticed, flips/5)
}

// An older version of a page is valid, and so is the structure of a file with it, as after
// a copy of a file in use. The checksum over all entries shows it. Get, which does not
// verify the whole file, is left out.
func TestDamage_stalePage(t *testing.T) {
	s := filled(t, 60)
	random := rand.New(rand.NewPCG(seed(), 0))
	var states [][]byte
	for i := range 12 {
		require.NoError(t, s.update(t.Context(), func(tx *txn) error {
			n := random.IntN(60)
			if i%3 == 0 {
				_, err := tx.recordEvent(store.Event{Action: fmt.Sprint(i)})
				return err
			}
			return tx.putRecord([]byte(name(n)), 1, record(1, i))
		}))
		state, err := os.ReadFile(s.path)
		require.NoError(t, err)
		states = append(states, state)
	}
	f := capture(t, s)
	path := filepath.Join(t.TempDir(), "keyring.db")
	for i := 2; i < f.pages(); i++ { // an older meta page makes the whole file the previous state
		at := i * pageSize
		for _, state := range states {
			if !bytes.Equal(state[at:][:pageSize], f.bytes[at:][:pageSize]) {
				f.write(t, path, func(b []byte) []byte { copy(b[at:], state[at:][:pageSize]); return b })
				f.checkReads(t, path, nil)
			}
		}
	}
}

// A Store that has verified the file notices later damage.
func TestDamage_afterVerification(t *testing.T) {
	f := newSample(t)
	path := filepath.Join(t.TempDir(), "keyring.db")
	f.write(t, path, func(b []byte) []byte { return b })
	s := New(path)
	_, err := s.Names(t.Context(), "", 1)
	require.NoError(t, err)
	_, err = s.Get(t.Context(), "nothing")
	require.ErrorIs(t, err, fault.NotFound)

	f.write(t, path, func(b []byte) []byte { // the calls below do not need this page
		return bytes.ReplaceAll(b, []byte(name(150)), []byte(name(150)[:10]+"!"+name(150)[11:]))
	})
	// as if the clock had ticked
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
	_, err = s.Names(t.Context(), "", 1)
	require.ErrorIs(t, err, fault.Corrupt)
	_, err = s.Get(t.Context(), "nothing")
	require.ErrorIs(t, err, fault.Corrupt)
	require.ErrorIs(t, s.Put(t.Context(), 2, "name", nil), fault.Corrupt)
}

// Damage within a record affects only this record, which can be replaced or deleted.
func TestDamage_singleRecord(t *testing.T) {
	f := newSample(t)
	path := filepath.Join(t.TempDir(), "keyring.db")
	victim := "service-00180/certificate"
	text := f.records[victim].Sealed
	damaged := slices.Concat(text[:3000], []byte("!"), text[3001:])
	for name, repair := range map[string]func(s *Store) error{
		"Put":    func(s *Store) error { return s.Put(t.Context(), 2, victim, []byte("new")) },
		"Delete": func(s *Store) error { return s.Delete(t.Context(), victim) },
	} {
		t.Run(name, func(t *testing.T) {
			f.write(t, path, func(b []byte) []byte { return bytes.ReplaceAll(b, text, damaged) })
			s := New(path)
			_, err := s.Get(t.Context(), victim)
			require.ErrorIs(t, err, fault.Corrupt)
			records, err := s.Records(t.Context(), store.Range{Limit: 1000, Bytes: 1 << 30})
			require.NoError(t, err)
			for _, b := range records {
				if b.Name == victim {
					assert.Nil(t, b.Sealed)
					assert.EqualValues(t, 1, b.Key)
				} else {
					assert.Equal(t, f.records[b.Name], b)
				}
			}
			require.NoError(t, repair(s))
			_, err = s.Records(t.Context(), store.Range{Limit: 1000, Bytes: 1 << 30})
			require.NoError(t, err)
		})
	}
}

func TestDamage_errorsDoNotQuoteFile(t *testing.T) {
	f := newSample(t)
	path := filepath.Join(t.TempDir(), "keyring.db")
	for i := 2; i < f.pages(); i++ {
		f.write(t, path,
			func(b []byte) []byte { b[i*pageSize+100] ^= 0xff; b[i*pageSize+10] ^= 1; return b })
		_, err := New(path).Names(t.Context(), "", 1)
		if err != nil {
			assert.NotContains(t, err.Error(), "service-")
			assert.NotContains(t, err.Error(), "event")
			assert.Contains(t, err.Error(), path)
			assert.Contains(t, err.Error(), "restore a backup")
		}
	}
}

// Another process truncates the file after it was verified and mapped.
func TestDamage_truncationWhileMapped(t *testing.T) {
	f := newSample(t)
	path := filepath.Join(t.TempDir(), "keyring.db")
	for _, n := range []int64{0, pageSize, 3 * pageSize, int64(f.pages()/2) * pageSize} {
		f.write(t, path, func(b []byte) []byte { return b })
		s := New(path)
		err := s.update(t.Context(), func(tx *txn) error {
			require.NoError(t, os.Truncate(path, n))
			for i := range 290 {
				if err := tx.putRecord([]byte(name(i)), 2, record(2, i)); err != nil {
					return err
				}
			}
			return nil
		})
		require.ErrorIs(t, err, fault.Corrupt)

		// Neither the lock of the file nor the queue of the Store is held any more.
		f.write(t, path, func(b []byte) []byte { return b })
		require.NoError(t, s.Put(t.Context(), 2, "name", nil))
		require.NoError(t, New(path).Put(t.Context(), 2, "name", nil))
	}
}
