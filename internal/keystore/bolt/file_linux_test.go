package bolt

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/seed74218947/secretref/internal/fault"
)

// asNobody runs f without the rights of the superuser.
func asNobody(f func()) {
	if os.Getuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread, which is nobody's, ends with the goroutine
		_, _ = unix.SetfsgidRetGid(65534)
		_, _ = unix.SetfsuidRetUid(65534)
		f()
	}()
	<-done
}

func TestWhoMayOnlyReadReads(t *testing.T) {
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
