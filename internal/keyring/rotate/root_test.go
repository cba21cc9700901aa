package rotate_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/rootkey"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/seal"
)

func TestChangeRoot(t *testing.T) {
	p := newKeyringFile(t)
	r, other := p.keyring(nil), p.keyring(nil)
	s := p.fill(r, 3)
	text := seal.NewRootText()
	to := rotate.Rotator{Keyring: r}
	require.NoError(t, to.ChangeRoot(t.Context(), text))
	require.NoError(t, to.ChangeRoot(t.Context(), text), "the same root key again changes nothing")
	require.ErrorIs(t, to.ChangeRoot(t.Context(), "correct horse battery staple"), fault.RootKey)
	assert.Equal(t, []string{" create done 1", " change-root done 1", " change-root refused 0"},
		p.events(r))
	root, err := seal.ParseRoot(text)
	require.NoError(t, err)
	assert.Equal(t, root.Fingerprint(), r.Root().Fingerprint())
	require.NoFileExists(t, p.path+".key.new")

	// A node that has the keyring open finds the new root key in the file.
	_, err = (&rotate.Rotator{Keyring: other}).Rotate(t.Context())
	require.NoError(t, err)
	p.checkSecrets(other, s)
	p.checkIntact(s)
}

// Until it is renamed the new root key is in a file of its own, which may be the only copy
// of the key in use.
func TestChangeRoot_afterInterruptedChange(t *testing.T) {
	for _, second := range []string{"succeeds", "fails", "is killed"} {
		p := newKeyringFile(t)
		f := newFaulty()
		r := p.keyring(f)
		s := p.fill(r, 3)
		killed := errors.New("killed")
		g := newFaulty()
		other := p.keyring(g)
		g.after = func(call string) error {
			if call == "Rewrap" {
				panic(killed)
			}
			return nil
		}
		require.PanicsWithValue(t, killed,
			func() { _ = (&rotate.Rotator{Keyring: other}).ChangeRoot(t.Context(), seal.NewRootText()) })
		f.before = func(call string) error {
			switch {
			case call != "Rewrap":
			case second == "fails":
				return errInjected
			case second == "is killed":
				panic(killed)
			}
			return nil
		}
		func() {
			defer func() { _ = recover() }()
			_ = (&rotate.Rotator{Keyring: r}).ChangeRoot(t.Context(), seal.NewRootText())
		}()
		f.before = nil
		p.checkSecrets(r, s)
		p.checkIntact(s)
	}
}

// A file that is a mount of its own cannot be replaced by a rename. Here a directory in
// its place stands for one that cannot be written at all.
func TestChangeRoot_fileCannotBeReplaced(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	r := p.keyring(f)
	s := p.fill(r, 3)
	key := p.path + ".key"
	f.after = func(call string) error {
		if call == "Rewrap" {
			require.NoError(t, os.Rename(key, key+".away"))
			require.NoError(t, os.MkdirAll(filepath.Join(key, "not empty"), 0o700))
		}
		return nil
	}
	err := (&rotate.Rotator{Keyring: r}).ChangeRoot(t.Context(), seal.NewRootText())
	require.ErrorIs(t, err, fault.Unavailable)
	require.ErrorContains(t, err, "keep both files")
	f.after = nil
	require.Error(t, (&rotate.Rotator{Keyring: r}).ChangeRoot(t.Context(), seal.NewRootText()),
		"the staged root key is not overwritten")
	p.checkSecrets(r, s)
	require.FileExists(t, key+".new")

	require.NoError(t, os.RemoveAll(key))
	require.NoError(t, os.Rename(key+".away", key))
	p.checkSecrets(p.keyring(nil), s)
	p.checkIntact(s)
}

// An interrupted change of the root key leaves one of three states.
func TestChangeRoot_recover(t *testing.T) {
	for _, when := range []string{"before the keys are wrapped", "after", "before, with half a file"} {
		p := newKeyringFile(t)
		f := newFaulty()
		r := p.keyring(f)
		s := p.fill(r, 3)
		killed := errors.New("killed")
		f.before = func(call string) error {
			if call == "Rewrap" && when != "after" {
				panic(killed)
			}
			return nil
		}
		f.after = func(call string) error {
			if call == "Rewrap" {
				panic(killed)
			}
			return nil
		}
		require.PanicsWithValue(t, killed,
			func() { _ = (&rotate.Rotator{Keyring: r}).ChangeRoot(t.Context(), seal.NewRootText()) })
		next := p.path + ".key.new"
		require.FileExists(t, next)
		if strings.Contains(when, "half") {
			require.NoError(t, rootkey.NewFile(p.path+".key", discard).WriteNext("QUFB"))
		}
		// while the lease is held nothing can be recovered, and both root keys are tried
		if when == "after" {
			lease, err := r.Store().Acquire(t.Context())
			require.NoError(t, err)
			p.checkSecrets(p.keyring(nil), s)
			lease.Release(t.Context())
		}
		p.checkIntact(s)
		require.NoFileExists(t, next, when)
	}
}
