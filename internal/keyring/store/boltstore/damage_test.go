package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
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
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

const pageSize = 4096

// sample is a real file and what it holds.
type sample struct {
	bytes   []byte
	keys    *store.Keys
	names   []string
	records map[string]store.Record
	count   map[seal.KeyID]int
	log     []store.Event
}

// newSample makes a file with 300 records, some of which are longer than a page,
// a rotation under way, a log of several pages, and free pages.
func newSample(t *testing.T) *sample {
	s := filled(t, 290)
	ctx := t.Context()
	require.NoError(t, s.update(ctx, func(tx *txn) error {
		for i := range 10 {
			long := bytes.Repeat([]byte{byte(i)}, []int{2000, 5000, 100, 9000, 30}[i%5])
			require.NoError(t, tx.putRecord(fmt.Appendf(nil, "service-%05d/certificate", 30*i), 1, long))
		}
		for i := range 20 {
			_, err := tx.recordEvent(store.Event{Action: fmt.Sprint("event ", i), Detail: fmt.Sprintf("%0200d", i)})
			require.NoError(t, err)
		}
		return nil
	}))
	l, err := s.Acquire(ctx)
	require.NoError(t, err)
	require.NoError(t, l.Activate(ctx, seal.Fingerprint{}, 1, store.Key{ID: 2, Wrapped: make([]byte, 77)}, store.Event{}))
	var swaps []store.Swap
	for i := range 100 {
		swaps = append(swaps, store.Swap{Name: name(i), Head: record(1, i)[:seal.HeadSize], Sealed: record(2, i)})
	}
	_, err = l.Move(ctx, 1, 2, swaps)
	require.NoError(t, err)
	l.Release(ctx)

	f := capture(t, s)
	require.Len(t, f.names, 300)
	require.Len(t, f.log, 22)
	return f
}

// capture returns the file of s and what it holds.
func capture(t *testing.T, s *Store) *sample {
	ctx := t.Context()
	f := &sample{records: map[string]store.Record{}}
	var err error
	f.bytes, err = os.ReadFile(s.path)
	require.NoError(t, err)
	f.keys, err = s.Load(ctx)
	require.NoError(t, err)
	f.names, err = s.Names(ctx, "", 1000)
	require.NoError(t, err)
	all, err := s.Records(ctx, store.Range{Limit: 1000, Bytes: 1 << 30})
	require.NoError(t, err)
	for _, b := range all {
		f.records[b.Name] = b
	}
	f.count, err = s.Count(ctx)
	require.NoError(t, err)
	f.log, err = s.Events(ctx, 0, 1000)
	require.NoError(t, err)
	return f
}

// pages returns how many pages of the file are in use or free: what is behind
// them is of no use.
func (f *sample) pages() int {
	high := func(page int) uint64 { return binary.NativeEndian.Uint64(f.bytes[page*pageSize+16+40:]) }
	return int(max(high(0), high(1)))
}

// write stores the file as changed by damage.
func (f *sample) write(t *testing.T, path string, damage func(b []byte) []byte) {
	require.NoError(t, os.WriteFile(path, damage(slices.Clone(f.bytes)), 0o600))
}

// judge calls every method that reads on the file at path, and returns whether
// all was as in the sample. What is not must be reported as damage.
func (f *sample) judge(t *testing.T, path string, gets []string) (whole bool) {
	ctx := t.Context()
	s := New(path)
	whole = true
	ok := func(method string, err error) bool {
		if err == nil {
			return true
		}
		whole = false
		require.ErrorIs(t, err, fault.Corrupt, method)
		return false
	}

	for _, name := range gets {
		got, err := s.Get(ctx, name)
		if ok("Get", err) {
			require.True(t, bytes.Equal(f.records[name].Sealed, got), "Get gives a wrong record")
		}
	}
	if _, err := s.Get(ctx, "nothing"); !errors.Is(err, fault.NotFound) {
		ok("Get", err)
	}
	if keys, err := s.Load(ctx); ok("Load", err) {
		keys.Now = f.keys.Now
		require.Equal(t, f.keys, keys)
	}
	if names, err := s.Names(ctx, "", 1000); ok("Names", err) {
		require.Equal(t, f.names, names)
	}
	if records, err := s.Records(ctx, store.Range{Limit: 1000, Bytes: 1 << 30}); ok("Records", err) {
		require.Len(t, records, len(f.names))
		for i, b := range records {
			require.Equal(t, f.names[i], b.Name)
			require.Equal(t, f.records[b.Name].Key, b.Key)
			if b.Sealed == nil { // damaged: Get says so
				_, err := s.Get(ctx, b.Name)
				require.ErrorIs(t, err, fault.Corrupt)
				whole = false
				continue
			}
			require.True(t, bytes.Equal(f.records[b.Name].Sealed, b.Sealed), "Records gives a wrong record")
		}
	}
	if count, err := s.Count(ctx); ok("Count", err) {
		require.Equal(t, f.count, count)
	}
	if events, err := s.Events(ctx, 0, 1000); ok("Events", err) {
		require.Equal(t, f.log, events)
	}
	return whole
}

