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

// dataKeys unwraps the data keys with an independent implementation of the format, and
// forbids them in output.
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

// exercise calls all methods of a keyring. It returns the keys, which must not be found, and
// a record, which must be found.
func exercise(t *testing.T, store store.Store, root secretref.Secret,
	open func(root, previous secretref.Secret) *secretref.Keyring) (keys [][]byte, record []byte) {
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

	// Errors about keys and secrets.
	require.ErrorIs(t, output.keep(k.ChangeRootKey(t.Context(),
		secretref.NewSecret(canary+"is no root key"))), secretref.ErrRootKey)
	require.ErrorIs(t, output.keep(k.Put(t.Context(), "", secretref.NewSecret(canary))),
		secretref.ErrSyntax)
	require.ErrorIs(t,
		output.keep(k.Put(t.Context(), "huge",
			secretref.NewSecret(canary+strings.Repeat("huge", 1<<18)))), secretref.ErrSyntax)
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

// checkText checks that text contains the record, so that it is the right text, and that it
// contains no secret.
func checkText(t *testing.T, text []byte, keys [][]byte, record []byte) {
	t.Helper()
	require.True(t, bytes.Contains(text, record), "the record is missing")
	require.Empty(t, secretsIn(text, keys))
}

// tree returns the content of all files below a directory, except those with excluded
// names.
func tree(t *testing.T, dir string, excluded ...string) (text []byte) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		for _, name := range excluded {
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

func TestLeak_file(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "secrets.db")
	root := newRoot()
	keys, record := exercise(t, boltstore.New(path), root,
		func(root, previous secretref.Secret) *secretref.Keyring {
			opts := output.capture(secretref.KeyringOptions{RootKey: root, PreviousRootKey: previous})
			k, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path), opts)
			require.NoError(t, output.keep(err))
			t.Cleanup(func() { require.NoError(t, k.Close()) })
			return k
		})
	checkText(t, tree(t, dir), keys, record)
}

func TestLeak_rootKeyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "secrets.db")
	k, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(path),
		output.capture(secretref.KeyringOptions{}))
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
	checkText(t, tree(t, dir, "secrets.db.key"), keys, record)
	require.NotEmpty(t, secretsIn(tree(t, dir), keys), "the search finds the root key in its file")
}

// tables returns the content of all tables.
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

// The directory of a server also contains its write-ahead and message logs.
func TestLeak_database(t *testing.T) {
	directories := map[string]string{postgres.name: "SHOW data_directory",
		mariadb.name: "SELECT @@datadir"}
	onEach(t, func(t *testing.T, s server) {
		p := cluster{s.own(t), s, newRoot()}
		keys, record := exercise(t, p.store(t), p.root,
			func(root, previous secretref.Secret) *secretref.Keyring {
				return p.nodeWith(t, secretref.KeyringOptions{RootKey: root, PreviousRootKey: previous})
			})
		checkText(t, tables(t, p.Open(t)), keys, record)

		var dir string
		require.NoError(t, p.Admin(t).QueryRowContext(t.Context(), directories[s.name]).Scan(&dir))
		files := func() []byte { return tree(t, filepath.Dir(filepath.Clean(dir))) }
		p.Stop(t) // writes everything to its files
		checkText(t, files(), keys, record)
		p.Start(t)
	})
}
