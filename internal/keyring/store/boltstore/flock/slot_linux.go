package flock

import (
	"os"

	"golang.org/x/sys/unix"
)

// slotLock describes a lock on one byte far beyond the end of the file. It is an open
// file description lock, which is independent of the flock of the whole file, and which
// can be tested without being taken.
func slotLock(kind int16, which int64) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Start: 1<<62 + which, Len: 1}
}

// takeSlot takes a slot if it is free, and reports whether it did. The slot is held
// until leaveSlot is called or the file is closed.
func takeSlot(f *os.File, which int64) bool {
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, slotLock(unix.F_WRLCK, which))
	return err != unix.EAGAIN && err != unix.EACCES
}

func leaveSlot(f *os.File, which int64) {
	_ = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, slotLock(unix.F_UNLCK, which))
}

func slotTaken(f *os.File, which int64) bool {
	l := slotLock(unix.F_RDLCK, which)
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, l) == nil && l.Type != unix.F_UNLCK
}
