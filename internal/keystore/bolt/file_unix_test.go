//go:build unix && !solaris && !aix

package bolt

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keystore"
	"github.com/seed74218947/secretref/internal/seal"
)

func TestFilesAreOursAloneWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o777} {
		dir := t.TempDir()
		path := filepath.Join(dir, "keyring.db")
		private := func(want ...string) {
			t.Helper()
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			var got []string
			for _, e := range entries {
				info, err := e.Info()
				require.NoError(t, err)
				assert.Equal(t, os.FileMode(0o600), info.Mode(), "umask %04o: %s", umask, e.Name())
				got = append(got, strings.TrimPrefix(e.Name(), "keyring.db"))
			}
			assert.ElementsMatch(t, want, got)
		}

		old := syscall.Umask(umask)
		s := New(path)
		made, err := s.create(t.Context(), func(c *change) error {
			private(".new", ".new.lock")
			return c.initialize(seal.Fingerprint{}, keystore.Key{ID: 1}, keystore.Event{})
		})
		require.NoError(t, err)
		require.True(t, made)
		l, err := s.Acquire(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Put(t.Context(), 1, "name", make([]byte, 1<<20)))
		l.Release(t.Context())
		syscall.Umask(old)
		private("", ".lock")
	}
}

func TestAFileThatIsOpenToOthersIsRefused(t *testing.T) {
	s := filled(t, 1)
	for _, mode := range []os.FileMode{0o601, 0o602, 0o604, 0o606, 0o644, 0o666, 0o777} {
		require.NoError(t, os.Chmod(s.path, mode))
		every(t, s.path, func(method string, err error) {
			assert.ErrorIs(t, err, fault.Denied, "%s with %04o", method, mode)
			assert.ErrorContains(t, err, "chmod o-rwx "+s.path)
		})
		_, err := s.Load(t.Context()) // also a Store that has used it before
		require.ErrorIs(t, err, fault.Denied)
	}
	for _, mode := range []os.FileMode{0o600, 0o640, 0o660, 0o670} {
		require.NoError(t, os.Chmod(s.path, mode))
		require.NoError(t, s.Put(t.Context(), 1, name(0), box(1, 0)))
	}
}

func TestAPipeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	every(t, path, func(method string, err error) {
		assert.ErrorIs(t, err, fault.Unsupported, method)
	})
}