// judgeWrites does the same for methods that write. Those that work must leave
// a file whose structure is whole.
func (f *sample) judgeWrites(t *testing.T, path string) {
	ctx := t.Context()
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	l, err := New(path).Acquire(ctx)
	require.NoError(t, err)
	defer l.Release(ctx)

	worked := 0
	for name, call := range map[string]func(s *Store) error{
		"Put":    func(s *Store) error { return s.Put(ctx, 2, f.names[7], f.records[f.names[7]].Sealed) },
		"Delete": func(s *Store) error { return s.Delete(ctx, f.names[250]) },
		"Record": func(s *Store) error { _, err := s.RecordEvent(ctx, store.Event{Action: "new"}); return err },
		"Move": func(*Store) error {
			b := f.records[f.names[150]]
			_, err := l.Move(ctx, 1, 2, []store.Swap{{Name: b.Name, Head: b.Sealed[:seal.HeadSize], Sealed: b.Sealed}})
			return err
		},
	} {
		if err := call(New(path)); err == nil {
			worked++
		} else {
			require.ErrorIs(t, err, fault.Corrupt, name)
		}
	}
	if worked == 0 {
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(before, after), "a damaged file was written to")
		return
	}
	require.Equal(t, 4, worked, "the file is either in order or not")
	s := New(path)
	names, err := s.Names(ctx, "", 1000)
	require.NoError(t, err)
	require.Equal(t, slices.Concat(f.names[:250], f.names[251:]), names)
	for i, name := range names {
		if i%10 == 0 {
			record, err := s.Get(ctx, name)
			if err != nil {
				require.ErrorIs(t, err, fault.Corrupt)
				continue
			}
			require.True(t, bytes.Equal(f.records[name].Sealed, record))
		}
	}
	events, err := s.Events(ctx, 0, 1000)
	require.NoError(t, err)
	require.Len(t, events, len(f.log)+1)
}

func TestEveryDamagedPageIsNoticed(t *testing.T) {
	f := newSample(t)
	path := filepath.Join(t.TempDir(), "keyring.db")
	f.write(t, path, func(b []byte) []byte { return b })
	require.True(t, f.judge(t, path, f.names), "the undamaged file")
	f.judgeWrites(t, path)

	page := func(b []byte, i int) []byte { return b[i*pageSize:][:pageSize] }
	noticed := 0
	for i := range f.pages() {
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
				gets := f.names
				if raceEnabled {
					gets = some(random, f.names, 10)
				}
				whole := f.judge(t, path, gets)
				if !whole {
					noticed++
				}
				if !whole || i%5 == 0 { // four commits take their time
					f.judgeWrites(t, path)
				}
			})
		}
	}
	assert.Greater(t, noticed, f.pages()*3, "few of the damages were real ones")
}

// seed is the seed of all damage, unless the environment has another one.
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

func TestAFileThatIsCutOffIsNoticed(t *testing.T) {
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
		whole := f.judge(t, path, some(random, f.names, 3))
		assert.Equal(t, n >= f.pages()*pageSize, whole, "cut off after %d bytes", n)
		if !whole || n%(5*pageSize) == 0 {
			f.judgeWrites(t, path)
		}
	}
}

