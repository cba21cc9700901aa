package flock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Try takes the lock of a file if it is free, and reports whether it did. The lock lasts
// until the file is closed. Locks are on ranges of bytes, and a range cannot be locked
// twice, even through the same handle. So a writer takes the range beside the one that
// bbolt then takes. A reader takes both, to keep other programs that use bbolt from
// writing.
func Try(f *os.File, exclusive bool) (bool, error) {
	const high = 1<<32 - 1
	ours, bbolts := uint32(high-1), uint32(high)
	if exclusive {
		return tryRange(f, ours, windows.LOCKFILE_EXCLUSIVE_LOCK)
	}
	if got, err := tryRange(f, bbolts, 0); !got || err != nil {
		return false, err
	}
	got, err := tryRange(f, ours, 0)
	if !got || err != nil {
		_ = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0,
			&windows.Overlapped{Offset: bbolts, OffsetHigh: high})
	}
	return got, err
}

func tryRange(f *os.File, offset, flags uint32) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0,
		&windows.Overlapped{Offset: offset, OffsetHigh: 1<<32 - 1})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// Unlock does nothing: closing the file releases the lock.
func Unlock(*os.File) {}
