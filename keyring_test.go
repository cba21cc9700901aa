package secretref_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
)

func keyringPath(t testing.TB) string { return filepath.Join(t.TempDir(), "secrets.db") }

func openKeyring(t testing.TB, path string, opts *secretref.KeyringOptions) *secretref.Keyring {
	t.Helper()
	k, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path), opts)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, k.Close()) })
	return k
}

func put(t testing.TB, k *secretref.Keyring, name, text string) {
	t.Helper()
	require.NoError(t, k.Put(t.Context(), name, secretref.NewSecret(text)))
}

func requireStored(t testing.TB, k *secretref.Keyring, name, text string) {
	t.Helper()
	s, err := k.Get(t.Context(), name)
	require.NoError(t, err)
	require.True(t, s.Reveal() == text, "%s has another text", name)
}

// damageRecord changes the stored record so that it cannot be decrypted.
func damageRecord(t testing.TB, path, name string) {
	t.Helper()
	store := boltstore.New(path)
	keys, err := store.Load(t.Context())
	require.NoError(t, err)
	box, err := store.Get(t.Context(), name)
	require.NoError(t, err)
	box[len(box)-1] ^= 1
	require.NoError(t, store.Put(t.Context(), keys.Active().ID, name, box))
}

func TestKeyring_Put(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	texts := map[string]string{
		"empty":                   "",
		"text":                    "pässwörd\n",
		"bytes":                   "\x00\xff\xfe\n\r\x00",
		"the largest":             strings.Repeat("x", 1<<20),
		"a name/with ключи 🔑":     "1",
		strings.Repeat("n", 1024): "2",
		"Case":                    "upper",
		"case":                    "lower",
		"case ":                   "blank",
	}
	for name, text := range texts {
		put(t, k, name, text)
	}
	for name, text := range texts {
		requireStored(t, k, name, text)
	}
	put(t, k, "text", "another")
	requireStored(t, k, "text", "another")

	require.NoError(t, k.Delete(t.Context(), "text"))
	_, err := k.Get(t.Context(), "text")
	require.ErrorIs(t, err, secretref.ErrNotFound)
	require.ErrorContains(t, err, `{ENC}{"keyring":"text"}`)
	require.ErrorIs(t, k.Delete(t.Context(), "text"), secretref.ErrNotFound)
	require.NoError(t, k.Verify(t.Context()))
}

func TestKeyring_Put_limits(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	for _, name := range []string{"", strings.Repeat("n", 1025), "\xff", "a\xc3"} {
		require.ErrorIs(t, k.Put(t.Context(), name, secretref.NewSecret(canary)), secretref.ErrSyntax)
		_, err := k.Get(t.Context(), name)
		require.ErrorIs(t, err, secretref.ErrSyntax)
		if err := k.Delete(t.Context(), name); name == "" || len(name) > 1024 {
			require.ErrorIs(t, err, secretref.ErrSyntax)
		} else {
			require.ErrorIs(t, err, secretref.ErrNotFound, "the name may be damaged")
		}
	}
	err := k.Put(t.Context(), "large", secretref.NewSecret(strings.Repeat("x", 1<<20+1)))
	require.ErrorIs(t, err, secretref.ErrSyntax)
	require.ErrorContains(t, err, "1 MiB")
	var pending secretref.Secret
	require.NoError(t, pending.UnmarshalText([]byte(canary)))
	err = k.Put(t.Context(), "pending", pending)
	require.ErrorIs(t, err, secretref.ErrSyntax)
	require.NotContains(t, err.Error(), canary)
	for range k.Names(t.Context()) {
		require.Fail(t, "something was stored")
	}
}

