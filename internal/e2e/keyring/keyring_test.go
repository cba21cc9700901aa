// Package keyring_test breaks keyrings in real databases: it kills processes and
// servers, lets nodes work against each other, damages rows, and looks for
// secrets where none may be.
package keyring_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

// canary is how each text begins that is stored here.
const canary = "canary-Kq7vZ2mW-"

// output is what keyrings have told anybody, in all tests and by all victims.
var output transcript

func TestMain(m *testing.M) {
	if os.Getenv(victimDSN) != "" {
		fmt.Println("failed", victim())
		os.Exit(1)
	}
	code := m.Run()
	if found := output.secrets(); found != "" {
		fmt.Println("FAIL: log lines, audit events or errors have", found)
		code = 1
	}
	os.Exit(code)
}

// server is a kind of database that a keyring can be in.
type server struct {
	name        string
	dialect     secretref.Dialect
	shared, own func(testing.TB) *databases.Database
}

var (
	postgres = server{"PostgreSQL", secretref.PostgreSQL, databases.PostgreSQL, databases.OwnPostgreSQL}
	mariadb  = server{"MariaDB", secretref.MySQL, databases.MariaDB, databases.OwnMariaDB}
)

// onEach runs the test on each of the servers.
func onEach(t *testing.T, test func(t *testing.T, s server)) {
	t.Parallel()
	for _, s := range []server{postgres, mariadb} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// place is a database with a keyring.
type place struct {
	*databases.Database
	server server
	root   secretref.Secret
}

// newPlace returns a database on the server that all tests share.
func newPlace(t testing.TB, s server) place { return place{s.shared(t), s, newRoot()} }

// node opens the keyring as a further node does, with a pool of its own.
func (p place) node(t testing.TB) *secretref.Keyring {
	t.Helper()
	return p.nodeWith(t, secretref.KeyringOptions{RootKey: p.root})
}

func (p place) nodeWith(t testing.TB, opts secretref.KeyringOptions) *secretref.Keyring {
	t.Helper()
	return open(t, p.Open(t), p.server.dialect, opts)
}

func open(t testing.TB, db *sql.DB, d secretref.Dialect, opts secretref.KeyringOptions) *secretref.Keyring {
	t.Helper()
	k, err := secretref.OpenKeyring(t.Context(), secretref.SQLStore(db, d), output.capture(opts))
	require.NoError(t, output.keep(err))
	t.Cleanup(func() { require.NoError(t, k.Close()) })
	return k
}

// argument is how the nth argument of a statement is written.
func (s server) argument(n int) string {
	if s.dialect == secretref.PostgreSQL {
		return fmt.Sprintf("$%d", n)
	}
	return "?"
}

// free ends the lease of a node that was killed.
func free(t testing.TB, db *sql.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), "UPDATE secretref_lease SET expires = 0")
	require.NoError(t, err)
}

func put(t testing.TB, k *secretref.Keyring, name, text string) {
	t.Helper()
	require.NoError(t, output.keep(k.Put(t.Context(), name, secretref.NewSecret(canary+text))))
}

// get returns the text, or "" if there is none.
func get(t testing.TB, k *secretref.Keyring, name string) string {
	t.Helper()
	s, err := k.Get(t.Context(), name)
	if errors.Is(output.keep(err), secretref.ErrNotFound) {
		return ""
	}
	require.NoError(t, err, name)
	text, whole := strings.CutPrefix(s.Reveal(), canary)
	require.True(t, whole, "%s has another text", name)
	return text
}

// stored are secrets that must not be lost.
type stored map[string]string

func fill(t testing.TB, k *secretref.Keyring, n int) stored {
	t.Helper()
	s := stored{}
	for i := range n {
		name := fmt.Sprintf("secret-%d", i)
		s[name] = fmt.Sprintf("text %d", i)
		put(t, k, name, s[name])
	}
	return s
}

func (s stored) in(t testing.TB, k *secretref.Keyring) {
	t.Helper()
	for name, text := range s {
		require.True(t, text == get(t, k, name), "%s has another text", name)
	}
}

// whole proves that nothing is lost, that a rotation succeeds, or the one that
// was begun, that no key is needed but the active one after it, and that
// nothing is lost then either.
func (s stored) whole(t testing.TB, k *secretref.Keyring) {
	t.Helper()
	s.in(t, k)
	require.NoError(t, output.keep(k.Verify(t.Context())))
	_, err := k.Rotate(t.Context())
	require.NoError(t, output.keep(err))
	_, err = k.DeleteInactive(t.Context())
	require.NoError(t, output.keep(err))
	keys, err := k.Keys(t.Context())
	require.NoError(t, output.keep(err))
	require.Len(t, keys, 1)
	require.Equal(t, secretref.KeyActive, keys[0].State)
	require.GreaterOrEqual(t, keys[0].Encryptions, uint64(len(s)), "every seal is counted")
	s.in(t, k)
}

// newRoot returns a new root key, which nobody may hear of.
func newRoot() secretref.Secret {
	root := secretref.NewRootKey()
	output.forbid(rawRoot(root))
	return root
}

func rawRoot(root secretref.Secret) []byte {
	raw, err := base64.StdEncoding.DecodeString(root.Reveal())
	if err != nil || len(raw) != 32 {
		panic("a root key is not base64 of 32 bytes")
	}
	return raw
}

// record is a text in which secrets are looked for.
type transcript struct {
	mu        sync.Mutex
	text      bytes.Buffer
	forbidden [][]byte
}

// by returns options with which a keyring tells r everything.
func (r *transcript) capture(opts secretref.KeyringOptions) *secretref.KeyringOptions {
	opts.Logger = logger(r)
	opts.Audit = func(_ context.Context, e secretref.AuditEvent) { fmt.Fprintf(r, "audit: %+v\n", e) }
	return &opts
}

func logger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (r *transcript) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

// told takes in an error that somebody got, in all its forms.
func (r *transcript) keep(err error) error {
	if err != nil {
		fmt.Fprintf(r, "error: %v %+v %#v\n", err, err, err)
	}
	return err
}

// forbid names a key that must be found nowhere.
func (r *transcript) forbid(key []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forbidden = append(r.forbidden, key)
}

// secrets says what is in the text that must not be, or nothing.
func (r *transcript) secrets() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return secretsIn(r.text.Bytes(), r.forbidden)
}

// secretsIn looks for the beginning of each stored text, and for keys in any
// form.
func secretsIn(text []byte, keys [][]byte) string {
	if bytes.Contains(text, []byte(canary)) {
		return "the text of a stored secret"
	}
	for _, key := range keys {
		for form, needle := range map[string]string{
			"raw": string(key), "hexadecimal": hex.EncodeToString(key), "printed": strings.Trim(fmt.Sprint(key), "[]"),
			"base64": base64.RawStdEncoding.EncodeToString(key), "base64 for URLs": base64.RawURLEncoding.EncodeToString(key),
		} {
			if bytes.Contains(text, []byte(needle)) {
				return "a key, " + form
			}
		}
	}
	return ""
}
