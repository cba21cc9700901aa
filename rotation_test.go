package secretref_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestRotate(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	for i := range 10 {
		put(t, k, fmt.Sprint(i), fmt.Sprint("text ", i))
	}
	keys, err := k.Keys(t.Context())
	require.NoError(t, err)
	require.Len(t, keys, 1)
	first := keys[0]
	assert.Equal(t, secretref.KeyActive, first.State)
	assert.Equal(t, 10, first.Secrets)
	assert.GreaterOrEqual(t, first.Encryptions, uint64(10))
	assert.WithinDuration(t, time.Now(), first.Created, time.Minute)
	assert.False(t, first.Activated.IsZero())
	assert.True(t, first.Deactivated.IsZero())
	assert.Len(t, first.ID, 16)

	r, err := k.Rotate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, secretref.Rotation{From: first.ID, To: r.To, Moved: 10}, r)
	keys, err = k.Keys(t.Context())
	require.NoError(t, err)
	require.Len(t, keys, 2)
	assert.Equal(t, secretref.KeyInactive, keys[0].State)
	assert.False(t, keys[0].Deactivated.IsZero())
	assert.Zero(t, keys[0].Secrets)
	assert.Equal(t, r.To, keys[1].ID)
	assert.Equal(t, 10, keys[1].Secrets)

	inactive, err := k.Inactive(t.Context())
	require.NoError(t, err)
	require.Len(t, inactive, 1)
	assert.Equal(t, first.ID, inactive[0].ID)
	_, rotated, err := k.RotateIfOlder(t.Context(), time.Hour)
	require.NoError(t, err)
	assert.False(t, rotated)

	deleted, err := k.DeleteInactive(t.Context())
	require.NoError(t, err)
	require.Len(t, deleted, 1)
	assert.Equal(t, first.ID, deleted[0].ID)
	deleted, err = k.DeleteInactive(t.Context())
	require.NoError(t, err)
	assert.Empty(t, deleted)
	_, rotated, err = k.RotateIfOlder(t.Context(), 0)
	require.NoError(t, err)
	assert.True(t, rotated)
	for i := range 10 {
		requireStored(t, k, fmt.Sprint(i), fmt.Sprint("text ", i))
	}
}

func TestChangeRootKey(t *testing.T) {
	path := keyringPath(t)
	before, after := secretref.NewRootKey(), secretref.NewRootKey()
	old := openKeyring(t, path, &secretref.KeyringOptions{RootKey: before})
	put(t, old, "a", "x")
	both := openKeyring(t, path, &secretref.KeyringOptions{RootKey: after, PreviousRootKey: before})
	requireStored(t, both, "a", "x")

	require.NoError(t, both.ChangeRootKey(t.Context(), after))
	requireStored(t, both, "a", "x")
	_, err := both.Rotate(t.Context())
	require.NoError(t, err)
	requireStored(t, openKeyring(t, path, &secretref.KeyringOptions{RootKey: after}), "a", "x")
	_, err = old.Get(t.Context(), "a")
	require.ErrorIs(t, err, secretref.ErrRootKey,
		"the new key is wrapped with a root key that this node was not given")
	require.ErrorIs(t, old.Put(t.Context(), "a", secretref.NewSecret("y")), secretref.ErrRootKey)
	requireStored(t, both, "a", "x")

	third := secretref.NewRootKey() // no node was opened with it
	require.NoError(t, both.ChangeRootKey(t.Context(), third))
	_, err = both.Rotate(t.Context())
	require.NoError(t, err)
	put(t, both, "a", "y")
	requireStored(t, openKeyring(t, path, &secretref.KeyringOptions{RootKey: third}), "a", "y")
	require.NoFileExists(t, path+".key")
}

func TestRotate_progressPanics(t *testing.T) {
	path := keyringPath(t)
	k := openKeyring(t, path, &secretref.KeyringOptions{Progress: func(int, int) { panic(canary) }})
	put(t, k, "a", "x")
	require.PanicsWithValue(t, canary, func() { _, _ = k.Rotate(t.Context()) })
	again := openKeyring(t, path, nil)
	_, err := again.Rotate(t.Context())
	require.NoError(t, err)
	requireStored(t, again, "a", "x")
}

// slowRotation returns a keyring whose rotations need several transactions. After each
// one, a rotation sends to under and then waits until letGo is closed.
func slowRotation(t *testing.T) (k *secretref.Keyring, path string, under, letGo chan struct{}) {
	path, under, letGo = keyringPath(t), make(chan struct{}, 100), make(chan struct{})
	k = openKeyring(t, path, &secretref.KeyringOptions{Progress: func(int, int) {
		under <- struct{}{}
		<-letGo
	}})
	for i := range 5 {
		put(t, k, fmt.Sprint(i), large) // more than fits into one transaction
	}
	return k, path, under, letGo
}

var large = strings.Repeat("x", 1<<20)

func TestRotate_closed(t *testing.T) {
	k, path, under, letGo := slowRotation(t)
	result := make(chan error)
	go func() {
		_, err := k.Rotate(t.Context())
		result <- err
	}()
	<-under
	closed := make(chan error)
	go func() { closed <- k.Close() }()
	require.Eventually(t, func() bool { _, err := k.Get(t.Context(), "1"); return err != nil },
		time.Minute, time.Millisecond)
	close(letGo)
	require.NoError(t, <-closed)
	err := <-result
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.ErrorContains(t, err, "closed", "the transaction was completed")

	again := openKeyring(t, path, nil)
	keys, err := again.Keys(t.Context())
	require.NoError(t, err)
	assert.Equal(t, secretref.KeyRetiring, keys[0].State)
	r, err := again.Rotate(t.Context())
	require.NoError(t, err)
	assert.Equal(t, keys[0].ID, r.From)
	for i := range 5 {
		requireStored(t, again, fmt.Sprint(i), large)
	}
}
