package secretref_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

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

// damageBox makes the stored secret one that does not open.
func damageBox(t testing.TB, path, name string) {
	t.Helper()
	store := boltstore.New(path)
	keys, err := store.Load(t.Context())
	require.NoError(t, err)
	box, err := store.Get(t.Context(), name)
	require.NoError(t, err)
	box[len(box)-1] ^= 1
	require.NoError(t, store.Put(t.Context(), keys.Active().ID, name, box))
}

func TestAKeyringGivesBackWhatWasStoredByteForByte(t *testing.T) {
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

func TestWhatCannotBeStoredIsRefused(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	for _, name := range []string{"", strings.Repeat("n", 1025), "\xff", "a\xc3"} {
		require.ErrorIs(t, k.Put(t.Context(), name, secretref.NewSecret(canary)), secretref.ErrSyntax)
		_, err := k.Get(t.Context(), name)
		require.ErrorIs(t, err, secretref.ErrSyntax)
		if err := k.Delete(t.Context(), name); name == "" || len(name) > 1024 {
			require.ErrorIs(t, err, secretref.ErrSyntax)
		} else {
			require.ErrorIs(t, err, secretref.ErrNotFound, "a damaged name may have to be deleted")
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

func TestNamesAreInTheOrderOfTheirBytes(t *testing.T) {
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

func TestFilesOfAKeyringAreForTheirOwnerOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	path := keyringPath(t)
	k := openKeyring(t, path, nil)
	put(t, k, "a", "x")
	_, err := k.Rotate(t.Context())
	require.NoError(t, err)
	require.NoError(t, k.ChangeRootKey(t.Context(), secretref.NewRootKey()))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode(), e.Name())
		names = append(names, e.Name())
	}
	assert.Equal(t, []string{"secrets.db", "secrets.db.key", "secrets.db.lock"}, names)

	for _, file := range []string{path, path + ".key"} {
		require.NoError(t, os.Chmod(file, 0o660), "as Kubernetes' fsGroup does")
		openKeyring(t, path, nil)
		require.NoError(t, os.Chmod(file, 0o604))
		_, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path), nil)
		require.ErrorIs(t, err, secretref.ErrDenied)
		require.ErrorContains(t, err, "chmod o-rwx "+file)
		require.NoError(t, os.Chmod(file, 0o600))
	}
}

func TestManyThatOpenANewKeyringShareIt(t *testing.T) {
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

func TestARootKeyThatIsThereIsUsedForANewDatabase(t *testing.T) {
	path := keyringPath(t)
	root := secretref.NewRootKey()
	require.NoError(t, os.WriteFile(path+".key", []byte(root.Reveal()), 0o600))
	put(t, openKeyring(t, path, nil), "a", "x")
	requireStored(t, openKeyring(t, path, &secretref.KeyringOptions{RootKey: root}), "a", "x")
}

func TestAKeyringOpensWithItsOwnRootKeyOnly(t *testing.T) {
	path := keyringPath(t)
	put(t, openKeyring(t, path, nil), "a", "x")
	open := func(opts secretref.KeyringOptions) error {
		_, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path), &opts)
		return err
	}
	file, err := os.ReadFile(path + ".key")
	require.NoError(t, err)
	own := secretref.NewSecret(string(file))
	var pending secretref.Secret
	require.NoError(t, pending.UnmarshalText(file))
	bad := secretref.NewSecret(canary + " is a passphrase")

	require.NoError(t, open(secretref.KeyringOptions{RootKey: own}))
	require.NoError(t, open(secretref.KeyringOptions{RootKey: secretref.NewRootKey(), PreviousRootKey: own}))
	for _, opts := range []secretref.KeyringOptions{
		{RootKey: secretref.NewRootKey()}, {RootKey: bad}, {RootKey: own, PreviousRootKey: bad}, {PreviousRootKey: own}, {RootKey: pending},
		{RootKey: secretref.NewRootKey(), PreviousRootKey: secretref.NewRootKey()},
	} {
		err := open(opts)
		require.ErrorIs(t, err, secretref.ErrRootKey)
		require.NotContains(t, err.Error(), canary)
		require.NotContains(t, err.Error(), string(file[:8]))
		require.ErrorContains(t, err, "oot")
	}

	require.NoError(t, os.Rename(path+".key", path+".away"))
	err = open(secretref.KeyringOptions{})
	require.ErrorIs(t, err, secretref.ErrRootKey)
	require.ErrorContains(t, err, path+".key is missing")
	require.NoFileExists(t, path+".key", "no other key is made")
	require.NoError(t, os.WriteFile(path+".key", []byte("c4nary"), 0o600))
	err = open(secretref.KeyringOptions{})
	require.ErrorIs(t, err, secretref.ErrRootKey)
	require.NotContains(t, err.Error(), "c4nary")
	require.NoError(t, os.Rename(path+".away", path+".key"))
	requireStored(t, openKeyring(t, path, nil), "a", "x")
}

