package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

// awkward is a password with the characters that are special in a URL, a data source name, a
// properties file or XML.
const awkward = ` p@ss:w/rd?&=#%41;{}<>[]"'\$+é😀 `

// home copies the home directory of a product from testdata and replaces texts in its configuration
// file.
func home(t *testing.T, product string, replace ...string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("../../testdata", product))))
	config, err := secretref.ReadConfig(dir)
	require.NoError(t, err)
	text, err := os.ReadFile(config.Path)
	require.NoError(t, err)
	changed := strings.NewReplacer(replace...).Replace(string(text))
	require.NotEqual(t, string(text), changed)
	require.NoError(t, os.WriteFile(config.Path, []byte(changed), 0o600))
	return dir
}

// account creates a role and a database that it owns, as an administrator of the product would.
func account(t *testing.T, admin *sql.DB, user, database, password string) {
	t.Helper()
	var quoted string
	require.NoError(t,
		admin.QueryRowContext(t.Context(), "SELECT quote_literal($1)", password).Scan(&quoted))
	for _, statement := range []string{
		fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD %s", user, quoted),
		fmt.Sprintf("CREATE DATABASE %s OWNER %s", database, user),
	} {
		_, err := admin.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
}

// TestProducts_openDatabase opens the database of each home directory in testdata: file, class,
// backend, JDBC URL, login, query.
func TestProducts_openDatabase(t *testing.T) {
	s, aws, server := startVault(t), startAWS(t), databases.OwnPostgreSQL(t)
	admin := server.Admin(t)
	stored, err := json.Marshal(map[string]string{"password": awkward, "other": canary})
	require.NoError(t, err)
	aws.PutSecret(region, "mySecretId", string(stored))
	aws.PutSecret(region, "search", "of the search")
	s.put(t, "sample/secret", string(stored))
	r := newResolver(t, s.kubernetes(t, readAll, jwt(t, nil)))

	for _, row := range []struct {
		product              string
		user, name, password string
		schema               string
		ignored              []string
	}{
		{"jira", "jiradbuser", "jiradb", awkward, "public", nil},
		{"confluence", "confluenceuser", "confluence", awkward, "public", nil},
		{"bitbucket", "bitbucket", "bitbucket", awkward, "public", nil},
		{"bamboo", "bamboouser", "bamboo", "bamboo's own", "public", nil},
		{"crowd", "crowduser", "crowd", "päßwörd-密码", "public", []string{"reWriteBatchedInserts"}},
	} {
		t.Run(row.product, func(t *testing.T) {
			account(t, admin, row.user, row.name, row.password)
			dir := home(t, row.product, "dbserver:5432", server.Addr, "primary:5432", server.Addr,
				"https://vault.example.com:8200", s.URL)

			config, err := secretref.ReadConfig(dir)
			require.NoError(t, err)
			settings, err := r.ResolveConfig(t.Context(), config)
			require.NoError(t, err)
			source, err := settings.Database.DataSource()
			require.NoError(t, err)
			require.Equal(t, row.ignored, source.Ignored)
			require.Equal(t, "pgx", source.Driver)
			db, err := sql.Open(source.Driver, source.Name.Reveal())
			require.NoError(t, err)
			defer db.Close()
			var user, name, schema string
			require.NoError(t,
				db.QueryRowContext(t.Context(),
					"SELECT current_user, current_database(), current_schema()").Scan(&user, &name, &schema))
			require.Equal(t, []string{row.user, row.name, row.schema}, []string{user, name, schema})

			var encrypted bool
			require.NoError(t,
				db.QueryRowContext(t.Context(),
					"SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted))
			require.True(t, encrypted, "TLS is required or preferred")
		})
	}
}

// program builds a program in one of the modules, such as "examples/jiradb", and returns a function
// that makes commands of it.
func program(t *testing.T, dir string) func(args ...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(dir))
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = filepath.Join("../..", dir)
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return func(args ...string) *exec.Cmd { return exec.Command(path, args...) }
}

// output runs a command and returns its output and exit status.
func output(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, status int) {
	t.Helper()
	var out, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failed
	if err := cmd.Run(); err != nil {
		require.IsType(t, &exec.ExitError{}, err)
	}
	return out.String(), failed.String(), cmd.ProcessState.ExitCode()
}

func vaultCoordinates(t *testing.T, s *server, path string) string {
	t.Helper()
	return strings.TrimPrefix(s.ref(t, path, "password"), "{ENC}")
}

// jiraHome creates a home directory of Jira whose password is in Vault.
func jiraHome(t *testing.T, s *server, addr, path string) string {
	t.Helper()
	return home(t, "jira", "dbserver:5432", addr,
		`{"region":"ap-southeast-2","secretId":"mySecretId", "secretPointer": "/password"}`,
		vaultCoordinates(t, s, path),
		"com.atlassian.secrets.store.aws.AwsSecretsManagerStore",
		"com.atlassian.secrets.store.vault.VaultSecretStore")
}

func password(t *testing.T, text string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"password": text})
	require.NoError(t, err)
	return string(body)
}

