package flock

import (
	"os"

	"golang.org/x/sys/unix"
)

// place describes a lock on one byte far behind the end of the file. Unlike the
// lock of the whole file, which is of another kind, it belongs to the opened
// file and can be asked about.
func place(kind int16, which int64) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Start: 1<<62 + which, Len: 1}
}

// takePlace reports whether nobody else has the place. It is ours then until it
// is left or the file is closed.
func takePlace(f *os.File, which int64) bool {
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, place(unix.F_WRLCK, which))
	return err != unix.EAGAIN && err != unix.EACCES
}

func leavePlace(f *os.File, which int64) {
	_ = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, place(unix.F_UNLCK, which))
}

func placeTaken(f *os.File, which int64) bool {
	p := place(unix.F_RDLCK, which)
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, p) == nil && p.Type != unix.F_UNLCK
}
