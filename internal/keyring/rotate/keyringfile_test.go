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
func (p keyringFile) keyring(f *faulty) *keyring.Keyring {
	r, err := p.open(f)
	require.NoError(p.t, err)
	return r
}

func (p keyringFile) open(f *faulty) (*keyring.Keyring, error) {
	store := store.Store(boltstore.New(p.path))
	if f != nil {
		f.Store = store
		store = f
	}
	return openAt(p.t.Context(), p.path, store)
}

// stored are the secrets that must not be lost.
type stored map[string]string

// fill stores n secrets.
func (p keyringFile) fill(r *keyring.Keyring, n int) stored {
	s := stored{}
	for i := range n {
		name, text := fmt.Sprintf("secret %d", i), fmt.Sprintf("text %d", i)
		s[name] = text
		require.NoError(p.t, r.Put(p.t.Context(), name, []byte(text)))
	}
	return s
}

// checkIntact opens the keyring again and checks that nothing is lost, that a rotation
// succeeds, that afterwards only the active key is needed, and that still nothing is
// lost.
func (p keyringFile) checkIntact(s stored) {
	p.t.Helper()
	r := p.keyring(nil)
	p.checkSecrets(r, s)
	require.NoError(p.t, r.Verify(p.t.Context()))
	to := rotate.Rotator{Keyring: r}
	done, err := to.Rotate(p.t.Context())
	require.NoError(p.t, err)
	require.Empty(p.t, done.Blocked)
	_, err = to.DeleteInactive(p.t.Context())
	require.NoError(p.t, err)
	keys, err := r.Store().Load(p.t.Context())
	require.NoError(p.t, err)
	require.Len(p.t, keys.Keys, 1)
	require.Equal(p.t, store.Active, keys.Keys[0].State)
	require.GreaterOrEqual(p.t, keys.Keys[0].Encryptions, uint64(len(s)),
		"every encryption is counted")
	p.checkSecrets(p.keyring(nil), s)
}

// checkSecrets checks that r has the secrets.
func (p keyringFile) checkSecrets(r *keyring.Keyring, s stored) {
	p.t.Helper()
	for name, text := range s {
		got, err := r.Get(p.t.Context(), name)
		require.NoError(p.t, err, name)
		require.True(p.t, text == string(got), "%s has another text", name)
	}
}

func (p keyringFile) events(r *keyring.Keyring) (lines []string) {
	p.t.Helper()
	events, err := r.Store().Events(p.t.Context(), 0, 1000)
	require.NoError(p.t, err)
	for _, e := range events {
		require.WithinDuration(p.t, time.Now(), e.Time, time.Minute)
		lines = append(lines, fmt.Sprintf("%s %s %s %d", e.Actor, e.Action, e.Outcome, len(e.Keys)))
	}
	return lines
}