func TestProducts_jira(t *testing.T) {
	s, server, run := startVault(t), databases.OwnPostgreSQL(t), program(t, "examples/jiradb")
	admin := server.Admin(t)
	account(t, admin, "jiradbuser", "jiradb", awkward)
	s.put(t, "products/jira", password(t, awkward))
	t.Setenv("SECRET_STORE_VAULT_TOKEN", s.mint(t, "products", readAll))
	dir := jiraHome(t, s, server.Addr, "products/jira")

	out, failed, status := output(t, run("-check", dir))
	require.Equal(t, []any{"jira: logged in\n", "", 0}, []any{out, failed, status})

	out, failed, status = output(t, run(dir, "CREATE TABLE project (pkey text, pname text)"))
	require.Zero(t, status, "%s%s", out, failed)
	_, failed, status = output(t,
		run(dir, "INSERT INTO project VALUES ('OPS', 'Operations'), ('HR', NULL)"))
	require.Zero(t, status, failed)
	out, failed, status = output(t, run(dir, "SELECT pkey, pname FROM project ORDER BY pkey"))
	require.Equal(t, []any{"pkey  pname\nHR    NULL\nOPS   Operations\n", "", 0},
		[]any{out, failed, status})

	out, failed, status = output(t, run(dir))
	require.Zero(t, status, failed)
	require.Regexp(t, `(?s)^user +name +schema +version\njiradbuser +jiradb +public +PostgreSQL`, out)

	s.put(t, "products/jira", password(t, "wrong-"+canary))
	out, failed, status = output(t, run("-check", dir))
	require.Equal(t, []any{"", 1}, []any{out, status})
	require.NotContains(t, failed, canary)
	require.Contains(t, failed, "28P01", "the error code of the database")

	_, failed, status = output(t, run("-nonsense", dir))
	require.Equal(t, 2, status)
	require.Contains(t, failed, "usage")
}

// A transcript collects the output of a running command.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestProducts_rotation(t *testing.T) {
	s, server, run := startVault(t), databases.OwnPostgreSQL(t), program(t, "examples/jiradb")
	admin := server.Admin(t)
	account(t, admin, "jiradbuser", "jiradb", "the first")
	s.put(t, "products/jira", password(t, "the first"))
	t.Setenv("SECRET_STORE_VAULT_TOKEN", s.mint(t, "products", readAll))

	cmd := run("-every", "50ms", jiraHome(t, s, server.Addr, "products/jira"),
		"SELECT pg_backend_pid() AS pid")
	var out, failed transcript
	cmd.Stdout, cmd.Stderr = &out, &failed
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	pids := func() []string {
		var found []string
		for line := range strings.Lines(out.String()) {
			if pid := strings.TrimSpace(line); pid != "pid" &&
				(len(found) == 0 || found[len(found)-1] != pid) {
				found = append(found, pid)
			}
		}
		return found
	}
	for n, next := range []string{"the second", "the third"} {
		require.Eventually(t, func() bool { return len(pids()) > n }, 2*time.Minute, 10*time.Millisecond,
			"%v", &failed)
		s.put(t, "products/jira", password(t, next))
		_, err := admin.ExecContext(t.Context(), "ALTER ROLE jiradbuser PASSWORD '"+next+"'")
		require.NoError(t, err)
		_, err = admin.ExecContext(t.Context(),
			"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'jiradbuser'")
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return len(pids()) > 2 }, 2*time.Minute, 10*time.Millisecond,
		"a new connection with a new password")
	require.NotContains(t, failed.String(), "28P01", "a query failed with a refused login")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), "exit status after SIGTERM")
}

