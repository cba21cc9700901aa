package boltstore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/flock"
)

// every calls all methods of a Store on path, and shows each error to check.
func every(t *testing.T, path string, check func(method string, err error)) {
	ctx := t.Context()
	s := New(path)
	for method, call := range map[string]func() error{
		"Create":         func() error { _, err := create(t, path); return err },
		"Load":           func() error { _, err := s.Load(ctx); return err },
		"Reserve":        func() error { return s.ReserveEncryptions(ctx, 1, 1) },
		"Get":            func() error { _, err := s.Get(ctx, name(0)); return err },
		"Put":            func() error { return s.Put(ctx, 1, name(0), record(1, 0)) },
		"Delete":         func() error { return s.Delete(ctx, name(0)) },
		"Names":          func() error { _, err := s.Names(ctx, "", 1); return err },
		"Records":        func() error { _, err := s.Records(ctx, store.Range{Limit: 1, Bytes: 1}); return err },
		"Count":          func() error { _, err := s.Count(ctx); return err },
		"DeleteInactive": func() error { _, err := s.DeleteInactive(ctx, store.Event{}); return err },
		"Record":         func() error { _, err := s.RecordEvent(ctx, store.Event{}); return err },
		"Events":         func() error { _, err := s.Events(ctx, 0, 1); return err },
	} {
		check(method, call())
	}
}

func create(t testing.TB, path string) (bool, error) {
	return New(path).Create(t.Context(), seal.Fingerprint{}, store.Key{ID: 1, Wrapped: make([]byte, 77)}, store.Event{})
}

func TestAFileThatIsNoKeyringIsLeftAlone(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	db, err := bbolt.Open(foreign, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("somebody else's"))
		require.NoError(t, err)
		return b.Put([]byte("key"), []byte("value"))
	}))
	require.NoError(t, db.Close())
	bytes, err := os.ReadFile(foreign)
	require.NoError(t, err)

	for what, content := range map[string][]byte{
		"empty": nil, "text": []byte("password=hunter2\n"), "long": make([]byte, 100_000), "another bbolt file": bytes,
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

func TestAKeyringHasExactlyItsBuckets(t *testing.T) {
	for what, change := range map[string]func(tx *bbolt.Tx) error{
		"another": func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("something else")); return err },
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
			require.NoError(t, err, "it holds nothing")
			continue
		}
		require.ErrorIs(t, err, fault.Corrupt, what)
	}
}

// Tools of bbolt may leave a file without a list of free pages.
func TestAFileWithoutAListOfFreePagesIsUsed(t *testing.T) {
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

func TestAFileOfANewerProgramIsLeftAlone(t *testing.T) {
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

func TestAKeyringNeedsADirectory(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for _, path := range []string{filepath.Join(dir, "none", "keyring.db"), filepath.Join(dir, "file", "keyring.db")} {
		every(t, path, func(method string, err error) {
			assert.ErrorIs(t, err, fault.NotFound, method)
			assert.ErrorContains(t, err, "director", method)
		})
		_, err := New(path).Acquire(t.Context())
		require.ErrorIs(t, err, fault.NotFound)
	}
	every(t, dir, func(method string, err error) {
		assert.ErrorIs(t, err, fault.Unsupported, method)
	})
}

func TestCallsOnAMissingFileSayThatThereIsNoKeyring(t *testing.T) {
	dir := t.TempDir()
	s := New(filepath.Join(dir, "keyring.db"))
	_, err := s.Get(t.Context(), "name")
	require.ErrorIs(t, err, store.ErrEmpty)
	require.ErrorIs(t, s.Put(t.Context(), 1, "name", nil), store.ErrEmpty)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "looking leaves no traces")
}

func TestCreateLeavesOneFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keyring.db")
	for _, left := range []string{path + ".new", path + ".new.lock"} { // by a process that was killed
		require.NoError(t, os.WriteFile(left, make([]byte, 5000), 0o600))
	}
	made, err := create(t, path)
	require.NoError(t, err)
	require.True(t, made)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, "keyring.db", entries[0].Name())
}

func TestAnUnfinishedFileNeverHasItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	s := New(path)
	stop := fmt.Errorf("stop")
	made, err := s.create(t.Context(), func(*txn) error {
		assert.NoFileExists(t, path)
		assert.FileExists(t, path+".new")
		return stop
	})
	require.ErrorIs(t, err, stop)
	assert.False(t, made)
	assert.NoFileExists(t, path)
	assert.NoFileExists(t, path+".new")

	// A file that appears meanwhile is not replaced.
	made, err = s.create(t.Context(), func(tx *txn) error {
		require.NoError(t, os.WriteFile(path, []byte("restored"), 0o600))
		return tx.initialize(seal.Fingerprint{}, store.Key{ID: 1}, store.Event{})
	})
	require.NoError(t, err)
	assert.False(t, made)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "restored", string(content))
}

func TestWhoeverCreatesDoesSoAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	made, err := New(path).create(t.Context(), func(tx *txn) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		_, err := New(path).Create(ctx, seal.Fingerprint{}, store.Key{ID: 2}, store.Event{})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, path)
		return tx.initialize(seal.Fingerprint{}, store.Key{ID: 1}, store.Event{})
	})
	require.NoError(t, err)
	assert.True(t, made)
	made, err = create(t, path)
	require.NoError(t, err)
	assert.False(t, made)
}

func TestALinkLeadsToTheSameKeyring(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
	file := filepath.Join(dir, "data", "keyring.db")
	link, twice := filepath.Join(dir, "link.db"), filepath.Join(dir, "twice.db")
	if err := os.Symlink(filepath.Join("data", "keyring.db"), link); err != nil {
		t.Skip(err)
	}
	require.NoError(t, os.Symlink(link, twice))

	_, err := New(twice).Load(t.Context())
	require.ErrorIs(t, err, store.ErrEmpty)
	made, err := create(t, twice)
	require.NoError(t, err)
	require.True(t, made)
	assert.FileExists(t, file)
	for _, path := range []string{file, link, twice} {
		made, err := create(t, path)
		require.NoError(t, err)
		assert.False(t, made)
		require.NoError(t, New(path).Put(t.Context(), 1, path, []byte("record")))
	}
	names, err := New(file).Names(t.Context(), "", 10)
	require.NoError(t, err)
	assert.Len(t, names, 3)

	l, err := New(link).Acquire(t.Context())
	require.NoError(t, err)
	for _, path := range []string{file, link, twice} {
		_, err := New(path).Acquire(t.Context())
		require.ErrorIs(t, err, fault.RotationInProgress)
	}
	l.Release(t.Context())
	assert.FileExists(t, file+".lock")
	assert.NoFileExists(t, link+".lock")

	astray := filepath.Join(dir, "astray.db")
	require.NoError(t, os.Symlink(filepath.Join(dir, "none", "keyring.db"), astray))
	_, err = New(astray).Load(t.Context())
	require.ErrorIs(t, err, fault.NotFound)
	_, err = create(t, astray)
	require.ErrorIs(t, err, fault.NotFound)
}

func TestANetworkFileSystemIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	var asked []string
	s := New(path)
	s.network = func(path string) (string, error) {
		asked = append(asked, path)
		if len(asked)%2 == 1 {
			return "", os.ErrNotExist
		}
		return "NFS", nil
	}
	_, err := s.Load(t.Context())
	require.ErrorIs(t, err, fault.Unsupported)
	require.ErrorContains(t, err, "SQLStore")
	require.ErrorContains(t, err, "NFS")
	require.Equal(t, []string{path, filepath.Dir(path)}, asked)
	require.ErrorIs(t, s.Put(t.Context(), 1, "name", nil), fault.Unsupported)
	_, err = s.Acquire(t.Context())
	require.ErrorIs(t, err, fault.Unsupported)
	_, err = s.Create(t.Context(), seal.Fingerprint{}, store.Key{}, store.Event{})
	require.ErrorIs(t, err, fault.Unsupported)
	assert.NoFileExists(t, path+".lock")

	times := 0
	s = New(path)
	s.network = func(string) (string, error) { times++; return "", nil }
	for range 3 {
		_, err = s.Load(t.Context())
		require.ErrorIs(t, err, store.ErrEmpty)
	}
	assert.Equal(t, 1, times, "asked once")
}

func TestALockThatCannotBeIsGivenUp(t *testing.T) {
	s := filled(t, 0)
	if err := os.Symlink("nowhere", s.path+".lock"); err != nil {
		t.Skip(err)
	}
	_, err := s.Acquire(t.Context())
	require.ErrorIs(t, err, fault.Unavailable)
}

func TestALeaseEndsWithItsLockFile(t *testing.T) {
	s := filled(t, 0)
	l, err := s.Acquire(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.Remove(s.path+".lock"))
	require.ErrorIs(t, l.Renew(t.Context()), fault.RotationInProgress)

	other, err := New(s.path).Acquire(t.Context())
	require.NoError(t, err)
	err = l.Activate(t.Context(), seal.Fingerprint{}, 1, store.Key{ID: 2}, store.Event{})
	require.ErrorIs(t, err, fault.RotationInProgress)
	require.NoError(t, other.Renew(t.Context()))
}