func TestKeyring_Names(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	for _, name := range []string{"ä", "aa", "B", "a\x00", "a ", "a"} {
		put(t, k, name, "x")
	}
	want := []string{"B", "a", "a\x00", "a ", "aa", "ä"}
	var got []string
	for name, err := range k.Names(t.Context()) {
		require.NoError(t, err)
		got = append(got, name)
	}
	assert.Equal(t, want, got)
	for name := range k.Names(t.Context()) {
		assert.Equal(t, "B", name)
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range k.Names(ctx) {
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
	}
}

func TestOpenKeyring_concurrent(t *testing.T) {
	path := keyringPath(t)
	const nodes = 10
	keyrings := make(chan *secretref.Keyring, nodes)
	for i := range nodes {
		go func() {
			k, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path), nil)
			if assert.NoError(t, err) {
				assert.NoError(t, k.Put(t.Context(), fmt.Sprint(i), secretref.NewSecret(fmt.Sprint(i))))
			}
			keyrings <- k
		}()
	}
	for range nodes {
		k := <-keyrings
		require.NotNil(t, k)
		defer func() { assert.NoError(t, k.Close()) }()
	}
	k := openKeyring(t, path, nil)
	for i := range nodes {
		requireStored(t, k, fmt.Sprint(i), fmt.Sprint(i))
	}
	keys, err := k.Keys(t.Context())
	require.NoError(t, err)
	assert.Len(t, keys, 1)
}

func TestKeyring_Verify(t *testing.T) {
	path := keyringPath(t)
	k := openKeyring(t, path, nil)
	for i := range 30 {
		put(t, k, fmt.Sprint("secret ", i), canary)
		if i < 25 {
			damageRecord(t, path, fmt.Sprint("secret ", i))
		}
	}
	err := k.Verify(t.Context())
	require.ErrorIs(t, err, secretref.ErrCorrupt)
	require.ErrorContains(t, err, `"secret 1"`)
	require.ErrorContains(t, err, "25 of the stored secrets cannot be decrypted")
	require.ErrorContains(t, err, "and 5 more")
	r, err := k.Rotate(t.Context())
	require.ErrorIs(t, err, secretref.ErrRotationBlocked)
	assert.Len(t, r.Blocked, 25, "the result names all of them")
	requireSilent(t, err)
}

func TestKeyring_Put_unresolved(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	put(t, k, "a", "old")
	for name, s := range map[string]secretref.Secret{
		"never set":                  {},
		"unmarshaled":                unresolved(t, "x"),
		"a reference from NewSecret": secretref.NewSecret(`{"keyring":"b"}`),
		"a broken one with a prefix": secretref.NewSecret("{ENC}" + canary),
		"an unmarshaled empty value": unresolved(t, ""),
	} {
		t.Run(name, func(t *testing.T) {
			err := k.Put(t.Context(), "a", s)
			require.ErrorIs(t, err, secretref.ErrSyntax)
			require.NotContains(t, err.Error(), canary)
			got, err := k.Get(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, "old", got.Reveal())
		})
	}
	for _, text := range []string{"", "x", `{"region":"eu-west-1"}`, `{"a":1}`} {
		require.NoError(t, k.Put(t.Context(), "a", secretref.NewSecret(text)))
		got, err := k.Get(t.Context(), "a")
		require.NoError(t, err)
		require.NoError(t, k.Put(t.Context(), "b", got), "a Secret that Get returned can be stored")
	}
}

func TestKeyring_fileRemoved(t *testing.T) {
	path := keyringPath(t)
	k := openKeyring(t, path, nil)
	put(t, k, "a", "x")
	require.NoError(t, os.Remove(path))
	ctx := t.Context()
	_, getErr := k.Get(ctx, "a")
	_, keysErr := k.Keys(ctx)
	_, rotateErr := k.Rotate(ctx)
	_, _, olderErr := k.RotateIfOlder(ctx, 0)
	_, deleteErr := k.DeleteInactive(ctx)
	_, resolveErr := secretref.New(&secretref.Options{Keyring: k}).Resolve(ctx, `{"keyring":"a"}`)
	errs := []error{getErr, keysErr, rotateErr, olderErr, deleteErr, resolveErr,
		k.Put(ctx, "a", secretref.NewSecret("x")), k.Delete(ctx, "a"),
		k.Verify(ctx), k.ChangeRootKey(ctx, secretref.NewRootKey())}
	for _, err := range k.Names(ctx) {
		errs = append(errs, err)
	}
	for _, err := range k.AuditLog(ctx) {
		errs = append(errs, err)
	}
	require.Len(t, errs, 12)
	for _, err := range errs {
		require.ErrorIs(t, err, secretref.ErrCorrupt)
		require.ErrorContains(t, err, "no longer in its store")
	}
}

