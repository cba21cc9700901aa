package boltstore

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/flock"
)

// asNobody runs f as the user nobody.
func asNobody(f func()) {
	if os.Getuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked, so that the thread ends with the goroutine
		// Only for this thread: the functions of package syscall change all threads.
		_, _, _ = unix.RawSyscall(setresgid, ^uintptr(0), 65534, ^uintptr(0))
		_, _, _ = unix.RawSyscall(setresuid, ^uintptr(0), 65534, ^uintptr(0))
		f()
	}()
	<-done
}

func TestAccess_readOnlyUser(t *testing.T) {
	s := filled(t, 10)
	dir := filepath.Dir(s.path)
	if os.Getuid() == 0 {
		for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
			require.NoError(t, os.Chown(d, 65534, 65534))
		}
		require.NoError(t, os.Chown(s.path, 65534, 65534))
	}
	require.NoError(t, os.Chmod(s.path, 0o440))
	require.NoError(t, os.Chmod(dir, 0o555))
	defer func() { _ = os.Chmod(dir, 0o700) }()
	asNobody(func() {
		s := New(s.path)
		_, err := s.Get(t.Context(), name(3))
		assert.NoError(t, err)
		_, err = s.Get(t.Context(), "nothing")
		assert.ErrorIs(t, err, fault.NotFound)
		names, err := s.Names(t.Context(), "", 100)
		assert.NoError(t, err)
		assert.Len(t, names, 10)
		_, err = s.Load(t.Context())
		assert.NoError(t, err)

		assert.ErrorIs(t, s.Put(t.Context(), 1, "name", nil), fault.Denied)
		_, err = s.Acquire(t.Context())
		assert.ErrorIs(t, err, fault.Denied)
		_, err = create(t, s.path+"2")
		assert.ErrorIs(t, err, fault.Denied)
	})
	require.NoError(t, os.Chmod(s.path, 0))
	asNobody(func() {
		_, err := New(s.path).Get(t.Context(), name(3))
		assert.ErrorIs(t, err, fault.Denied)
	})
}

func TestAccess_otherOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away")
	}
	s := filled(t, 1)
	l, err := s.Acquire(t.Context()) // creates the lock file
	require.NoError(t, err)
	l.Release(t.Context())

	require.NoError(t, os.Chown(s.path+".lock", 4711, 0))
	_, err = s.Acquire(t.Context())
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorContains(t, err, "uid 4711")
	require.ErrorContains(t, err, s.path+".lock")

	require.NoError(t, os.Chown(s.path, 4711, 0))
	every(t, s.path, func(method string, err error) {
		assert.ErrorIs(t, err, fault.Denied, method)
		assert.ErrorContains(t, err, "uid 4711", method)
	})

	path := filepath.Join(t.TempDir(), "keyring.db")
	require.NoError(t, os.WriteFile(path+".new.lock", nil, 0o600))
	require.NoError(t, os.Chown(path+".new.lock", 4711, 0))
	_, err = create(t, path)
	require.ErrorIs(t, err, fault.Denied)
}

func TestAccess_otherOwnerLock(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away")
	}
	s := filled(t, 1)
	require.NoError(t, os.Chown(s.path, 4711, 0))
	f, err := os.Open(s.path)
	require.NoError(t, err)
	defer f.Close()
	got, err := flock.Try(f, true)
	require.NoError(t, err)
	require.True(t, got)
	_, err = s.Get(t.Context(), name(0))
	require.ErrorIs(t, err, fault.Denied)
}