func TestAKeyWithRecordsIsNotDeleted(t *testing.T) {
	s := filled(t, 10)
	require.NoError(t, s.update(t.Context(), func(tx *txn) error {
		return tx.putKey(store.Key{ID: 2, State: store.Inactive, Wrapped: []byte("w")})
	}))
	require.NoError(t, s.update(t.Context(), func(tx *txn) error { return tx.putRecord([]byte("z"), 2, nil) })) // no Put would
	gone, err := s.DeleteInactive(t.Context(), store.Event{Action: "delete"})
	require.ErrorIs(t, err, store.ErrInUse)
	assert.Empty(t, gone)
	keys, err := s.Load(t.Context())
	require.NoError(t, err)
	assert.Len(t, keys.Keys, 2)
	events, err := s.Events(t.Context(), 0, 10)
	require.NoError(t, err)
	assert.Len(t, events, 1)
}

func TestNamesHaveOneTo1024Bytes(t *testing.T) {
	s := filled(t, 0)
	for _, n := range []int{0, 1025, 40_000} {
		require.ErrorIs(t, s.Put(t.Context(), 1, string(make([]byte, n)), nil), fault.Syntax)
		_, err := s.Get(t.Context(), string(make([]byte, n)))
		require.ErrorIs(t, err, fault.NotFound)
		require.ErrorIs(t, s.Delete(t.Context(), string(make([]byte, n))), fault.NotFound)
	}
}

// A file that takes the place of another while a call waits for the lock of
// that one is the file that the call is about.
func TestAChangeGoesToTheFileThatIsThereNow(t *testing.T) {
	s, other := filled(t, 1), filled(t, 1)
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	require.NoError(t, err)
	got, err := flock.Try(f, true)
	require.NoError(t, err)
	require.True(t, got)

	done := make(chan error)
	go func() { done <- s.Put(t.Context(), 1, "new", []byte("record")) }()
	time.Sleep(50 * time.Millisecond) // whether it waits by now or not
	require.NoError(t, os.Rename(other.path, s.path))
	require.NoError(t, f.Close())
	require.NoError(t, <-done)
	_, err = New(s.path).Get(t.Context(), "new")
	require.NoError(t, err)
}

func TestACallGivesUpWithItsContext(t *testing.T) {
	s := filled(t, 1)
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	got, err := flock.Try(f, true)
	require.NoError(t, err)
	require.True(t, got)

	// The first waits for the file, the others behind it.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			err := s.Put(ctx, 1, "name", nil)
			if i%2 == 0 {
				_, err = s.Get(ctx, "name")
			}
			assert.ErrorIs(t, err, fault.Unavailable)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, s.path)
		})
	}
	wg.Wait()
	require.NoError(t, f.Close())
	require.NoError(t, s.Put(t.Context(), 1, "name", nil))
}

func TestAContextThatEndsBeforeTheCommitEndsTheChange(t *testing.T) {
	s := filled(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.update(ctx, func(tx *txn) error {
		cancel()
		return tx.putRecord([]byte("name"), 1, nil)
	})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, fault.Unavailable)
	_, err = s.Get(t.Context(), "name")
	require.ErrorIs(t, err, fault.NotFound)
}

// As long as readers overlap, the lock of the file is never free; yet a writer
// gets it. Each has a Store of its own, so that only the file is between them.
func TestReadersDoNotStarveAWriter(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("who gets the lock is left to chance on this operating system")
	}
	s := filled(t, 100)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for s := New(s.path); ; {
				select {
				case <-stop:
					return
				default:
					if _, err := s.Names(t.Context(), "", 100); !assert.NoError(t, err) {
						return
					}
				}
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 10 {
		if !assert.NoError(t, s.Put(ctx, 1, name(0), record(1, 0))) {
			break
		}
	}
	close(stop)
	wg.Wait()
}

// Nor does a writer in a loop starve another one, or readers.
func TestAWriterDoesNotStarveTheOthers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("who gets the lock is left to chance on this operating system")
	}
	s := filled(t, 1)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for s := New(s.path); ; {
				select {
				case <-stop:
					return
				default:
					if !assert.NoError(t, s.Put(t.Context(), 1, name(0), record(1, 0))) {
						return
					}
				}
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 10 {
		assert.NoError(t, New(s.path).Put(ctx, 1, name(0), record(1, 0)))
		_, err := New(s.path).Get(ctx, name(0))
		assert.NoError(t, err)
	}
	close(stop)
	wg.Wait()
}
