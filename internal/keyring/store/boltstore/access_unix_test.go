//go:build unix && !solaris && !aix

package boltstore

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/flock"
)

func TestAccess_umask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o777} {
		dir := t.TempDir()
		path := filepath.Join(dir, "keyring.db")
		checkPrivate := func(want ...string) {
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
		made, err := s.create(t.Context(), func(tx *txn) error {
			checkPrivate(".new", ".new.lock")
			return tx.initialize(seal.Fingerprint{}, store.Key{ID: 1}, store.Event{})
		})
		require.NoError(t, err)
		require.True(t, made)
		l, err := s.Acquire(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Put(t.Context(), 1, "name", make([]byte, 1<<20)))
		l.Release(t.Context())
		syscall.Umask(old)
		checkPrivate("", ".lock")
	}
}

func TestAccess_openToOthers(t *testing.T) {
	s := filled(t, 1)
	for _, mode := range []os.FileMode{0o601, 0o602, 0o604, 0o606, 0o644, 0o666, 0o777} {
		require.NoError(t, os.Chmod(s.path, mode))
		every(t, s.path, func(method string, err error) {
			assert.ErrorIs(t, err, fault.Denied, "%s with %04o", method, mode)
			assert.ErrorContains(t, err, "chmod o-rwx "+s.path)
		})
		_, err := s.Load(t.Context()) // a Store that has used it before
		require.ErrorIs(t, err, fault.Denied)
	}
	for _, mode := range []os.FileMode{0o600, 0o640, 0o660, 0o670} {
		require.NoError(t, os.Chmod(s.path, mode))
		require.NoError(t, s.Put(t.Context(), 1, name(0), record(1, 0)))
	}
}

func TestPath_namedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	every(t, path, func(method string, err error) {
		assert.ErrorIs(t, err, fault.Unsupported, method)
	})
}

// The file may be the configuration of a product, whose mode must not be changed.
func TestAccess_foreignFile(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	db, err := bbolt.Open(foreign, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t,
		db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("else")); return err }))
	require.NoError(t, db.Close())
	content, err := os.ReadFile(foreign)
	require.NoError(t, err)
	for what, text := range map[string]string{
		"xml": "<?xml version=\"1.0\"?><jira-database-config/>", "empty": "", "short": "x",
		"another bbolt file": string(content),
	} {
		path := filepath.Join(t.TempDir(), "dbconfig.xml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		for _, mode := range []os.FileMode{0o644, 0o600} {
			require.NoError(t, os.Chmod(path, mode))
			every(t, path, func(method string, err error) {
				assert.ErrorIs(t, err, fault.Corrupt, "%s, %s", what, method)
				assert.ErrorContains(t, err, path+`" is not a keyring`, method)
				assert.NotContains(t, err.Error(), "chmod", method)
			})
		}
	}
}

func TestWait_logs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := filled(t, 1)
		f, err := os.Open(s.path)
		require.NoError(t, err)
		defer f.Close()
		got, err := flock.Try(f, true)
		require.NoError(t, err)
		require.True(t, got)
		for wait, warnings := range map[time.Duration]int{time.Second: 0, 5 * time.Second: 1} {
			var log bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			_, err = New(s.path).WithLogger(slog.New(slog.NewTextHandler(&log, nil))).Get(ctx, name(0))
			cancel()
			synctest.Wait() // until the warning is logged
			require.ErrorIs(t, err, fault.Unavailable)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "waited for the lock of")
			require.ErrorContains(t, err, s.path)
			assert.Equal(t, warnings,
				strings.Count(log.String(), "waiting for a lock that another process holds"), &log)
			assert.Equal(t, warnings, strings.Count(log.String(), s.path))
		}
	})
}
