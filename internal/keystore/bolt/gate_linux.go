package bolt

import (
	"os"

	"golang.org/x/sys/unix"
)

// The lock of a file goes to whoever asks at the right moment, and as long as
// readers overlap there is no such moment for a writer. The gate is a second
// lock, on a byte that is never written, that a writer holds while it waits and
// works; readers look at it before they take theirs. It is a courtesy: where it
// does not work all is as without it.
func gate(kind int16) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Start: 1<<62 - 1, Len: 1}
}

// closeGate reports whether the gate is closed for others now. It opens when the
// file is closed.
func closeGate(f *os.File) bool {
	switch unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, gate(unix.F_WRLCK)) {
	case unix.EAGAIN, unix.EACCES:
		return false
	}
	return true
}

func gateClosed(f *os.File) bool {
	g := gate(unix.F_RDLCK)
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, g) == nil && g.Type != unix.F_UNLCK
}
