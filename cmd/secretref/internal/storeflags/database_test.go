package storeflags

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/testcert"
	"github.com/seed74218947/secretref/internal/test/fakevault"
)

func TestMySQLConfig(t *testing.T) {
	config := func(store string) *mysql.Config {
		l, err := parseLocation(store)
		require.NoError(t, err, store)
		c, err := l.mysqlConfig()
		require.NoError(t, err, store)
		return c
	}
	c := config("mysql://a%40b%2Fc@db.example/ke%3Fys")
	assert.Equal(t, [...]string{"a@b/c", "", "tcp", "db.example:3306", "ke?ys"},
		[...]string{c.User, c.Passwd, c.Net, c.Addr, c.DBName})
	assert.Equal(t, defaultConnectTimeout, c.Timeout)
	assert.False(t, c.MultiStatements)
	assert.False(t, c.AllowAllFiles)

	assert.Equal(t, "[::1]:3306", config("mysql://a@[::1]/k").Addr)
	assert.Equal(t, "[::1]:3307", config("mysql://a@[::1]:3307/k").Addr)
	assert.Equal(t, "localhost:3306", config("mysql://a@/k").Addr)

	c = config("mariadb://a@h/k?tls=skip-verify&timeout=3s&readTimeout=1m&writeTimeout=2m&collation=utf8mb4_bin")
	assert.Equal(t, "skip-verify", c.TLSConfig)
	assert.Equal(t, [...]time.Duration{3 * time.Second, time.Minute, 2 * time.Minute},
		[...]time.Duration{c.Timeout, c.ReadTimeout, c.WriteTimeout})
	assert.Equal(t, "utf8mb4_bin", c.Collation)

	c = config("mysql://a@/k?socket=/run/mysqld/mysqld.sock")
	assert.Equal(t, [...]string{"unix", "/run/mysqld/mysqld.sock"}, [...]string{c.Net, c.Addr})

	dir := t.TempDir()
	testcert.Write(t, dir, "ca")
	c = config("mysql://a@db.example/k?ssl-ca=" + filepath.Join(dir, "ca.pem"))
	require.NotNil(t, c.TLS)
	assert.NotNil(t, c.TLS.RootCAs)
	assert.Equal(t, "db.example", c.TLS.ServerName)
	assert.False(t, c.TLS.InsecureSkipVerify)
}

func TestMySQLConfig_refusesMalformedURL(t *testing.T) {
	dir := t.TempDir()
	empty, absent := filepath.Join(dir, "none.pem"), filepath.Join(dir, "absent.pem")
	require.NoError(t, os.WriteFile(empty, []byte("canary"), 0o600))
	for _, store := range []string{
		"mysql://db/keys", "mysql://app@db", "mysql://app@db/", "mysql://app@d%zz/k",
		"mysql://app@db/k?timeout=soon", "mysql://app@db/k?timeout=-1s",
		"mysql://app@db/k?allowAllFiles=true",
		"mysql://app@db/k?ssl-ca=" + empty, "mysql://app@db/k?ssl-ca=" + absent,
	} {
		l, err := parseLocation(store)
		if err == nil {
			_, err = l.mysqlConfig()
		}
		if assert.Error(t, err, store) {
			assert.NotContains(t, err.Error(), "canary", store)
		}
	}
}

func TestCredential_urlBeforeVariables(t *testing.T) {
	clearVariables(t)
	of := func(store string) [2]string {
		l, err := parseLocation(store)
		require.NoError(t, err)
		c := l.Credential()
		value, err := c.read()
		require.NoError(t, err)
		return [2]string{value, c.Source}
	}
	const postgres, mariadb = "postgres://app@db/k", "mysql://app@db/k"
	assert.Equal(t, [2]string{}, of(postgres))
	t.Setenv("PGPASSWORD", "canary-pg")
	assert.Equal(t, [2]string{"canary-pg", "PGPASSWORD"}, of(postgres))
	assert.Equal(t, [2]string{}, of(mariadb))
	t.Setenv(PasswordVariable, "canary-store")
	assert.Equal(t, [2]string{"canary-store", PasswordVariable}, of(postgres))
	assert.Equal(t, [2]string{"canary-store", PasswordVariable}, of(mariadb))
	assert.Equal(t, [2]string{`{"region":"eu-west-1","secretId":"x"}`, "the reference in the URL"},
		of("mysql://app:%7B%22region%22%3A%22eu-west-1%22%2C%22secretId%22%3A%22x%22%7D@db/k"))
}

