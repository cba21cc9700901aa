package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/testcert"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
)

// path returns the path of a file of the fixture.
func (f *fixture) path(name string) string { return filepath.Join(f.dir, name) }

// must runs a command and fails the test unless it succeeds.
func (f *fixture) must(stdin string, args ...string) {
	f.t.Helper()
	got := f.do(stdin, false, args...)
	require.Equal(f.t, ui.StatusOK, got.status, got.err)
}

// write writes a file with mode 0600.
func (f *fixture) write(name, text string) {
	require.NoError(f.t, os.WriteFile(f.path(name), []byte(text), 0o600))
}

// keyring creates the keyring DIR/k.db with two secrets.
func keyring(w *fixture) {
	w.must("canary-db", "keys", "-store", "DIR/k.db", "put", "db")
	w.must("canary-mail", "keys", "-store", "DIR/k.db", "put", "mail")
}

// rotated creates a keyring with an inactive key.
func rotated(w *fixture) {
	keyring(w)
	w.must("", "keys", "-store", "DIR/k.db", "rotate")
}

// rooted creates a keyring whose root key is in DIR/root.key.
func rooted(w *fixture) {
	w.must("", "keys", "new-root-key", "DIR/root.key")
	w.must("canary-db", "keys", "-store", "DIR/k.db", "-root-key-file", "DIR/root.key", "put", "db")
}

// damaged creates a keyring with a damaged secret.
func damaged(w *fixture) {
	rotated(w)
	damageSecret(w, "db")
}

func damageSecret(w *fixture, name string) {
	store := boltstore.New(w.path("k.db"))
	keys, err := store.Load(w.t.Context())
	require.NoError(w.t, err)
	box, err := store.Get(w.t.Context(), name)
	require.NoError(w.t, err)
	box[len(box)-1] ^= 1
	require.NoError(w.t, store.Put(w.t.Context(), keys.Active().ID, name, box))
}

// busy creates a keyring whose keys another process is changing.
func busy(w *fixture) {
	keyring(w)
	lease, err := boltstore.New(w.path("k.db")).Acquire(w.t.Context())
	require.NoError(w.t, err)
	w.t.Cleanup(func() { lease.Release(w.t.Context()) })
}

func on(command ...string) []string {
	return append([]string{"keys", "-store", "DIR/k.db"}, command...)
}

var secretsGoldens = []golden{
	{name: "keys-put-first", stdin: "canary", args: on("put", "db")},
	{name: "keys-put", stdin: "canary", args: on("put", "db"), given: keyring},
	{name: "keys-put-newline", stdin: "canary\n", args: on("put", "db"), given: keyring},
	{name: "keys-put-empty", args: on("put", "db"), given: keyring, want: ui.StatusFailed},
	{name: "keys-put-too-long", stdin: strings.Repeat("x", ui.MaxSecret+1), args: on("put", "db"),
		given: keyring, want: ui.StatusFailed},
	{name: "keys-put-name-too-long", stdin: "canary", args: on("put", strings.Repeat("x", 1025)),
		given: keyring, want: ui.StatusFailed},
	{name: "keys-put-no-directory", stdin: "canary",
		args: []string{"keys", "-store", "DIR/nowhere/k.db", "put", "db"}, want: ui.StatusFailed},
	{name: "keys-get", args: on("get", "db"), given: keyring, reveals: true},
	{name: "keys-get-on-a-terminal", args: on("get", "db"), given: keyring, terminal: true,
		reveals: true},
	{name: "keys-get-missing", args: on("get", "nowhere"), given: keyring, want: ui.StatusFailed},
	{name: "keys-get-damaged", args: on("get", "db"), given: damaged, want: ui.StatusFailed},
	{name: "keys-delete", args: on("delete", "db"), given: keyring},
	{name: "keys-delete-missing", args: on("delete", "nowhere"), given: keyring,
		want: ui.StatusFailed},
	{name: "keys-names", args: on("names"), given: func(w *fixture) {
		keyring(w)
		w.must("canary", on("put", "--", "-dash")...)
		w.must("canary", on("put", "two\nlines")...)
		w.must("canary", on("put", "café")...)
	}},
}

