// Package keyring_test tests keyrings in real databases under failures: it kills processes
// and servers, runs nodes concurrently, damages rows, and searches for secrets where none
// may be.
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

// canary is the beginning of every secret that these tests store.
const canary = "canary-Kq7vZ2mW-"

// output collects all logs, audit events and errors of all tests and victims.
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

// server is a kind of database server.
type server struct {
	name        string
	dialect     secretref.Dialect
	shared, own func(testing.TB) *databases.Database
}

var (
	postgres = server{"PostgreSQL", secretref.PostgreSQL, databases.PostgreSQL,
		databases.OwnPostgreSQL}
	mariadb = server{"MariaDB", secretref.MySQL, databases.MariaDB, databases.OwnMariaDB}
)

// onEach runs the test on all servers in parallel.
func onEach(t *testing.T, test func(t *testing.T, s server)) {
	t.Parallel()
	for _, s := range []server{postgres, mariadb} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// cluster is a database with a keyring.
type cluster struct {
	*databases.Database
	server server
	root   secretref.Secret
}

// newCluster returns a database on the server that the tests share.
func newCluster(t testing.TB, s server) cluster { return cluster{s.shared(t), s, newRoot()} }

// node opens the keyring like another node, with a pool of its own.
func (p cluster) node(t testing.TB) *secretref.Keyring {
	t.Helper()
	return p.nodeWith(t, secretref.KeyringOptions{RootKey: p.root})
}

func (p cluster) nodeWith(t testing.TB, opts secretref.KeyringOptions) *secretref.Keyring {
	t.Helper()
	return open(t, p.Open(t), p.server.dialect, opts)
}

func open(t testing.TB, db *sql.DB, d secretref.Dialect,
	opts secretref.KeyringOptions) *secretref.Keyring {
	t.Helper()
	k, err := secretref.OpenKeyring(t.Context(), secretref.SQLStore(db, d), output.capture(opts))
	require.NoError(t, output.keep(err))
	t.Cleanup(func() { require.NoError(t, k.Close()) })
	return k
}

// argument returns the placeholder of the nth argument of a statement.
func (s server) argument(n int) string {
	if s.dialect == secretref.PostgreSQL {
		return fmt.Sprintf("$%d", n)
	}
	return "?"
}

// expireLease ends the lease of a node that was killed.
func expireLease(t testing.TB, db *sql.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), "UPDATE secretref_lease SET expires = 0")
	require.NoError(t, err)
}

func put(t testing.TB, k *secretref.Keyring, name, text string) {
	t.Helper()
	require.NoError(t, output.keep(k.Put(t.Context(), name, secretref.NewSecret(canary+text))))
}

// get returns the text, or "" if there is no secret.
func get(t testing.TB, k *secretref.Keyring, name string) string {
	t.Helper()
	s, err := k.Get(t.Context(), name)
	if errors.Is(output.keep(err), secretref.ErrNotFound) {
		return ""
	}
	require.NoError(t, err, name)
	text, ok := strings.CutPrefix(s.Reveal(), canary)
	require.True(t, ok, "%s has another text", name)
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

func (s stored) checkSecrets(t testing.TB, k *secretref.Keyring) {
	t.Helper()
	for name, text := range s {
		require.True(t, text == get(t, k, name), "%s has another text", name)
	}
}

// checkIntact checks that nothing is lost, that a rotation succeeds, that afterwards only the
// active key is needed, and that still nothing is lost.
func (s stored) checkIntact(t testing.TB, k *secretref.Keyring) {
	t.Helper()
	s.checkSecrets(t, k)
	require.NoError(t, output.keep(k.Verify(t.Context())))
	_, err := k.Rotate(t.Context())
	require.NoError(t, output.keep(err))
	_, err = k.DeleteInactive(t.Context())
	require.NoError(t, output.keep(err))
	keys, err := k.Keys(t.Context())
	require.NoError(t, output.keep(err))
	require.Len(t, keys, 1)
	require.Equal(t, secretref.KeyActive, keys[0].State)
	require.GreaterOrEqual(t, keys[0].Encryptions, uint64(len(s)), "every encryption is counted")
	s.checkSecrets(t, k)
}

// newRoot returns a new root key, which must not appear in output.
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

// transcript collects text and searches it for secrets.
type transcript struct {
	mu        sync.Mutex
	text      bytes.Buffer
	forbidden [][]byte
}

// capture returns opts with a logger and an audit function that write to r.
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

// keep writes an error to r, in all its forms, and returns it.
func (r *transcript) keep(err error) error {
	if err != nil {
		fmt.Fprintf(r, "error: %v %+v %#v\n", err, err, err)
	}
	return err
}

// forbid adds a key that must not appear in the text.
func (r *transcript) forbid(key []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forbidden = append(r.forbidden, key)
}

// secrets describes a secret in the text, or returns "".
func (r *transcript) secrets() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return secretsIn(r.text.Bytes(), r.forbidden)
}

// secretsIn searches for stored secrets, and for the keys in any encoding.
func secretsIn(text []byte, keys [][]byte) string {
	if bytes.Contains(text, []byte(canary)) {
		return "the text of a stored secret"
	}
	for _, key := range keys {
		for form, needle := range map[string]string{
			"raw": string(key), "hexadecimal": hex.EncodeToString(key),
			"printed":         strings.Trim(fmt.Sprint(key), "[]"),
			"base64":          base64.RawStdEncoding.EncodeToString(key),
			"base64 for URLs": base64.RawURLEncoding.EncodeToString(key),
		} {
			if bytes.Contains(text, []byte(needle)) {
				return "a key, " + form
			}
		}
	}
	return ""
}
