package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

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
			_, err := tx.recordEvent(store.Event{Action: fmt.Sprint("event ", i),
				Detail: fmt.Sprintf("%0200d", i)})
			require.NoError(t, err)
		}
		return nil
	}))
	l, err := s.Acquire(ctx)
	require.NoError(t, err)
	require.NoError(t,
		l.Activate(ctx, seal.Fingerprint{}, 1, store.Key{ID: 2, Wrapped: make([]byte, 77)},
			store.Event{}))
	var swaps []store.Swap
	for i := range 100 {
		swaps = append(swaps, store.Swap{Name: name(i), Head: record(1, i)[:seal.HeadSize],
			Sealed: record(2, i)})
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

// pages returns the number of pages up to the high-water mark.
func (f *sample) pages() int {
	high := func(page int) uint64 { return binary.NativeEndian.Uint64(f.bytes[page*pageSize+16+40:]) }
	return int(max(high(0), high(1)))
}

// write stores the file as changed by damage.
func (f *sample) write(t *testing.T, path string, damage func(b []byte) []byte) {
	require.NoError(t, os.WriteFile(path, damage(slices.Clone(f.bytes)), 0o600))
}

// checkReads calls every method that reads on the file at path. It reports whether all
// results were as in the sample; other results must be fault.Corrupt.
func (f *sample) checkReads(t *testing.T, path string, gets []string) (intact bool) {
	ctx := t.Context()
	s := New(path)
	intact = true
	ok := func(method string, err error) bool {
		if err == nil {
			return true
		}
		intact = false
		require.ErrorIs(t, err, fault.Corrupt, method)
		return false
	}

	for _, name := range gets {
		got, err := s.Get(ctx, name)
		if ok("Get", err) {
			require.True(t, bytes.Equal(f.records[name].Sealed, got), "Get returned a wrong record")
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
				intact = false
				continue
			}
			require.True(t, bytes.Equal(f.records[b.Name].Sealed, b.Sealed),
				"Records returned a wrong record")
		}
	}
	if count, err := s.Count(ctx); ok("Count", err) {
		require.Equal(t, f.count, count)
	}
	if events, err := s.Events(ctx, 0, 1000); ok("Events", err) {
		require.Equal(t, f.log, events)
	}
	return intact
}

// checkWrites does the same for methods that write. If they succeed, the file must be
// valid afterwards.
func (f *sample) checkWrites(t *testing.T, path string) {
	ctx := t.Context()
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	l, err := New(path).Acquire(ctx)
	require.NoError(t, err)
	defer l.Release(ctx)

	succeeded := 0
	for name, call := range map[string]func(s *Store) error{
		"Put":    func(s *Store) error { return s.Put(ctx, 2, f.names[7], f.records[f.names[7]].Sealed) },
		"Delete": func(s *Store) error { return s.Delete(ctx, f.names[250]) },
		"Record": func(s *Store) error {
			_,
				err := s.RecordEvent(ctx, store.Event{Action: "new"})
			return err
		},
		"Move": func(*Store) error {
			b := f.records[f.names[150]]
			_, err := l.Move(ctx, 1, 2, []store.Swap{{Name: b.Name, Head: b.Sealed[:seal.HeadSize],
				Sealed: b.Sealed}})
			return err
		},
	} {
		if err := call(New(path)); err == nil {
			succeeded++
		} else {
			require.ErrorIs(t, err, fault.Corrupt, name)
		}
	}
	if succeeded == 0 {
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(before, after), "a damaged file was written to")
		return
	}
	require.Equal(t, 4, succeeded, "either all calls accept the file or none does")
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