var keysGoldens = []golden{
	{name: "keys-list", args: on("list"), given: rotated},
	{name: "keys-list-json", args: on("list", "-json"), given: rotated},
	{name: "keys-no-keyring", args: on("list"), want: ui.StatusFailed},
	{name: "keys-verify", args: on("verify"), given: rotated},
	{name: "keys-verify-damaged", args: on("verify"), given: damaged, want: ui.StatusFailed},
	{name: "keys-audit", args: on("audit"), given: rotated},
	{name: "keys-audit-json", args: on("audit", "-json"), given: rotated},
	{name: "keys-rotate", args: on("rotate"), given: keyring},
	{name: "keys-rotate-young", args: on("rotate", "-if-older-than", "90d"), given: keyring},
	{name: "keys-rotate-old", args: on("rotate", "-if-older-than", "1ns"), given: keyring},
	{name: "keys-rotate-age-malformed", args: on("rotate", "-if-older-than", "soon"),
		given: keyring, want: ui.StatusUsage},
	{name: "keys-rotate-blocked", args: on("rotate"), given: damaged, want: ui.StatusFailed},
	{name: "keys-rotate-in-progress", args: on("rotate"), given: busy, want: ui.StatusFailed},
	{name: "keys-inactive", args: on("inactive"), given: rotated},
	{name: "keys-inactive-json", args: on("inactive", "-json"), given: keyring},
	{name: "keys-inactive-none", args: on("inactive"), given: keyring},
	{name: "keys-delete-inactive", args: on("delete-inactive"), given: rotated},
	{name: "keys-delete-inactive-none", args: on("delete-inactive"), given: keyring},

	{name: "help-keys", args: []string{"keys", "-h"}},
	{name: "keys-no-command", args: on(), want: ui.StatusUsage},
	{name: "keys-unknown-command", args: on("canary"), want: ui.StatusUsage},
	{name: "keys-unknown-flag", args: on("get", "-canary"), want: ui.StatusUsage},
	{name: "keys-name-missing", args: on("get"), want: ui.StatusUsage},
	{name: "keys-flag-behind-name", args: []string{"keys", "get", "db", "-store", "DIR/k.db"},
		want: ui.StatusUsage},
	{name: "keys-store-behind-command", args: []string{"keys", "get", "-store", "DIR/k.db", "db"},
		given: keyring, reveals: true},
	{name: "keys-no-store", args: []string{"keys", "list"}, want: ui.StatusUsage},
	{name: "keys-store-without-value", args: []string{"keys", "list", "-store"},
		want: ui.StatusUsage},
}

var rootKeyGoldens = []golden{
	{name: "keys-new-root-key", args: []string{"keys", "new-root-key", "DIR/root.key"}},
	{name: "keys-new-root-key-exists", args: []string{"keys", "new-root-key", "DIR/root.key"},
		given: rooted, want: ui.StatusFailed},
	{name: "keys-change-root", args: on("change-root"), given: keyring},
	{name: "keys-change-root-in-progress", args: on("change-root"), given: busy,
		want: ui.StatusFailed},
	{name: "keys-change-root-given",
		args: on("-root-key-file", "DIR/root.key", "change-root", "-new-root-key-file",
			"DIR/next.key"),
		given: func(w *fixture) {
			rooted(w)
			w.must("", "keys", "new-root-key", "DIR/next.key")
		}},
	{name: "keys-change-root-to-nothing", args: on("-root-key-file", "DIR/root.key", "change-root"),
		given: rooted, want: ui.StatusUsage},
	{name: "keys-root-key-lost", args: on("list"), want: ui.StatusFailed, given: func(w *fixture) {
		keyring(w)
		require.NoError(w.t, os.Remove(w.path("k.db.key")))
	}},
	{name: "keys-root-key-of-another", args: on("-root-key-file", "DIR/root.key", "list"),
		want: ui.StatusFailed, given: func(w *fixture) {
			keyring(w)
			w.must("", "keys", "new-root-key", "DIR/root.key")
		}},
	{name: "keys-root-key-is-none", args: on("-root-key-file", "DIR/root.key", "list"),
		want: ui.StatusFailed, given: func(w *fixture) {
			rooted(w)
			w.write("root.key", "canary")
		}},
	{name: "keys-root-key-file-empty", args: on("-root-key-file", "DIR/root.key", "list"),
		want: ui.StatusFailed, given: func(w *fixture) {
			rooted(w)
			w.write("root.key", "\n")
		}},
	{name: "keys-root-key-file-absent", args: on("-root-key-file", "DIR/root.key", "list"),
		want: ui.StatusFailed, given: keyring},
	{name: "keys-root-key-file-open", args: on("-root-key-file", "DIR/root.key", "list"),
		want: ui.StatusFailed, given: func(w *fixture) {
			rooted(w)
			require.NoError(w.t, os.Chmod(w.path("root.key"), 0o644))
		}},
	{name: "keys-root-key-in-vault", args: on("-root-key-file", "DIR/root.key", "get", "db"),
		reveals: true, given: func(w *fixture) {
			rooted(w)
			w.toVault("root.key")
		}},
	{name: "keys-root-key-in-vault-denied", args: on("-root-key-file", "DIR/root.key", "get", "db"),
		want: ui.StatusFailed, given: func(w *fixture) {
			rooted(w)
			w.toVault("root.key")
			w.powerless()
		}},
	{name: "keys-previous-root-key-alone",
		args: on("-previous-root-key-file", "DIR/root.key", "list"), want: ui.StatusUsage},
}