func TestCredential_file(t *testing.T) {
	clearVariables(t)
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	flags := Flags{Store: "postgres://app@db/k", RootKeyFile: "root", PasswordFile: file}
	read := func(o Flags) (string, error) {
		l, err := o.Location()
		require.NoError(t, err)
		return l.Credential().read()
	}
	const reference = `{"region":"eu-west-1","secretId":"x"}`
	for text, want := range map[string]string{
		"canary": "canary", "canary\n": "canary", " canary \r\n": " canary ", "canary\n\n": "canary\n",
		reference + "\n": reference,
	} {
		write(text)
		got, err := read(flags)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	write("canary\n")
	t.Setenv("PGPASSWORD", "other")
	t.Setenv(PasswordVariable, "another")
	got, err := read(flags) // the flag overrides the variables
	require.NoError(t, err)
	assert.Equal(t, "canary", got)

	t.Setenv(PasswordVariable, "")
	t.Setenv(passwordFileVariable, file)
	flags.PasswordFile = ""
	got, err = read(flags)
	require.NoError(t, err)
	assert.Equal(t, "canary", got)

	require.NoError(t, os.Chmod(file, 0o604))
	_, err = read(flags)
	require.ErrorIs(t, err, secretref.ErrDenied)
	write("\n")
	require.NoError(t, os.Chmod(file, 0o600))
	_, err = read(flags)
	require.ErrorContains(t, err, "is empty")
	require.NoError(t, os.Remove(file))
	_, err = read(flags)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestPasswordSetter_resolvesForEachConnection(t *testing.T) {
	clearVariables(t)
	vault := fakevault.New()
	defer vault.Close()
	t.Setenv("SECRET_STORE_VAULT_TOKEN", vault.RootToken())
	reference := `{"mount":"secret","path":"db","key":"password","endpoint":"` + vault.URL() + `"}`
	t.Setenv(PasswordVariable, reference)
	vault.Put("secret", "db", map[string]any{"password": "canary-db"})
	l, err := parseLocation("mysql://app@db/k")
	require.NoError(t, err)
	resolver := secretref.New(&secretref.Options{TTL: -1})
	defer resolver.Close()
	var password string
	before := l.passwordSetter(resolver, func(p string) { password = p })

	require.NoError(t, before(t.Context()))
	assert.Equal(t, "canary-db", password)

	vault.Put("secret", "db", map[string]any{"password": "canary-next"})
	require.NoError(t, before(t.Context()))
	assert.Equal(t, "canary-next", password)

	t.Setenv("SECRET_STORE_VAULT_TOKEN", tokenWithoutPolicies(t, vault))
	err = before(t.Context())
	assert.ErrorIs(t, err, secretref.ErrDenied)
	assert.Contains(t, err.Error(), PasswordVariable+": {ENC}")
}

// clearVariables clears the variables that may contain a password.
func clearVariables(t *testing.T) {
	for _, name := range []string{
		storeVariable, rootKeyVariable, PasswordVariable, passwordFileVariable, "PGPASSWORD",
		"HTTPS_PROXY",
	} {
		t.Setenv(name, "")
	}
}

func tokenWithoutPolicies(t *testing.T, vault *fakevault.Server) string {
	body := strings.NewReader(`{"policies":["default"]}`)
	req, err := http.NewRequest(http.MethodPost, vault.URL()+"/v1/auth/token/create", body)
	require.NoError(t, err)
	req.Header.Set("X-Vault-Token", vault.RootToken())
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var made struct {
		Auth struct {
			ClientToken string `json:"client_token"`
		}
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&made))
	require.NotEmpty(t, made.Auth.ClientToken)
	return made.Auth.ClientToken
}
