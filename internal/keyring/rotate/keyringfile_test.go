package rotate_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
)

var discard = slog.New(slog.DiscardHandler)

// keyringFile is a keyring in a file, with its root key in another.
type keyringFile struct {
	t    *testing.T
	path string
}

func newKeyringFile(t *testing.T) keyringFile {
	return keyringFile{t, filepath.Join(t.TempDir(), "secrets.db")}
}

// keyring opens the keyring, through f if f is not nil.
func (k keyringFile) keyring(f *faulty) *keyring.Keyring {
	r, err := k.open(f)
	require.NoError(k.t, err)
	return r
}

func (k keyringFile) open(f *faulty) (*keyring.Keyring, error) {
	store := store.Store(boltstore.New(k.path))
	if f != nil {
		f.Store = store
		store = f
	}
	return openAt(k.t.Context(), k.path, store)
}

// stored are the secrets that must not be lost.
type stored map[string]string

// fill stores n secrets.
func (k keyringFile) fill(r *keyring.Keyring, n int) stored {
	s := stored{}
	for i := range n {
		name, text := fmt.Sprintf("secret %d", i), fmt.Sprintf("text %d", i)
		s[name] = text
		require.NoError(k.t, r.Put(k.t.Context(), name, []byte(text)))
	}
	return s
}

// checkIntact opens the keyring again and checks that nothing is lost, that a rotation
// succeeds, that afterwards only the active key is needed, and that still nothing is
// lost.
func (k keyringFile) checkIntact(s stored) {
	k.t.Helper()
	r := k.keyring(nil)
	k.checkSecrets(r, s)
	require.NoError(k.t, r.Verify(k.t.Context()))
	to := rotate.Rotator{Keyring: r}
	done, err := to.Rotate(k.t.Context())
	require.NoError(k.t, err)
	require.Empty(k.t, done.Blocked)
	_, err = to.DeleteInactive(k.t.Context())
	require.NoError(k.t, err)
	keys, err := r.Store().Load(k.t.Context())
	require.NoError(k.t, err)
	require.Len(k.t, keys.Keys, 1)
	require.Equal(k.t, store.Active, keys.Keys[0].State)
	require.GreaterOrEqual(k.t, keys.Keys[0].Encryptions, uint64(len(s)),
		"every encryption is counted")
	k.checkSecrets(k.keyring(nil), s)
}

// checkSecrets checks that r has the secrets.
func (k keyringFile) checkSecrets(r *keyring.Keyring, s stored) {
	k.t.Helper()
	for name, text := range s {
		got, err := r.Get(k.t.Context(), name)
		require.NoError(k.t, err, name)
		require.True(k.t, text == string(got), "%s has another text", name)
	}
}

func (k keyringFile) events(r *keyring.Keyring) (lines []string) {
	k.t.Helper()
	events, err := r.Store().Events(k.t.Context(), 0, 1000)
	require.NoError(k.t, err)
	for _, e := range events {
		require.WithinDuration(k.t, time.Now(), e.Time, time.Minute)
		lines = append(lines, fmt.Sprintf("%s %s %s %d", e.Actor, e.Action, e.Outcome, len(e.Keys)))
	}
	return lines
}