// toVault moves the content of a file to Vault and writes a reference into the file.
func (f *fixture) toVault(name string) {
	text, err := os.ReadFile(f.path(name))
	require.NoError(f.t, err)
	f.vault.Put("secret", "keyring", map[string]any{"root": strings.TrimSpace(string(text))})
	f.write(name,
		`{"mount":"secret","path":"keyring","key":"root","endpoint":"`+f.vault.URL()+`"}`+"\n")
}

func in(store string) []string {
	return []string{"keys", "-store", store, "-root-key-file", "DIR/root.key", "list"}
}

func withRootKey(w *fixture) { w.must("", "keys", "new-root-key", "DIR/root.key") }

var storeGoldens = []golden{
	{name: "store-open-to-others", args: on("list"), want: ui.StatusFailed,
		given: func(w *fixture) {
			keyring(w)
			require.NoError(w.t, os.Chmod(w.path("k.db"), 0o644))
		}},
	{name: "store-without-root-key",
		args: []string{"keys", "-store", "mysql://app@127.0.0.1/app",
			"list"}, want: ui.StatusUsage},
	{name: "store-password-in-url", args: in("postgres://app:canary@127.0.0.1/app"),
		want: ui.StatusUsage},
	{name: "store-password-in-parameter",
		args: in("postgres://app@127.0.0.1/app?sslpassword=canary"), want: ui.StatusUsage},
	{name: "store-malformed-reference",
		args: in("mysql://app:%7B%22mount%22:%22canary%22%7D@127.0.0.1/app"), want: ui.StatusUsage},
	{name: "store-url-of-unknown-kind", args: in("sqlite://canary"), want: ui.StatusUsage},
	{name: "store-password-not-encoded", args: in("postgres://app:ca/nary@127.0.0.1/app"),
		want: ui.StatusUsage},
	{name: "store-without-database", args: in("mysql://app@127.0.0.1"), given: withRootKey,
		want: ui.StatusUsage},
	{name: "store-unknown-parameter", args: in("mysql://app@127.0.0.1/app?multiStatements=true"),
		given: withRootKey, want: ui.StatusUsage},
	{name: "store-unknown-tls", args: in("mysql://app@127.0.0.1/app?tls=yes"), given: withRootKey,
		want: ui.StatusUsage},
	{name: "store-unknown-sslmode", args: in("postgres://app@127.0.0.1/app?sslmode=yes"),
		given: withRootKey, want: ui.StatusUsage},
	{name: "store-unreachable-postgres",
		args: in("postgresql://app@127.0.0.1:1/app?sslmode=disable"), given: withRootKey,
		want: ui.StatusFailed},
	{name: "store-unreachable-mysql", args: in("mariadb://app@127.0.0.1:1/app"), given: withRootKey,
		want: ui.StatusFailed},
	{name: "store-password-not-found", args: in("postgres://app@127.0.0.1:1/app"),
		want: ui.StatusFailed, given: func(w *fixture) {
			withRootKey(w)
			w.t.Setenv(storeflags.PasswordVariable,
				w.fill(`{"mount":"secret","path":"nowhere","key":"password","endpoint":"http://VAULT"}`))
		}},
}

// keyringGoldens are references to secrets in a keyring.
var keyringGoldens = []golden{
	{name: "resolve-keyring", args: []string{"resolve", "-store", "DIR/k.db", `{"keyring":"db"}`},
		given: keyring, reveals: true},
	{name: "resolve-keyring-missing",
		args: []string{"resolve", "-store", "DIR/k.db",
			`{"keyring":"nowhere"}`}, given: keyring, want: ui.StatusFailed},
	{name: "resolve-keyring-not-given", args: []string{"resolve", `{"keyring":"db"}`},
		want: ui.StatusFailed},
	{name: "resolve-root-key-without-store",
		args: []string{"resolve", "-root-key-file", "DIR/root.key",
			`{"keyring":"db"}`}, want: ui.StatusUsage},
	{name: "config-keyring", args: []string{"config", "-store", "DIR/k.db", "-reveal", "DIR/jira"},
		given: jiraWithKeyring, reveals: true},
	{name: "check-keyring-with-store",
		args: []string{"check", "-store", "DIR/k.db", `{"keyring":"db"}`}, given: keyring},
	{name: "check-keyring-in-file", args: []string{"check", "-store", "DIR/k.db", "DIR/jira"},
		given: jiraWithKeyring},
	{name: "check-keyring-wrong",
		args: []string{"check", "-store", "DIR/k.db", `{"keyring":"nowhere"}`,
			`{"keyring":"db"}`}, given: damaged, want: ui.StatusFailed},
	{name: "check-keyring-absent",
		args: []string{"check", "-store", "DIR/k.db", `{"keyring":"db"}`,
			"DIR/jira"}, want: ui.StatusFailed},
	{name: "check-keyring-in-database", want: ui.StatusFailed, given: withRootKey,
		args: []string{"check", "-store", "mysql://app@127.0.0.1:1/app?tls=true", "-root-key-file",
			"DIR/root.key", `{"keyring":"db"}`}},
	{name: "check-store-with-password",
		args: []string{"check", "-store", "mysql://app:canary@127.0.0.1/app",
			"DIR/jira"}, want: ui.StatusUsage},
}

