package set

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// aclAttribute is the attribute with the access control list. If a file has one, the
// group bits of its mode are only the mask of the list.
const aclAttribute = "system.posix_acl_access"

// copyAttributes copies the extended attributes of the file at path to f and returns
// the names of those that it could not copy. Failing to copy the access control list
// is an error; if the file has none, f must not keep one inherited from its directory.
func copyAttributes(f *os.File, path string) (lost []string, err error) {
	if err := copyACL(f, path); err != nil {
		return nil, fmt.Errorf("cannot copy the access control list (%s): %w", aclAttribute, err)
	}
	list := make([]byte, 64<<10)
	n, err := unix.Listxattr(path, list)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return []string{"all extended attributes"}, nil
	}
	names := slices.DeleteFunc(strings.Split(string(list[:n]), "\x00"),
		func(s string) bool { return s == "" || s == aclAttribute })
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
	return lost, nil
}

func copyACL(f *os.File, path string) error {
	value := make([]byte, 64<<10)
	n, err := unix.Getxattr(path, aclAttribute, value)
	switch {
	case err == nil:
		return unix.Fsetxattr(int(f.Fd()), aclAttribute, value[:n], 0)
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil
	case errors.Is(err, unix.ENODATA):
		err = unix.Fremovexattr(int(f.Fd()), aclAttribute)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
			return nil
		}
	}
	return err
}
