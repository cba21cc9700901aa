package set

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestReplace_keepsExtendedAttributes(t *testing.T) {
	file, backups := openedFile(t)
	if err := unix.Setxattr(file.path, "user.note", []byte("theirs"), 0); err != nil {
		t.Skip(err)
	}
	done, err := file.replace([]byte(newText), backups, time.Now())
	require.NoError(t, err)
	assert.Empty(t, done.lostAttributes)
	value := make([]byte, 16)
	n, err := unix.Getxattr(file.path, "user.note", value)
	require.NoError(t, err)
	assert.Equal(t, "theirs", string(value[:n]))
}

// accessEntries encodes an access control list for the kernel: the permissions of the
// owner, of user 65534, of the group, the mask, and those of others.
func accessEntries(owner, nobody, group, mask, other uint16) []byte {
	list := binary.LittleEndian.AppendUint32(nil, 2) // version
	for _, e := range []struct {
		tag, may uint16
		id       uint32
	}{{0x01, owner, ^uint32(0)}, {0x02, nobody, 65534}, {0x04, group, ^uint32(0)}, {0x10, mask,
		^uint32(0)}, {0x20, other, ^uint32(0)}} {
		list = binary.LittleEndian.AppendUint16(list, e.tag)
		list = binary.LittleEndian.AppendUint16(list, e.may)
		list = binary.LittleEndian.AppendUint32(list, e.id)
	}
	return list
}

// givenList sets an access control list, or skips the test if that is not supported.
func givenList(t *testing.T, path, kind string, list []byte) {
	t.Helper()
	if err := unix.Setxattr(path, kind, list, 0); errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip(err)
	} else {
		require.NoError(t, err)
	}
}

func TestReplace_dropsInheritedACL(t *testing.T) {
	file, backups := openedFile(t)
	for _, dir := range []string{filepath.Dir(file.path), filepath.Dir(filepath.Dir(backups))} {
		givenList(t, dir, "system.posix_acl_default", accessEntries(7, 7, 5, 7, 5))
	}
	_, err := file.replace([]byte(newText), backups, time.Now())
	require.NoError(t, err)
	_, err = unix.Getxattr(file.path, aclAttribute, make([]byte, 1024))
	require.ErrorIs(t, err, unix.ENODATA)
	info, err := os.Stat(file.path)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o640), info.Mode())
}

func TestReplace_keepsACL(t *testing.T) {
	file, backups := openedFile(t)
	mine := accessEntries(6, 4, 0, 4, 0)
	givenList(t, filepath.Dir(file.path), "system.posix_acl_default", accessEntries(7, 7, 5, 7, 5))
	givenList(t, file.path, aclAttribute, mine)
	file.release()
	file, err := openTarget(file.path, true)
	require.NoError(t, err)
	defer file.release()
	_, err = file.replace([]byte(newText), backups, time.Now())
	require.NoError(t, err)
	got := make([]byte, 1024)
	n, err := unix.Getxattr(file.path, aclAttribute, got)
	require.NoError(t, err)
	assert.Equal(t, mine, got[:n])
}

func TestCopyAttributes_failsIfACLIsLost(t *testing.T) {
	file, _ := openedFile(t)
	// does not accept attributes
	fd, err := unix.Open(filepath.Dir(file.path), unix.O_PATH|unix.O_DIRECTORY, 0)
	require.NoError(t, err)
	f := os.NewFile(uintptr(fd), "x")
	defer f.Close()
	_, err = copyAttributes(f, file.path)
	require.ErrorIs(t, err, unix.EBADF, "the directory's list cannot be removed")
	givenList(t, file.path, aclAttribute, accessEntries(6, 4, 0, 4, 0))
	_, err = copyAttributes(f, file.path)
	require.ErrorIs(t, err, unix.EBADF)
}
