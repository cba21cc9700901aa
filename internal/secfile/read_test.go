package secfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/secfile"
)

func TestUnreadable(t *testing.T) {
	for _, row := range []struct{ cause, kind error }{
		{fs.ErrNotExist, fault.NotFound},
		{syscall.ENOTDIR, fault.NotFound},
		{fs.ErrPermission, fault.Denied},
		{syscall.EIO, fault.Unavailable},
	} {
		err := secfile.Unreadable(&fs.PathError{Op: "open", Path: "/x", Err: row.cause})
		require.ErrorIs(t, err, row.kind)
		require.ErrorIs(t, err, row.cause)
		require.Equal(t, row.kind == fault.NotFound, errors.Is(err, fs.ErrNotExist))
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", 1<<20)), 0o600))
	text, err := secfile.Read(path, 1<<20)
	require.NoError(t, err)
	require.Len(t, text, 1<<20)
	_, err = secfile.Read(path, 1<<20-1)
	require.ErrorIs(t, err, fault.Unsupported)
	_, err = secfile.Read(dir, 1<<20)
	require.ErrorIs(t, err, fault.Unsupported)
	_, err = secfile.Read(filepath.Join(path, "below"), 1<<20)
	require.ErrorIs(t, err, fault.NotFound)
}