// TestSet_referenceAndBack follows the walkthrough for administrators: a plaintext password is
// replaced by a reference, and the other way round.
func TestSet_referenceAndBack(t *testing.T) {
	s, server := startVault(t), databases.OwnPostgreSQL(t)
	run, secretref := program(t, "examples/jiradb"), program(t, "cmd/secretref")
	account(t, server.Admin(t), "jiradbuser", "jiradb", awkward)
	s.put(t, "products/jira", password(t, awkward))
	t.Setenv("SECRET_STORE_VAULT_TOKEN", s.mint(t, "products", readAll))
	plain := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(awkward)
	dir := home(t, "jira", "dbserver:5432", server.Addr,
		`{"region":"ap-southeast-2","secretId":"mySecretId", "secretPointer": "/password"}`, plain,
		"    <atlassian-password-cipher-provider>com.atlassian.secrets.store.aws.AwsSecretsManagerStore</atlassian-password-cipher-provider>\n", "")
	file := filepath.Join(dir, "dbconfig.xml")
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	opens := func() {
		t.Helper()
		out, failed, status := output(t, run("-check", dir))
		require.Equal(t, []any{"jira: logged in\n", "", 0}, []any{out, failed, status})
	}
	opens()

	backup := filepath.Join(t.TempDir(), "backup")
	out, failed, status := output(t,
		secretref("set", "-backup-dir", backup, dir, vaultCoordinates(t, s, "products/jira")))
	require.Zero(t, status, "%s%s", out, failed)
	require.Contains(t, out, "the secret is the password now in the file")
	require.Contains(t, out, "restart Jira on every node")
	require.NotContains(t, out+failed, strings.TrimSpace(awkward))
	kept, err := filepath.Glob(filepath.Join(backup, "dbconfig.xml.*"))
	require.NoError(t, err)
	require.Len(t, kept, 1)
	saved, err := os.ReadFile(kept[0])
	require.NoError(t, err)
	require.Equal(t, before, saved)
	opens()

	back := secretref("set", "-backup-dir", backup, "-plaintext-from", "-", dir)
	back.Stdin = strings.NewReader(awkward + "\n")
	out, failed, status = output(t, back)
	require.Zero(t, status, "%s%s", out, failed)
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
	opens()
}

func TestProducts_confluenceWithMariaDB(t *testing.T) {
	s, server, run := startVault(t), databases.MariaDB(t), program(t, "examples/jiradb")
	admin := server.Admin(t)
	var quoted string
	require.NoError(t, admin.QueryRowContext(t.Context(), "SELECT quote(?)", awkward).Scan(&quoted))
	_, err := admin.ExecContext(t.Context(), "ALTER USER "+server.User+"@'%' IDENTIFIED BY "+quoted)
	require.NoError(t, err)
	s.put(t, "products/confluence", password(t, awkward))
	t.Setenv("SECRET_STORE_VAULT_TOKEN", s.mint(t, "products", readAll))
	dir := home(t, "confluence", "org.postgresql.Driver", "com.mysql.cj.jdbc.Driver", "confluenceuser",
		server.User,
		"jdbc:postgresql://dbserver:5432/confluence?ssl=true&amp;sslmode=require",
		"jdbc:mysql://"+server.Addr+"/"+server.Name+"?useUnicode=true&amp;characterEncoding=utf8",
		`{"mount": "secret", "path": "sample/secret", "key": "password", "endpoint": "https://vault.example.com:8200", "authenticationType": "KUBERNETES"}`,
		strings.ReplaceAll(vaultCoordinates(t, s, "products/confluence"), `"`, "&quot;"))

	out, failed, status := output(t, run("-check", dir))
	require.Equal(t, []any{"confluence: logged in\n", "", 0}, []any{out, failed, status})
	out, failed, status = output(t, run(dir))
	require.Zero(t, status, failed)
	require.Regexp(t, `(?s)^user +name +version\n`+server.User+`@% +`+server.Name+` .*MariaDB`, out)
}

func TestProducts_bitbucketWithKeyring(t *testing.T) {
	server, run := databases.OwnPostgreSQL(t), program(t, "examples/jiradb")
	account(t, server.Admin(t), "bitbucket", "bitbucket", awkward)
	store := filepath.Join(t.TempDir(), "secrets.db")
	keys, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(store), nil)
	require.NoError(t, err)
	defer keys.Close()
	require.NoError(t, keys.Put(t.Context(), "bitbucket-db", secretref.NewSecret(awkward)))
	require.NoError(t, keys.Put(t.Context(), "search", secretref.NewSecret("of the search")))
	dir := home(t, "bitbucket", "primary:5432", server.Addr,
		"encrypted-property.cipher.classname=com.atlassian.secrets.store.aws.AwsSecretsManagerStore\n", "",
		`{ENC}{"region":"ap-southeast-2","secretId":"mySecretId", "secretPointer": "/password"}`,
		`{ENC}{"keyring":"bitbucket-db"}`,
		`{ENC}{"region":"ap-southeast-2","secretId":"search"}`, `{ENC}{"keyring":"search"}`)

	out, failed, status := output(t, run("-store", store, "-check", dir))
	require.Equal(t, []any{"bitbucket: logged in\n", "", 0}, []any{out, failed, status})
	_, err = keys.Rotate(t.Context())
	require.NoError(t, err)
	out, failed, status = output(t, run("-store", store, "-check", dir))
	require.Equal(t, []any{"bitbucket: logged in\n", "", 0}, []any{out, failed, status},
		"after the key was rotated")
	_, failed, status = output(t, run("-check", dir))
	require.Equal(t, 1, status)
	require.Contains(t, failed, "keyring")
}
