package rotate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
)

// damage replaces the record under name by one that cannot be decrypted.
func (k keyringFile) damage(r *keyring.Keyring, name string, change func(record []byte) []byte) {
	k.t.Helper()
	record, err := r.Store().Get(k.t.Context(), name)
	require.NoError(k.t, err)
	keys, err := r.Store().Load(k.t.Context())
	require.NoError(k.t, err)
	require.NoError(k.t, r.Store().Put(k.t.Context(), keys.Active().ID, name, change(record)))
}

func flip(record []byte) []byte { record[len(record)-1] ^= 1; return record }

func TestRotate_damagedRecordBlocks(t *testing.T) {
	changes := map[string]func([]byte) []byte{
		"flipped":         flip,
		"newer version":   func(b []byte) []byte { b[0]++; return b },
		"unknown key":     func(b []byte) []byte { b[5] ^= 1; return b },
		"cut off":         func(b []byte) []byte { return b[:10] },
		"empty":           func(b []byte) []byte { return b[:0] },
		"of another name": nil,
	}
	for what, change := range changes {
		t.Run(what, func(t *testing.T) {
			p := newKeyringFile(t)
			r := p.keyring(nil)
			s := p.fill(r, 5)
			if change == nil {
				record, err := r.Store().Get(t.Context(), "secret 4")
				require.NoError(t, err)
				change = func([]byte) []byte { return record }
			}
			p.damage(r, "secret 2", change)
			delete(s, "secret 2")

			_, err := r.Get(t.Context(), "secret 2")
			require.ErrorIs(t, err, fault.Corrupt)
			err = r.Verify(t.Context())
			require.ErrorIs(t, err, fault.Corrupt)
			require.ErrorContains(t, err, `"secret 2"`)
			before, err := r.Store().Load(t.Context())
			require.NoError(t, err)

			to := rotate.Rotator{Keyring: r}
			done, err := to.Rotate(t.Context())
			require.ErrorIs(t, err, fault.RotationBlocked)
			require.ErrorContains(t, err, `"secret 2"`)
			assert.Equal(t, []string{"secret 2"}, done.Blocked)
			assert.Zero(t, done.To)
			after, err := r.Store().Load(t.Context())
			require.NoError(t, err)
			assert.Equal(t, before.Keys, after.Keys)
			assert.Equal(t, []string{" create done 1", " rotate refused 1"}, p.events(r))
			p.checkSecrets(r, s)

			require.NoError(t, r.Delete(t.Context(), "secret 2"), "a damaged secret can be deleted")
			p.checkIntact(s)
		})
	}
}

func TestRotate_recordDamagedMeanwhile(t *testing.T) {
	p := newKeyringFile(t)
	f := newFaulty()
	r := p.keyring(f)
	s := p.fill(r, 7)
	other := p.keyring(nil)
	f.before = func(call string) error {
		if call == "Activate" {
			p.damage(other, "secret 2", flip)
		}
		return nil
	}
	done, err := (&rotate.Rotator{Keyring: r}).Rotate(t.Context())
	require.ErrorIs(t, err, fault.RotationBlocked)
	require.ErrorContains(t, err, `"secret 2"`)
	assert.Equal(t, []string{"secret 2"}, done.Blocked)
	assert.Equal(t, 6, done.Moved)
	keys, err := r.Store().Load(t.Context())
	require.NoError(t, err)
	require.NotNil(t, keys.Retiring())
	assert.Equal(t, done.From, keys.Retiring().ID)
	deleted, err := (&rotate.Rotator{Keyring: r}).DeleteInactive(t.Context())
	require.NoError(t, err)
	assert.Empty(t, deleted, "a key that may still be needed stays")

	s["secret 2"] = "replaced"
	require.NoError(t, other.Put(t.Context(), "secret 2", []byte(s["secret 2"])))
	again, err := (&rotate.Rotator{Keyring: other}).Rotate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, done.To, again.To)
	p.checkIntact(s)
}

func TestRotate_rowUnderWrongKeyBlocks(t *testing.T) {
	p := newKeyringFile(t)
	r := p.keyring(nil)
	p.fill(r, 3)
	record, err := r.Store().Get(t.Context(), "secret 1")
	require.NoError(t, err)
	to := rotate.Rotator{Keyring: r}
	_, err = to.Rotate(t.Context())
	require.NoError(t, err)
	// which the inactive key can decrypt
	p.damage(r, "secret 1", func([]byte) []byte { return record })
	require.ErrorIs(t, r.Verify(t.Context()), fault.Corrupt)
	_, err = to.Rotate(t.Context())
	require.ErrorIs(t, err, fault.RotationBlocked)
}
