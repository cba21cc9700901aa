package bolt

import (
	"os"

	"golang.org/x/sys/unix"
)

// networkAt returns the name of the network file system that path is on.
func networkAt(path string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "", &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	if name := unix.ByteSliceToString(st.Fstypename[:]); networkName(name) {
		return name, nil
	}
	return "", nil
}
