package rotate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// Verify does not report a secret as damaged that is deleted or re-encrypted meanwhile.
func TestVerify_concurrentRotation(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	r := p.keyring(f)
	s := p.fill(r, 3)
	require.NoError(t, r.Verify(t.Context()))
	other := p.keyring(nil)
	f.after = func(call string) error {
		if call != "Records" {
			return nil
		}
		f.after = nil
		to := rotate.Rotator{Keyring: other}
		_, err := to.Rotate(t.Context())
		require.NoError(t, err)
		_, err = to.DeleteInactive(t.Context())
		require.NoError(t, err)
		delete(s, "secret 2")
		return other.Delete(t.Context(), "secret 2")
	}
	// The key that the page needs is gone from the store and from this Keyring.
	r = p.keyring(f)
	require.NoError(t, r.Verify(t.Context()))
	p.checkIntact(s)
}

// Between reading a record and looking up its key, a rotation and a deletion of the old
// key may happen.
func TestGet_concurrentRotation(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	p.fill(p.keyring(nil), 3)
	first := rotate.Rotator{Keyring: p.keyring(nil)}
	r := p.keyring(f)
	_, err := first.Rotate(t.Context()) // to a key that r has not loaded yet
	require.NoError(t, err)
	f.after = func(call string) error {
		if call == "Get" {
			f.after = nil
			_, err := first.Rotate(t.Context())
			require.NoError(t, err)
			_, err = first.DeleteInactive(t.Context())
			require.NoError(t, err)
		}
		return nil
	}
	text, err := r.Get(t.Context(), "secret 1")
	require.NoError(t, err)
	assert.Equal(t, "text 1", string(text))
}

func TestVerify_namesDamagedKey(t *testing.T) {
	p := newKeyringFile(t)
	r := p.keyring(nil)
	keys, err := r.Store().Load(t.Context())
	require.NoError(t, err)
	key := keys.Active()
	key.Wrapped[30] ^= 1
	lease, err := r.Store().Acquire(t.Context())
	require.NoError(t, err)
	require.NoError(t, lease.Rewrap(t.Context(), keys.Root, keys.Root,
		map[seal.KeyID][]byte{key.ID: key.Wrapped}, store.Event{}))
	lease.Release(t.Context())
	err = r.Verify(t.Context())
	require.ErrorIs(t, err, fault.Corrupt)
	require.ErrorContains(t, err, key.ID.String())
	require.ErrorIs(t, p.keyring(nil).Put(t.Context(), "a", nil), fault.Corrupt)
}

func TestPut_exhaustedKey(t *testing.T) {
	p := newKeyringFile(t)
	r := p.keyring(nil)
	s := p.fill(r, 3)
	keys, err := r.Store().Load(t.Context())
	require.NoError(t, err)
	active := keys.Active()
	require.NoError(t, r.Store().ReserveEncryptions(t.Context(), active.ID,
		seal.MaxEncryptions-active.Encryptions-2))

	other := p.keyring(nil)
	for range 2 { // the last encryptions are reserved one by one
		require.NoError(t, other.Put(t.Context(), "secret 1", []byte("again")))
	}
	s["secret 1"] = "again"
	err = other.Put(t.Context(), "secret 1", []byte("too often"))
	require.ErrorIs(t, err, fault.KeyExhausted)
	require.ErrorContains(t, err, "rotate")
	p.checkIntact(s)
	require.NoError(t, other.Put(t.Context(), "secret 1", []byte("with the new key")))
}
