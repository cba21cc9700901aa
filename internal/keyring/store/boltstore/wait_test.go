package boltstore

import (
	"context"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/flock"
)

// If the file is replaced while a call waits for its lock, the call uses the new file.
func TestWait_replacedFile(t *testing.T) {
	s, other := filled(t, 1), filled(t, 1)
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	require.NoError(t, err)
	got, err := flock.Try(f, true)
	require.NoError(t, err)
	require.True(t, got)

	done := make(chan error)
	go func() { done <- s.Put(t.Context(), 1, "new", []byte("record")) }()
	time.Sleep(50 * time.Millisecond) // usually Put is waiting by then; both orders must work
	require.NoError(t, os.Rename(other.path, s.path))
	require.NoError(t, f.Close())
	require.NoError(t, <-done)
	_, err = New(s.path).Get(t.Context(), "new")
	require.NoError(t, err)
}

func TestWait_contextEnds(t *testing.T) {
	s := filled(t, 1)
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	got, err := flock.Try(f, true)
	require.NoError(t, err)
	require.True(t, got)

	// The first call waits for the file, the others in the queue.
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

// While readers overlap, the lock of the file is never free, yet a writer gets it. Each has
// a Store of its own, so that they wait for each other only at the file.
func TestWait_readersDoNotStarveWriter(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("locks are not fair on this operating system")
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 10 {
		if !assert.NoError(t, s.Put(ctx, 1, name(0), record(1, 0))) {
			break
		}
	}
	close(stop)
	wg.Wait()
}

// Writers in a loop starve neither other writers nor readers.
func TestWait_writersDoNotStarveOthers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("locks are not fair on this operating system")
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 10 {
		assert.NoError(t, New(s.path).Put(ctx, 1, name(0), record(1, 0)))
		_, err := New(s.path).Get(ctx, name(0))
		assert.NoError(t, err)
	}
	close(stop)
	wg.Wait()
}