func TestKeyring_Close(t *testing.T) {
	k, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(keyringPath(t)), nil)
	require.NoError(t, err)
	require.NoError(t, k.Close())
	require.NoError(t, k.Close())
	ctx := t.Context()
	_, getErr := k.Get(ctx, "a")
	_, keysErr := k.Keys(ctx)
	_, inactiveErr := k.Inactive(ctx)
	_, rotateErr := k.Rotate(ctx)
	_, _, olderErr := k.RotateIfOlder(ctx, 0)
	_, deleteErr := k.DeleteInactive(ctx)
	for _, err := range k.Names(ctx) {
		require.ErrorIs(t, err, secretref.ErrUnavailable)
	}
	for _, err := range k.AuditLog(ctx) {
		require.ErrorIs(t, err, secretref.ErrUnavailable)
	}
	for _, err := range []error{
		getErr, keysErr, inactiveErr, rotateErr, olderErr, deleteErr,
		k.Put(ctx, "a", secretref.NewSecret("x")), k.Delete(ctx, "a"),
		k.Verify(ctx), k.ChangeRootKey(ctx, secretref.NewRootKey())} {
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		require.ErrorContains(t, err, "closed")
	}
}

func TestResolve_keyring(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	put(t, k, "jdbc-password", "hunter2")
	put(t, k, "empty", "")
	events := make(chan secretref.FetchEvent, 10)
	r := secretref.New(&secretref.Options{
		Keyring: k, OnFetch: func(e secretref.FetchEvent) { events <- e },
	})
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	const value = `{ENC}{"keyring":"jdbc-password"}`
	for _, text := range []string{"hunter2", "changed"} { // it is not cached
		put(t, k, "jdbc-password", text)
		s, err := r.Resolve(t.Context(), value)
		require.NoError(t, err)
		assert.Equal(t, text, s.Reveal())
	}
	require.Len(t, events, 2)
	event := <-events
	assert.Equal(t, "keyring", event.Backend)
	assert.Equal(t, value, event.Reference)

	s, err := r.ResolveReference(t.Context(), secretref.KeyringReference{Name: "empty"})
	require.NoError(t, err)
	assert.True(t, s.IsZero())
	secrets, err := r.ResolveAll(t.Context(), value, `{"keyring":"nobody"}`, "plain")
	require.ErrorIs(t, err, secretref.ErrNotFound)
	require.ErrorContains(t, err, `value 2: {ENC}{"keyring":"nobody"}`)
	assert.Equal(t, []string{"changed", "", "plain"}, reveal(secrets))

	_, err = secretref.New(nil).Resolve(t.Context(), value)
	require.ErrorIs(t, err, secretref.ErrUnsupported)
	require.ErrorContains(t, err, "no keyring store")
	require.NoError(t, k.Close())
	_, err = r.Resolve(t.Context(), value)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
}

func TestResolveConfig_keyring(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	put(t, k, "jdbc", "hunter2")
	r := secretref.New(&secretref.Options{Keyring: k})
	c := readConfig(t, "bitbucket.properties",
		"jdbc.url=jdbc:postgresql://db/bitbucket\njdbc.user=b\njdbc.password={ENC}{\"keyring\":\"jdbc\"}\n")
	settings, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	assert.Equal(t, "hunter2", settings.Database.Password.Reveal())
}
