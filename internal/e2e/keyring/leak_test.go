package keyring_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
)

// dataKeys returns the keys in the store, unwrapped by another implementation of
// the format, and forbids them.
func dataKeys(t *testing.T, store store.Store, root secretref.Secret) (raw [][]byte) {
	t.Helper()
	block, err := aes.NewCipher(rawRoot(root))
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	keys, err := store.Load(t.Context())
	require.NoError(t, err)
	for _, k := range keys.Keys {
		head, nonce, sealed := k.Wrapped[:9], k.Wrapped[9:21], k.Wrapped[21:]
		label := append([]byte("secretref wrapped key v1\x00"), head...)
		key, err := gcm.Open(nil, nonce, sealed, binary.BigEndian.AppendUint64(label, uint64(k.ID)))
		require.NoError(t, err)
		require.Len(t, key, 32)
		output.forbid(key)
		raw = append(raw, key)
	}
	return raw
}

// busy does all that a keyring does, and returns the keys that nobody may find
// and a record that must be found.
func busy(t *testing.T, store store.Store, root secretref.Secret, open func(root, previous secretref.Secret) *secretref.Keyring) (keys [][]byte, record []byte) {
	t.Helper()
	k := open(root, secretref.Secret{})
	note := func() { keys = append(append(keys, rawRoot(root)), dataKeys(t, store, root)...) }
	note()
	fill(t, k, 20)
	put(t, k, "long", strings.Repeat("and a long story ", 10_000))
	_, err := k.Rotate(t.Context())
	require.NoError(t, output.keep(err))
	note()
	put(t, k, "secret-0", "another text")
	require.NoError(t, output.keep(k.Delete(t.Context(), "secret-1")))
	next := newRoot()
	require.NoError(t, output.keep(k.ChangeRootKey(t.Context(), next)))
	k, root = open(next, root), next
	note()
	_, err = k.Rotate(t.Context())
	require.NoError(t, output.keep(err))
	note()
	_, err = k.DeleteInactive(t.Context())
	require.NoError(t, output.keep(err))
	require.NoError(t, output.keep(k.Verify(t.Context())))

	// Errors that are about keys and secrets.
	require.ErrorIs(t, output.keep(k.ChangeRootKey(t.Context(), secretref.NewSecret(canary+"is no root key"))), secretref.ErrRootKey)
	require.ErrorIs(t, output.keep(k.Put(t.Context(), "", secretref.NewSecret(canary))), secretref.ErrSyntax)
	require.ErrorIs(t, output.keep(k.Put(t.Context(), "huge", secretref.NewSecret(canary+strings.Repeat("huge", 1<<18)))), secretref.ErrSyntax)
	_, err = k.Get(t.Context(), "secret-1")
	require.ErrorIs(t, output.keep(err), secretref.ErrNotFound)
	for e, err := range k.AuditLog(t.Context()) {
		require.NoError(t, output.keep(err))
		fmt.Fprintf(&output, "%+v\n", e)
	}
	record, err = store.Get(t.Context(), "secret-2")
	require.NoError(t, err)
	return keys, record
}

// searched proves that text holds the record, and so would hold a secret if one had
// been written there, and that it does not.
func searched(t *testing.T, text []byte, keys [][]byte, record []byte) {
	t.Helper()
	require.True(t, bytes.Contains(text, record), "the record is not where it should be")
	require.Empty(t, secretsIn(text, keys))
}

// tree returns the content of all files below a directory but those left out.
func tree(t *testing.T, dir string, but ...string) (text []byte) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		for _, name := range but {
			if entry.Name() == name {
				return nil
			}
		}
		content, err := os.ReadFile(path)
		text = append(text, content...)
		return err
	}))
	return text
}

func TestNoSecretIsInTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "secrets.db")
	root := newRoot()
	keys, record := busy(t, boltstore.New(path), root, func(root, previous secretref.Secret) *secretref.Keyring {
		opts := output.capture(secretref.KeyringOptions{RootKey: root, PreviousRootKey: previous})
		k, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path), opts)
		require.NoError(t, output.keep(err))
		t.Cleanup(func() { require.NoError(t, k.Close()) })
		return k
	})
	searched(t, tree(t, dir), keys, record)
}

func TestTheRootKeyIsInItsFileOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "secrets.db")
	k, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path), output.capture(secretref.KeyringOptions{}))
	require.NoError(t, output.keep(err))
	fill(t, k, 3)
	var keys [][]byte
	note := func() {
		text, err := os.ReadFile(path + ".key")
		require.NoError(t, err)
		root := secretref.NewSecret(strings.TrimSpace(string(text)))
		output.forbid(rawRoot(root))
		keys = append(append(keys, rawRoot(root)), dataKeys(t, boltstore.New(path), root)...)
	}
	note()
	require.NoError(t, output.keep(k.ChangeRootKey(t.Context(), newRoot())))
	note()
	_, err = k.Rotate(t.Context())
	require.NoError(t, output.keep(err))
	note()
	record, err := boltstore.New(path).Get(t.Context(), "secret-2")
	require.NoError(t, err)
	require.NoError(t, k.Close())
	searched(t, tree(t, dir, "secrets.db.key"), keys, record)
	require.NotEmpty(t, secretsIn(tree(t, dir), keys), "the search finds what is there")
}

// tables returns all that is in the tables.
func tables(t *testing.T, db *sql.DB) (text []byte) {
	t.Helper()
	for _, table := range []string{"records", "keys", "events", "lease", "meta"} {
		rows, err := db.QueryContext(t.Context(), "SELECT * FROM secretref_"+table)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			values := make([]sql.RawBytes, len(columns))
			row := make([]any, len(columns))
			for i := range row {
				row[i] = &values[i]
			}
			require.NoError(t, rows.Scan(row...))
			for _, v := range values {
				text = append(append(text, v...), '\n')
			}
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	return text
}

// The directory of a server also has its logs of changes and of messages.
func TestNoSecretIsInTheDatabase(t *testing.T) {
	directories := map[string]string{postgres.name: "SHOW data_directory", mariadb.name: "SELECT @@datadir"}
	onEach(t, func(t *testing.T, s server) {
		p := place{s.own(t), s, newRoot()}
		keys, record := busy(t, p.store(t), p.root, func(root, previous secretref.Secret) *secretref.Keyring {
			return p.nodeWith(t, secretref.KeyringOptions{RootKey: root, PreviousRootKey: previous})
		})
		searched(t, tables(t, p.Open(t)), keys, record)

		var dir string
		require.NoError(t, p.Admin(t).QueryRowContext(t.Context(), directories[s.name]).Scan(&dir))
		whole := func() []byte { return tree(t, filepath.Dir(filepath.Clean(dir))) }
		p.Stop(t) // so that everything is in its files
		searched(t, whole(), keys, record)
		p.Start(t)
	})
}
