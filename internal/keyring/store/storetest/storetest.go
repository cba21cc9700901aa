// Package storetest is the conformance suite for implementations of store.Store. The doc
// comment of package store says how to use it and what it does not cover.
package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// Opener opens a Store on the place of one keyring. Each call opens another one, like another
// process or node, and closes it when the test ends.
type Opener func(t testing.TB) store.Store

// Run runs the suite. Each test calls fresh once, for a place without a keyring.
func Run(t *testing.T, fresh func(t testing.TB) Opener) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"create", createTests},
		{"keys", keyTests},
		{"records", recordTests},
		{"move", moveTests},
		{"lease", leaseTests},
		{"events", eventTests},
		{"context", contextTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
			}
		})
	}
}

type test struct {
	name string
	run  func(t *testing.T, open Opener)
}

// The ids use all 64 bits, which a column of signed integers could reject or order
// differently.
const (
	key1 seal.KeyID = 0xf000_0000_0000_0001
	key2 seal.KeyID = 0x0000_0000_0000_0002
	key3 seal.KeyID = 0xffff_ffff_ffff_ffff
)

var (
	root1 = seal.Fingerprint{1, 0, 0xff, 3, 4, 5, 6, 7}
	root2 = seal.Fingerprint{2}
)

// newKey returns a key as a caller passes it to Create or Activate.
func newKey(id seal.KeyID) store.Key {
	return store.Key{ID: id, Wrapped: wrapped(id, root1)}
}

// wrapped returns bytes that look like a wrapped key.
func wrapped(id seal.KeyID, root seal.Fingerprint) []byte {
	w := append([]byte{1}, root[:]...)
	w = binary.BigEndian.AppendUint64(w, uint64(id))
	return append(w, bytes.Repeat([]byte{0x00, 0xff, '\'', '\\'}, 15)...)
}

// recordUnder returns bytes that look like a record under id.
func recordUnder(id seal.KeyID, text string) []byte {
	b := binary.BigEndian.AppendUint64([]byte{1}, uint64(id))
	b = append(b, "nonce "...)
	b = append(b, (text + "............")[:6]...)
	return append(append(b, text...), "tag tag tag tag "...)
}

// head returns what a Swap of record needs.
func head(record []byte) []byte { return record[:min(len(record), seal.HeadSize)] }

func event(action string) store.Event {
	return store.Event{Actor: "tester", Action: action, Outcome: "ok"}
}

// created returns a Store with a keyring whose active key is key1.
func created(t *testing.T, open Opener) store.Store {
	s := open(t)
	made, err := s.Create(t.Context(), root1, newKey(key1), event("create"))
	require.NoError(t, err)
	require.True(t, made)
	return s
}

// rotating returns a Store during a rotation from key1 to key2. The named records are
// still under key1.
func rotating(t *testing.T, open Opener, names ...string) (store.Store, store.Lease) {
	s := created(t, open)
	for _, name := range names {
		put(t, s, key1, name, recordUnder(key1, name))
	}
	l := acquire(t, s)
	require.NoError(t, l.Activate(t.Context(), root1, key1, newKey(key2), event("activate")))
	return s, l
}

// retired returns a Store in which key1 is inactive and key2 active.
func retired(t *testing.T, open Opener) (store.Store, store.Lease) {
	s, l := rotating(t, open)
	require.NoError(t, l.Retire(t.Context(), key1, event("retire")))
	return s, l
}

func acquire(t *testing.T, s store.Store) store.Lease {
	l, err := s.Acquire(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { l.Release(context.Background()) })
	return l
}

func put(t *testing.T, s store.Store, id seal.KeyID, name string, record []byte) {
	t.Helper()
	require.NoError(t, s.Put(t.Context(), id, name, record))
}

// checkStored checks that exactly record is stored under name.
func checkStored(t *testing.T, s store.Store, name string, record []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), name)
	if assert.NoError(t, err) {
		assert.True(t, bytes.Equal(record, got),
			"the record %.40q differs from the one that was stored", name)
	}
}

func load(t *testing.T, s store.Store) *store.Keys {
	t.Helper()
	keys, err := s.Load(t.Context())
	require.NoError(t, err)
	return keys
}

// states returns the keys of s by state.
func states(t *testing.T, s store.Store) map[seal.KeyID]store.State {
	t.Helper()
	m := map[seal.KeyID]store.State{}
	for _, k := range load(t, s).Keys {
		m[k.ID] = k.State
	}
	return m
}

// log returns all events of s.
func log(t *testing.T, s store.Store) []store.Event {
	t.Helper()
	events, err := s.Events(t.Context(), 0, 1000)
	require.NoError(t, err)
	return events
}

// actions returns the actions of all events of s.
func actions(t *testing.T, s store.Store) []string {
	t.Helper()
	var list []string
	for _, e := range log(t, s) {
		list = append(list, e.Action)
	}
	return list
}

// names returns all names of s, read in pages of limit.
func names(t *testing.T, s store.Store, limit int) []string {
	t.Helper()
	var all []string
	for after := ""; ; after = all[len(all)-1] {
		page, err := s.Names(t.Context(), after, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), limit)
		if len(page) == 0 {
			return all
		}
		require.Greater(t, page[0], after)
		all = append(all, page...)
	}
}

// checkRecent checks that at is less than a minute before now.
func checkRecent(t *testing.T, now, at time.Time) {
	t.Helper()
	assert.False(t, at.After(now), "%v is in the future of %v", at, now)
	assert.Less(t, now.Sub(at), time.Minute)
}