func TestARandomFlipIsNeverTakenForTheTruth(t *testing.T) {
	flips := 3000
	if raceEnabled {
		flips = 400
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
		if !f.judge(t, path, some(random, f.names, 3)) {
			noticed++
		}
		_, err = w.WriteAt(f.bytes[at:at+1], int64(at))
		require.NoError(t, err)
		if t.Failed() {
			t.Fatalf("byte %d of page %d, flipped by %#x", at%pageSize, at/pageSize, bits)
		}
	}
	t.Logf("%d of %d flips were noticed, the others were in unused space", noticed, flips)
	assert.Greater(t, noticed, flips/5)
}

// A page as it was before is in order, and so is the file with it. That it is
// not the page that was last written, as after a copy of a file in use, is
// noticed all the same. (Get does not look at the whole file; it is not asked.)
func TestAPageOfAnOlderStateIsNoticed(t *testing.T) {
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
	for i := 2; i < f.pages(); i++ { // an older meta page is the state before the last change, as a whole
		at := i * pageSize
		for _, state := range states {
			if !bytes.Equal(state[at:][:pageSize], f.bytes[at:][:pageSize]) {
				f.write(t, path, func(b []byte) []byte { copy(b[at:], state[at:][:pageSize]); return b })
				f.judge(t, path, nil)
			}
		}
	}
}

// A Store that has found the file in order sees damage that comes later.
func TestDamageAfterAProofIsNoticed(t *testing.T) {
	f := newSample(t)
	path := filepath.Join(t.TempDir(), "keyring.db")
	f.write(t, path, func(b []byte) []byte { return b })
	s := New(path)
	_, err := s.Names(t.Context(), "", 1)
	require.NoError(t, err)
	_, err = s.Get(t.Context(), "nothing")
	require.ErrorIs(t, err, fault.NotFound)

	f.write(t, path, func(b []byte) []byte { // none of the calls below needs this page
		return bytes.ReplaceAll(b, []byte(name(150)), []byte(name(150)[:10]+"!"+name(150)[11:]))
	})
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour))) // a clock tick later
	_, err = s.Names(t.Context(), "", 1)
	require.ErrorIs(t, err, fault.Corrupt)
	_, err = s.Get(t.Context(), "nothing")
	require.ErrorIs(t, err, fault.Corrupt)
	require.ErrorIs(t, s.Put(t.Context(), 2, "name", nil), fault.Corrupt)
}

// A record that is damaged hurts no other, and can be replaced or deleted.
func TestADamagedRecordHurtsOnlyItself(t *testing.T) {
	f := newSample(t)
	path := filepath.Join(t.TempDir(), "keyring.db")
	victim := "service-00180/certificate"
	text := f.records[victim].Sealed
	damaged := slices.Concat(text[:3000], []byte("!"), text[3001:])
	for name, mend := range map[string]func(s *Store) error{
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
			require.NoError(t, mend(s))
			_, err = s.Records(t.Context(), store.Range{Limit: 1000, Bytes: 1 << 30})
			require.NoError(t, err)
		})
	}
}

func TestErrorsDoNotQuoteTheFile(t *testing.T) {
	f := newSample(t)
	path := filepath.Join(t.TempDir(), "keyring.db")
	for i := 2; i < f.pages(); i++ {
		f.write(t, path, func(b []byte) []byte { b[i*pageSize+100] ^= 0xff; b[i*pageSize+10] ^= 1; return b })
		_, err := New(path).Names(t.Context(), "", 1)
		if err != nil {
			assert.NotContains(t, err.Error(), "service-")
			assert.NotContains(t, err.Error(), "event")
			assert.Contains(t, err.Error(), path)
			assert.Contains(t, err.Error(), "restore a backup")
		}
	}
}

// The file is cut off by somebody else after it was proved and mapped.
func TestAFileThatIsCutOffWhileItIsMappedDoesNotEndTheProcess(t *testing.T) {
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

		// Neither the lock of the file nor the queue of the Store is still held.
		f.write(t, path, func(b []byte) []byte { return b })
		require.NoError(t, s.Put(t.Context(), 2, "name", nil))
		require.NoError(t, New(path).Put(t.Context(), 2, "name", nil))
	}
}
