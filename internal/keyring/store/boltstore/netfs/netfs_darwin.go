package netfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// At returns the name of the network file system that path is on, or "" if it is on a
// local one.
func At(path string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "", &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	if name := unix.ByteSliceToString(st.Fstypename[:]); isNetworkName(name) {
		return name, nil
	}
	return "", nil
}