func jiraWithKeyring(w *fixture) {
	keyring(w)
	w.edit(jiraFile, trackerSecret, `{"keyring":"db"}`)
	w.edit(jiraFile,
		"<atlassian-password-cipher-provider>com.atlassian.secrets.store.aws.AwsSecretsManagerStore</atlassian-password-cipher-provider>", "")
}

func serving(flags ...string) []string {
	return append([]string{"serve", "-store", "DIR/k.db", "-token-file", "DIR/token"}, flags...)
}

// keyringAndToken creates a keyring and a token file.
func keyringAndToken(w *fixture) {
	keyring(w)
	w.write("token", canary+"-token-0123456789\n")
}

var serveGoldens = []golden{
	{name: "help-serve", args: []string{"help", "serve"}},
	{name: "serve-no-store",
		args: []string{"serve", "-addr", "127.0.0.1:0", "-token-file",
			"DIR/token"}, want: ui.StatusUsage},
	{name: "serve-no-token-file",
		args: []string{"serve", "-store", "DIR/k.db", "-addr",
			"127.0.0.1:0"}, want: ui.StatusUsage},
	{name: "serve-no-address", args: serving(), want: ui.StatusUsage},
	{name: "serve-exposed", args: serving("-addr", "192.0.2.1:8080"), want: ui.StatusUsage},
	{name: "serve-exposed-everywhere", args: serving("-addr", ":8080"), want: ui.StatusUsage},
	{name: "serve-exposed-by-name", args: serving("-addr", "keys.example:8080"),
		want: ui.StatusUsage},
	{name: "serve-half-a-certificate",
		args: serving("-addr", "127.0.0.1:0", "-tls-cert", "DIR/cert.pem"), want: ui.StatusUsage},
	{name: "serve-certificate-absent", given: keyringAndToken, want: ui.StatusFailed,
		args: serving("-addr", "127.0.0.1:0", "-tls-cert", "DIR/cert.pem", "-tls-key",
			"DIR/key.pem")},
	{name: "serve-no-certificate", want: ui.StatusFailed, given: func(w *fixture) {
		keyringAndToken(w)
		w.write("cert.pem", "canary")
	}, args: serving("-addr", "127.0.0.1:0", "-tls-cert", "DIR/cert.pem", "-tls-key", "DIR/cert.pem")},
	{name: "serve-tls-key-open", want: ui.StatusFailed, given: func(w *fixture) {
		keyringAndToken(w)
		testcert.Write(w.t, w.dir, "cert")
		require.NoError(w.t, os.Chmod(w.path("cert.key"), 0o644))
	}, args: serving("-addr", "127.0.0.1:0", "-tls-cert", "DIR/cert.pem", "-tls-key", "DIR/cert.key")},
	{name: "serve-token-absent", args: serving("-addr", "127.0.0.1:0"), given: keyring,
		want: ui.StatusFailed},
	{name: "serve-token-open", args: serving("-addr", "127.0.0.1:0"), want: ui.StatusFailed,
		given: func(w *fixture) {
			keyringAndToken(w)
			require.NoError(w.t, os.Chmod(w.path("token"), 0o604))
		}},
	{name: "serve-token-short", args: serving("-addr", "127.0.0.1:0"), want: ui.StatusFailed,
		given: func(w *fixture) {
			keyringAndToken(w)
			w.write("token", "canary-012345\n")
		}},
	{name: "serve-token-of-two-lines", args: serving("-addr", "127.0.0.1:0"), want: ui.StatusFailed,
		given: func(w *fixture) {
			keyringAndToken(w)
			w.write("token", "canary-0123456789\ncanary-9876543210\n")
		}},
	{name: "serve-no-keyring", args: serving("-addr", "127.0.0.1:0"), want: ui.StatusFailed,
		given: func(w *fixture) {
			w.write("token", canary+"-token-0123456789\n")
		}},
}
