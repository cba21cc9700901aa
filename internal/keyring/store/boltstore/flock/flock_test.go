//go:build unix && !solaris && !aix

package flock

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// opener returns a function that opens one file, each time like another process.
func opener(t *testing.T) func() *os.File {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, make([]byte, 4096), 0o600))
	return func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
}

func try(t *testing.T, f *os.File, exclusive bool) bool {
	t.Helper()
	got, err := Try(f, exclusive)
	require.NoError(t, err)
	return got
}

func TestTry(t *testing.T) {
	open := opener(t)
	a, b, c := open(), open(), open()
	assert.True(t, try(t, a, false))
	assert.True(t, try(t, b, false))
	assert.False(t, try(t, c, true))
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
	assert.True(t, try(t, c, true))
	assert.True(t, try(t, c, true), "the holder can take it again, as bbolt does")
	assert.False(t, try(t, open(), false))
	assert.False(t, try(t, open(), true))
}

func TestWait_contextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := opener(t)
		require.True(t, try(t, open(), true))
		for _, exclusive := range []bool{false, true} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, Wait(ctx, open(), exclusive), context.DeadlineExceeded)
		}
	})
}

// A mapping keeps the lock after the file is closed.
func TestUnlock_mappedFile(t *testing.T) {
	open := opener(t)
	f := open()
	require.NoError(t, Wait(t.Context(), f, true))
	mapped, err := syscall.Mmap(int(f.Fd()), 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED)
	require.NoError(t, err)
	defer func() { _ = syscall.Munmap(mapped) }()
	Unlock(f)
	require.NoError(t, f.Close())

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, Wait(ctx, open(), true))
}

func TestWait_readersDeferToWriter(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there are no slots on this operating system")
	}
	synctest.Test(t, func(t *testing.T) {
		open := opener(t)
		early, writer, late := open(), open(), open()
		require.NoError(t, Wait(t.Context(), early, false))
		require.True(t, takeSlot(writer, slotCurrent)) // the writer is waiting now
		ctx, cancel := context.WithTimeout(t.Context(), maxReaderDeference/2)
		defer cancel()
		require.ErrorIs(t, Wait(ctx, late, false), context.DeadlineExceeded)
		require.NoError(t, Wait(t.Context(), late, false),
			"not forever, since the writer may have been stopped")
	})
}

func TestWait_writersQueue(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there are no slots on this operating system")
	}
	synctest.Test(t, func(t *testing.T) {
		open := opener(t)
		inside := open()
		require.NoError(t, Wait(t.Context(), inside, true))
		assert.True(t, slotTaken(open(), slotCurrent))
		assert.False(t, slotTaken(open(), slotNext), "the writer has left it")

		next := open()
		require.True(t, takeSlot(next, slotNext))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		require.NoError(t, inside.Close())
		require.ErrorIs(t, Wait(ctx, open(), true), context.DeadlineExceeded,
			"the next writer goes first")
	})
}
