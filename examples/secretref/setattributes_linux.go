package main

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// keepAttributes gives f the extended attributes of the file at path, access
// control lists among them, and returns the names of those it could not.
func keepAttributes(f *os.File, path string) (lost []string) {
	list := make([]byte, 64<<10)
	n, err := unix.Listxattr(path, list)
	if err != nil {
		return nil // the file system has none
	}
	names := slices.DeleteFunc(strings.Split(string(list[:n]), "\x00"), func(s string) bool { return s == "" })
	value := make([]byte, 64<<10)
	for _, name := range names {
		n, err := unix.Getxattr(path, name, value)
		if err == nil {
			err = unix.Fsetxattr(int(f.Fd()), name, value[:n], 0)
		}
		if err != nil {
			lost = append(lost, name)
		}
	}
	return lost
}
