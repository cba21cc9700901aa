package boltstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// every calls every method of a Store on path, and passes each error to check.
func every(t *testing.T, path string, check func(method string, err error)) {
	ctx := t.Context()
	s := New(path)
	for method, call := range map[string]func() error{
		"Create":  func() error { _, err := create(t, path); return err },
		"Load":    func() error { _, err := s.Load(ctx); return err },
		"Reserve": func() error { return s.ReserveEncryptions(ctx, 1, 1) },
		"Get":     func() error { _, err := s.Get(ctx, name(0)); return err },
		"Put":     func() error { return s.Put(ctx, 1, name(0), record(1, 0)) },
		"Delete":  func() error { return s.Delete(ctx, name(0)) },
		"Names":   func() error { _, err := s.Names(ctx, "", 1); return err },
		"Records": func() error {
			_, err := s.Records(ctx,
				store.Range{Limit: 1, Bytes: 1})
			return err
		},
		"Count":          func() error { _, err := s.Count(ctx); return err },
		"DeleteInactive": func() error { _, err := s.DeleteInactive(ctx, store.Event{}); return err },
		"Record":         func() error { _, err := s.RecordEvent(ctx, store.Event{}); return err },
		"Events":         func() error { _, err := s.Events(ctx, 0, 1); return err },
	} {
		check(method, call())
	}
}

func create(t testing.TB, path string) (bool, error) {
	return New(path).Create(t.Context(), seal.Fingerprint{},
		store.Key{ID: 1, Wrapped: make([]byte, 77)}, store.Event{})
}

func TestFormat_foreignFile(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	db, err := bbolt.Open(foreign, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("foreign"))
		require.NoError(t, err)
		return b.Put([]byte("key"), []byte("value"))
	}))
	require.NoError(t, db.Close())
	bytes, err := os.ReadFile(foreign)
	require.NoError(t, err)

	for what, content := range map[string][]byte{
		"empty": nil, "text": []byte("password=hunter2\n"), "long": make([]byte,
			100_000), "another bbolt file": bytes,
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keyring.db")
			require.NoError(t, os.WriteFile(path, content, 0o600))
			every(t, path, func(method string, err error) {
				assert.ErrorIs(t, err, fault.Corrupt, method)
				assert.ErrorContains(t, err, path, method)
			})
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, string(content), string(after))
		})
	}
}

func TestFormat_buckets(t *testing.T) {
	for what, change := range map[string]func(tx *bbolt.Tx) error{
		"another": func(tx *bbolt.Tx) error {
			_,
				err := tx.CreateBucket([]byte("something else"))
			return err
		},
		"another with an entry": func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("something else"))
			require.NoError(t, err)
			return b.Put([]byte("key"), []byte("value"))
		},
		"no " + metaBucket:    func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(metaBucket)) },
		"no " + keysBucket:    func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(keysBucket)) },
		"no " + recordsBucket: func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(recordsBucket)) },
		"no " + eventsBucket:  func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(eventsBucket)) },
		"no entry of a key":   func(tx *bbolt.Tx) error { return tx.Bucket([]byte(keysBucket)).Delete(idKey(seal.KeyID(1))) },
		"no first row":        func(tx *bbolt.Tx) error { return tx.Bucket([]byte(metaBucket)).Delete([]byte(metaKey)) },
	} {
		path := filled(t, 0).path
		db, err := bbolt.Open(path, 0o600, nil)
		require.NoError(t, err)
		require.NoError(t, db.Update(change))
		require.NoError(t, db.Close())
		_, err = New(path).Names(t.Context(), "", 1)
		if what == "another" {
			require.NoError(t, err, "an empty bucket does no harm")
			continue
		}
		require.ErrorIs(t, err, fault.Corrupt, what)
	}
}

// Tools of bbolt may leave a file without a freelist.
func TestFormat_noFreelist(t *testing.T) {
	s := filled(t, 100)
	db, err := bbolt.Open(s.path, 0o600, &bbolt.Options{NoFreelistSync: true})
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error { return nil }))
	require.NoError(t, db.Close())
	require.NoError(t, s.Put(t.Context(), 1, name(7), record(1, 8)))
	got, err := New(s.path).Get(t.Context(), name(7))
	require.NoError(t, err)
	assert.Equal(t, record(1, 8), got)
	names, err := New(s.path).Names(t.Context(), "", 1000)
	require.NoError(t, err)
	assert.Len(t, names, 100)
}

func TestFormat_newerVersion(t *testing.T) {
	s := filled(t, 1)
	require.NoError(t, s.update(t.Context(), func(tx *txn) error {
		_, err := tx.bolt.CreateBucket([]byte("something new"))
		require.NoError(t, err)
		tx.newMeta.Schema = schema + 1
		return nil
	}))
	before, err := os.ReadFile(s.path)
	require.NoError(t, err)
	every(t, s.path, func(method string, err error) {
		assert.ErrorIs(t, err, fault.Unsupported, method)
		assert.ErrorContains(t, err, "newer program", method)
	})
	after, err := os.ReadFile(s.path)
	require.NoError(t, err)
	assert.Equal(t, before, after)
}