func TestAStoreThatIsNoneIsUnsupported(t *testing.T) {
	for _, store := range []secretref.KeyStore{{}, secretref.FileStore(""), secretref.SQLStore(nil, secretref.PostgreSQL)} {
		_, err := secretref.OpenKeyring(t.Context(), store, nil)
		require.ErrorIs(t, err, secretref.ErrUnsupported)
	}
	_, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(filepath.Join(t.TempDir(), "missing", "secrets.db")), nil)
	require.ErrorIs(t, err, secretref.ErrNotFound)
	path := keyringPath(t)
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("something else "), 4096), 0o600))
	_, err = secretref.OpenKeyring(t.Context(), secretref.FileStore(path), nil)
	require.ErrorIs(t, err, secretref.ErrCorrupt)
	require.NoFileExists(t, path+".key")
}

func TestTheLifeOfKeys(t *testing.T) {
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

func TestEveryChangeOfKeysIsInTheAuditLog(t *testing.T) {
	path := keyringPath(t)
	var told []secretref.AuditEvent
	var logged bytes.Buffer
	k := openKeyring(t, path, &secretref.KeyringOptions{
		Audit:  func(_ context.Context, e secretref.AuditEvent) { told = append(told, e) },
		Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	put(t, k, "a", canary)
	ctx := secretref.WithActor(t.Context(), "alice")
	_, err := k.Rotate(ctx)
	require.NoError(t, err)
	_, err = k.DeleteInactive(secretref.WithActor(t.Context(), "bob"))
	require.NoError(t, err)
	require.NoError(t, k.ChangeRootKey(ctx, secretref.NewRootKey()))
	require.ErrorIs(t, k.ChangeRootKey(ctx, secretref.NewSecret(canary)), secretref.ErrRootKey)
	damageBox(t, path, "a")
	_, err = k.Rotate(ctx)
	require.ErrorIs(t, err, secretref.ErrRotationBlocked)
	lease, err := boltstore.New(path).Acquire(t.Context())
	require.NoError(t, err)
	_, err = k.Rotate(ctx)
	require.ErrorIs(t, err, secretref.ErrRotationInProgress)
	lease.Release(t.Context())

	want := []string{" create done 1", "alice rotate started 2", "alice rotate done 2", "bob delete-inactive done 1",
		"alice change-root done 1", "alice change-root refused 0", "alice rotate refused 1", "alice rotate refused 0"}
	line := func(e secretref.AuditEvent) string {
		assert.WithinDuration(t, time.Now(), e.Time, time.Minute)
		assert.NotContains(t, fmt.Sprintf("%+v", e), canary)
		return fmt.Sprintf("%s %s %s %d", e.Actor, e.Action, e.Outcome, len(e.Keys))
	}
	var log, callback []string
	for e, err := range openKeyring(t, path, nil).AuditLog(t.Context()) {
		require.NoError(t, err)
		log = append(log, line(e))
	}
	for _, e := range told {
		callback = append(callback, line(e))
	}
	assert.Equal(t, want, log)
	assert.Equal(t, want, callback)
	assert.Contains(t, logged.String(), "alice")
	assert.NotContains(t, logged.String(), canary)
}

func TestDamageIsNamedByVerify(t *testing.T) {
	path := keyringPath(t)
	k := openKeyring(t, path, nil)
	for i := range 30 {
		put(t, k, fmt.Sprint("secret ", i), canary)
		if i < 25 {
			damageBox(t, path, fmt.Sprint("secret ", i))
		}
	}
	err := k.Verify(t.Context())
	require.ErrorIs(t, err, secretref.ErrCorrupt)
	require.ErrorContains(t, err, `"secret 1"`)
	require.ErrorContains(t, err, "25 cannot be opened")
	require.ErrorContains(t, err, "and 5 more")
	r, err := k.Rotate(t.Context())
	require.ErrorIs(t, err, secretref.ErrRotationBlocked)
	assert.Len(t, r.Blocked, 25, "the result names them all")
	requireSilent(t, err)
}

func TestChangeRootKeyIsSeenByOtherNodes(t *testing.T) {
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
	require.ErrorIs(t, err, secretref.ErrRootKey, "the new key is wrapped with a root key that this node was not given")
	require.ErrorIs(t, old.Put(t.Context(), "a", secretref.NewSecret("y")), secretref.ErrRootKey)
	requireStored(t, both, "a", "x")

	third := secretref.NewRootKey() // which no node was opened with
	require.NoError(t, both.ChangeRootKey(t.Context(), third))
	_, err = both.Rotate(t.Context())
	require.NoError(t, err)
	put(t, both, "a", "y")
	requireStored(t, openKeyring(t, path, &secretref.KeyringOptions{RootKey: third}), "a", "y")
	require.NoFileExists(t, path+".key")
}

func TestPutRefusesWhatIsNoSecret(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	put(t, k, "a", "old")
	for name, s := range map[string]secretref.Secret{
		"never set":                   {},
		"unmarshalled":                unresolved(t, "x"),
		"a reference from NewSecret":  secretref.NewSecret(`{"keyring":"b"}`),
		"a broken one with a prefix":  secretref.NewSecret("{ENC}" + canary),
		"an unmarshalled empty value": unresolved(t, ""),
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
		require.NoError(t, k.Put(t.Context(), "b", got), "what was read can be stored")
	}
}

func TestAKeyringThatIsTakenAwayIsDamage(t *testing.T) {
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
	errs := []error{getErr, keysErr, rotateErr, olderErr, deleteErr, resolveErr, k.Put(ctx, "a", secretref.NewSecret("x")), k.Delete(ctx, "a"),
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

func TestAFileStoreHasOneNameWhateverLeadsThere(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	k := openKeyring(t, "secrets.db", nil)
	put(t, k, "a", "x")
	if runtime.GOOS != "windows" {
		require.NoError(t, os.Mkdir("elsewhere", 0o700))
		require.NoError(t, os.Symlink(filepath.Join(dir, "secrets.db"), filepath.Join("elsewhere", "link.db")))
		requireStored(t, openKeyring(t, filepath.Join("elsewhere", "link.db"), nil), "a", "x")
	}
	t.Chdir(t.TempDir())
	requireStored(t, k, "a", "x")
	_, err := k.Rotate(t.Context())
	require.NoError(t, err)
	left, err := os.ReadDir(".")
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestAPanicInProgressIsTheCallers(t *testing.T) {
	path := keyringPath(t)
	k := openKeyring(t, path, &secretref.KeyringOptions{Progress: func(int, int) { panic(canary) }})
	put(t, k, "a", "x")
	require.PanicsWithValue(t, canary, func() { _, _ = k.Rotate(t.Context()) })
	again := openKeyring(t, path, nil)
	_, err := again.Rotate(t.Context())
	require.NoError(t, err)
	requireStored(t, again, "a", "x")
}

func TestAClosedKeyringSaysSo(t *testing.T) {
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
	for _, err := range []error{getErr, keysErr, inactiveErr, rotateErr, olderErr, deleteErr, k.Put(ctx, "a", secretref.NewSecret("x")), k.Delete(ctx, "a"),
		k.Verify(ctx), k.ChangeRootKey(ctx, secretref.NewRootKey())} {
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		require.ErrorContains(t, err, "closed")
	}
}

func TestAKeyringIsTheResolversThirdBackend(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	put(t, k, "jdbc-password", "hunter2")
	put(t, k, "empty", "")
	events := make(chan secretref.FetchEvent, 10)
	r := secretref.New(&secretref.Options{Keyring: k, OnFetch: func(e secretref.FetchEvent) { events <- e }})
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	const value = `{ENC}{"keyring":"jdbc-password"}`
	for _, text := range []string{"hunter2", "changed"} { // never from a cache
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

func TestAConfigurationFileMayPointIntoAKeyring(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	put(t, k, "jdbc", "hunter2")
	r := secretref.New(&secretref.Options{Keyring: k})
	c := readConfig(t, "bitbucket.properties", "jdbc.url=jdbc:postgresql://db/bitbucket\njdbc.user=b\njdbc.password={ENC}{\"keyring\":\"jdbc\"}\n")
	settings, err := r.ResolveConfig(t.Context(), c)
	require.NoError(t, err)
	assert.Equal(t, "hunter2", settings.Database.Password.Reveal())
}

// The key management API.

const (
	rotatePath   = "/rest/secrets/1.0/keys/rotate"
	inactivePath = "/rest/secrets/1.0/keys/inactive"
)

// authorized lets in who brings the token.
func authorized(r *http.Request) (string, error) {
	if r.Header.Get("Authorization") != "Bearer "+canary {
		return "", errors.New("no " + canary)
	}
	return "carol", nil
}

// ask sends a request to the API and returns status, header and body.
func ask(t testing.TB, method, url, token string, header ...string) (int, http.Header, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	body := map[string]any{}
	if method != http.MethodHead {
		require.NoError(t, json.Unmarshal(raw, &body), "%s", raw)
	}
	require.NotContains(t, string(raw), canary)
	return res.StatusCode, res.Header, body
}

func TestTheKeyManagementAPIAnswersAsTheProductsDo(t *testing.T) {
	wrong := secretref.NewRootKey().Reveal()
	type request struct {
		method, path, token string
		header              []string
	}
	type outcome struct {
		status          int
		message, state  string
		www, allow      string
		inactive, gone  int
		loggedSubstring string
	}
	good := func(method, path string, header ...string) request { return request{method, path, canary, header} }
	none := func(*testing.T, string, *secretref.Keyring) {}
	refused := outcome{status: 401, message: "not authorized", state: "FAILED", www: `Bearer realm="secretref"`}
	rotated := func(t *testing.T, _ string, k *secretref.Keyring) {
		_, err := k.Rotate(t.Context())
		require.NoError(t, err)
	}
	damaged := func(t *testing.T, path string, _ *secretref.Keyring) { damageBox(t, path, "a") }
	busy := func(t *testing.T, path string, _ *secretref.Keyring) {
		lease, err := boltstore.New(path).Acquire(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { lease.Release(context.Background()) })
	}
	broken := func(t *testing.T, path string, _ *secretref.Keyring) { require.NoError(t, os.Truncate(path, 5000)) }
	closed := func(t *testing.T, _ string, k *secretref.Keyring) { require.NoError(t, k.Close()) }
	failed := outcome{status: 500, message: "internal error", state: "FAILED", loggedSubstring: "corrupt"}

	for name, c := range map[string]struct {
		before func(t *testing.T, path string, k *secretref.Keyring)
		request
		outcome
	}{
		"rotate":                      {none, good("POST", rotatePath), outcome{status: 200, message: "secrets sealed anew: 1", state: "ROTATED"}},
		"rotate with a query":         {none, good("POST", rotatePath+"?x=y"), outcome{status: 200, state: "ROTATED"}},
		"rotate, nobody":              {none, request{"POST", rotatePath, "", nil}, refused},
		"rotate, wrong token":         {none, request{"POST", rotatePath, wrong, nil}, refused},
		"rotate, wrong method":        {none, good("GET", rotatePath), outcome{status: 405, message: "GET is not allowed", state: "FAILED", allow: "POST"}},
		"rotate, in progress":         {busy, good("POST", rotatePath), outcome{status: 406, message: "a rotation is in progress", state: "IN_PROGRESS"}},
		"rotate, blocked":             {damaged, good("POST", rotatePath), outcome{status: 406, message: `"a"`, state: "BLOCKED"}},
		"rotate, broken":              {broken, good("POST", rotatePath), failed},
		"rotate, closed":              {closed, good("POST", rotatePath), outcome{status: 500, message: "internal error", state: "FAILED", loggedSubstring: "closed"}},
		"rotate, from another site":   {none, good("POST", rotatePath, "Sec-Fetch-Site", "cross-site"), outcome{status: 403, message: "browser", state: "FAILED"}},
		"inactive":                    {rotated, good("GET", inactivePath), outcome{status: 200, inactive: 1}},
		"inactive, only the head":     {rotated, good("HEAD", inactivePath), outcome{status: 200}},
		"inactive, none":              {none, good("GET", inactivePath), outcome{status: 200, inactive: -1}},
		"inactive, nobody":            {none, request{"GET", inactivePath, "", nil}, refused},
		"inactive, wrong method":      {none, good("PUT", inactivePath), outcome{status: 405, message: "PUT is not allowed", state: "FAILED", allow: "DELETE, GET, HEAD"}},
		"inactive, broken":            {broken, good("GET", inactivePath), failed},
		"delete inactive":             {rotated, good("DELETE", inactivePath), outcome{status: 200, gone: 1}},
		"delete inactive, none":       {none, good("DELETE", inactivePath), outcome{status: 200, gone: -1}},
		"delete inactive, nobody":     {rotated, request{"DELETE", inactivePath, "", nil}, refused},
		"delete inactive, broken":     {broken, good("DELETE", inactivePath), failed},
		"delete, from another site":   {rotated, good("DELETE", inactivePath, "Sec-Fetch-Site", "cross-site"), outcome{status: 403, message: "browser", state: "FAILED"}},
		"another path":                {none, good("GET", "/rest/secrets/1.0/keys"), outcome{status: 404, message: "nothing", state: "FAILED"}},
		"another path, nobody":        {none, request{"GET", "/", "", nil}, refused},
		"a path that only looks like": {none, good("POST", rotatePath+"/"), outcome{status: 404, message: "nothing", state: "FAILED"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := keyringPath(t)
			var logged bytes.Buffer
			k := openKeyring(t, path, &secretref.KeyringOptions{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			put(t, k, "a", canary)
			c.before(t, path, k)
			server := httptest.NewServer(http.StripPrefix("/context", k.Handler(authorized)))
			defer server.Close()

			status, header, body := ask(t, c.method, server.URL+"/context"+c.path, c.token, c.header...)
			assert.Equal(t, c.status, status, "%v", body)
			assert.Equal(t, "application/json", header.Get("Content-Type"))
			assert.Equal(t, "no-store", header.Get("Cache-Control"))
			assert.Equal(t, c.www, header.Get("WWW-Authenticate"))
			assert.Equal(t, c.allow, header.Get("Allow"))
			switch {
			case c.method == http.MethodHead:
				assert.Empty(t, body)
			case c.inactive != 0:
				require.Len(t, body, 1)
				assert.Len(t, body["inactiveKeys"], max(0, c.inactive))
				assert.NotNil(t, body["inactiveKeys"], "a list, never null")
			case c.gone != 0:
				require.Len(t, body, 1)
				assert.Len(t, body["deletedKeys"], max(0, c.gone))
				assert.NotNil(t, body["deletedKeys"])
			default:
				require.Len(t, body, 2)
				assert.Contains(t, body["message"], c.message)
				assert.Equal(t, c.state, body["status"])
			}
			server.Close()
			assert.Contains(t, logged.String(), c.loggedSubstring)
			assert.NotContains(t, logged.String(), canary)
			if c.status == 200 && c.method != "GET" && c.method != "HEAD" {
				events := 0
				for e, err := range k.AuditLog(t.Context()) {
					require.NoError(t, err)
					if e.Actor == "carol" && e.Outcome == "done" {
						events++
					}
				}
				assert.Equal(t, 1, events)
			}
		})
	}
}

func TestNobodyIsAuthorizedByDefault(t *testing.T) {
	k := openKeyring(t, keyringPath(t), nil)
	for name, authorize := range map[string]func(*http.Request) (string, error){
		"nil":            nil,
		"an empty actor": func(*http.Request) (string, error) { return "", nil },
		"an error":       func(*http.Request) (string, error) { return "dave", errors.New("no") },
	} {
		server := httptest.NewServer(k.Handler(authorize))
		status, _, _ := ask(t, "POST", server.URL+rotatePath, canary)
		assert.Equal(t, 401, status, name)
		server.Close()
	}
	keys, err := k.Keys(t.Context())
	require.NoError(t, err)
	assert.Len(t, keys, 1)
}

// slowly returns a keyring whose rotations need several transactions, and wait
// after each until they are let go.
func slowly(t *testing.T) (k *secretref.Keyring, path string, under, letGo chan struct{}) {
	path, under, letGo = keyringPath(t), make(chan struct{}, 100), make(chan struct{})
	k = openKeyring(t, path, &secretref.KeyringOptions{Progress: func(int, int) {
		under <- struct{}{}
		<-letGo
	}})
	for i := range 5 {
		put(t, k, fmt.Sprint(i), large) // more than one transaction takes
	}
	return k, path, under, letGo
}

var large = strings.Repeat("x", 1<<20)

func TestARotationOutlivesItsClientAndRefusesASecond(t *testing.T) {
	k, _, under, letGo := slowly(t)
	server := httptest.NewServer(k.Handler(authorized))
	defer server.Close()
	ctx, disconnect := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", server.URL+rotatePath, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+canary)
	gone := make(chan error)
	go func() {
		_, err := http.DefaultClient.Do(req) //nolint:bodyclose // there is none
		gone <- err
	}()
	<-under
	status, _, body := ask(t, "POST", server.URL+rotatePath, canary)
	assert.Equal(t, 406, status)
	assert.Equal(t, "IN_PROGRESS", body["status"])
	requireStored(t, k, "1", large)
	put(t, k, "written meanwhile", "y")
	disconnect()
	require.Error(t, <-gone)
	close(letGo)
	require.Eventually(t, func() bool {
		inactive, err := k.Inactive(t.Context())
		return err == nil && len(inactive) == 1
	}, time.Minute, 10*time.Millisecond)
	requireStored(t, k, "written meanwhile", "y")
	requireStored(t, k, "2", large)
}

func TestCloseEndsARotationBetweenTwoTransactions(t *testing.T) {
	k, path, under, letGo := slowly(t)
	result := make(chan error)
	go func() {
		_, err := k.Rotate(t.Context())
		result <- err
	}()
	<-under
	closed := make(chan error)
	go func() { closed <- k.Close() }()
	require.Eventually(t, func() bool { _, err := k.Get(t.Context(), "1"); return err != nil }, time.Minute, time.Millisecond)
	close(letGo)
	require.NoError(t, <-closed)
	err := <-result
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.ErrorContains(t, err, "closed", "no transaction was broken off")

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
