package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

func TestStoreIsAFileOrADatabase(t *testing.T) {
	reference := `{ENC}{"region":"eu-west-1","secretId":"db/p@ss"}`
	for store, want := range map[string]location{
		"k.db":                        {name: "k.db"},
		"/var/lib/a:b@c/k.db":         {name: "/var/lib/a:b@c/k.db"},
		`C:\keys\k.db`:                {name: `C:\keys\k.db`},
		"postgres://app@db:5432/keys": {dialect: secretref.PostgreSQL, name: "postgres://app@db:5432/keys", url: "postgres://app@db:5432/keys"},
		"PostgreSQL://app@db/keys?sslmode=verify-full": {dialect: secretref.PostgreSQL, name: "postgres://app@db/keys", url: "postgres://app@db/keys?sslmode=verify-full"},
		"postgres://app@a:1,[::1]:2/keys?passfile=x":   {dialect: secretref.PostgreSQL, name: "postgres://app@a:1,[::1]:2/keys", url: "postgres://app@a:1,[::1]:2/keys?passfile=x"},
		"postgres:///keys":                             {dialect: secretref.PostgreSQL, name: "postgres:///keys", url: "postgres:///keys"},
		"postgres://app:@db":                           {dialect: secretref.PostgreSQL, name: "postgres://app@db", url: "postgres://app@db"},
		"mysql://a%40b@[::1]/keys":                     {dialect: secretref.MySQL, name: "mysql://a%40b@[::1]/keys", url: "mysql://a%40b@[::1]/keys"},
		"mariadb://app@db/keys?tls=true":               {dialect: secretref.MySQL, name: "mysql://app@db/keys", url: "mysql://app@db/keys?tls=true"},
		"mysql://app:" + url.PathEscape(reference) + "@db/keys": {dialect: secretref.MySQL, name: "mysql://app@db/keys",
			url: "mysql://app@db/keys", password: reference},
	} {
		got, err := parseLocation(store)
		require.NoError(t, err, store)
		assert.Equal(t, want, got, store)
	}
}

func TestURLThatMayHoldAPasswordIsRefusedAndNotRepeated(t *testing.T) {
	for _, store := range []string{
		"postgres://app:canary@db/keys",
		"postgres://app:canary@db",
		"postgres://:canary@db/keys",
		"postgres://app:ca%6eary@db/keys",
		"postgres://app:canary%zz@db/keys",
		"postgres://app:canary",
		"postgres://app:cana/ry@db/canary",
		"postgres://app:cana?ry@db/canary",
		"postgres://app:cana#ry@db/canary",
		"postgres://app:cana@ry@db/canary",
		"postgres://app:12/canary@db/canary",
		"postgres://app:12?canary@db/canary",
		"postgres://app:12#canary",
		"postgres://app@db/canary?password=canary",
		"postgres://app@db/canary?PASSWORD=canary",
		"postgres://app@db/canary?pass%77ord=canary",
		"postgres://app@db/canary?canary%zz",
		"mysql://app@db/keys?passwd=canary",
		"mysql://app@db/keys?x=1&pwd=canary",
		`mysql://app:{"region":"canary"}@db/keys`,
		`mysql://app:%7B%22region%22:%22canary%22%7D@db/keys`,
		"mongodb://app:canary@db/keys",
		"jdbc:mysql://app:canary@db/keys",
	} {
		_, err := parseLocation(store)
		_, usage := err.(*usageError)
		assert.True(t, usage, store)
		if err != nil {
			assert.NotContains(t, err.Error(), canary, store)
		}
	}
}

func TestMySQLURLBecomesTheDriversConfiguration(t *testing.T) {
	config := func(store string) *mysql.Config {
		l, err := parseLocation(store)
		require.NoError(t, err, store)
		c, err := l.mysqlConfig()
		require.NoError(t, err, store)
		return c
	}
	c := config("mysql://a%40b%2Fc@db.example/ke%3Fys")
	assert.Equal(t, [...]string{"a@b/c", "", "tcp", "db.example:3306", "ke?ys"}, [...]string{c.User, c.Passwd, c.Net, c.Addr, c.DBName})
	assert.Equal(t, connectTimeout, c.Timeout)
	assert.False(t, c.MultiStatements)
	assert.False(t, c.AllowAllFiles)

	assert.Equal(t, "[::1]:3306", config("mysql://a@[::1]/k").Addr)
	assert.Equal(t, "[::1]:3307", config("mysql://a@[::1]:3307/k").Addr)
	assert.Equal(t, "localhost:3306", config("mysql://a@/k").Addr)

	c = config("mariadb://a@h/k?tls=skip-verify&timeout=3s&readTimeout=1m&writeTimeout=2m&collation=utf8mb4_bin")
	assert.Equal(t, "skip-verify", c.TLSConfig)
	assert.Equal(t, [...]time.Duration{3 * time.Second, time.Minute, 2 * time.Minute}, [...]time.Duration{c.Timeout, c.ReadTimeout, c.WriteTimeout})
	assert.Equal(t, "utf8mb4_bin", c.Collation)

	c = config("mysql://a@/k?socket=/run/mysqld/mysqld.sock")
	assert.Equal(t, [...]string{"unix", "/run/mysqld/mysqld.sock"}, [...]string{c.Net, c.Addr})

	w := newWorld(t)
	w.certificate("ca")
	c = config("mysql://a@db.example/k?ssl-ca=" + w.path("ca.pem"))
	require.NotNil(t, c.TLS)
	assert.NotNil(t, c.TLS.RootCAs)
	assert.Equal(t, "db.example", c.TLS.ServerName)
	assert.False(t, c.TLS.InsecureSkipVerify)
}

func TestMySQLURLWithAMistakeIsRefused(t *testing.T) {
	w := newWorld(t)
	w.write("none.pem", "canary")
	for _, store := range []string{
		"mysql://db/keys", "mysql://app@db", "mysql://app@db/", "mysql://app@d%zz/k",
		"mysql://app@db/k?timeout=soon", "mysql://app@db/k?timeout=-1s", "mysql://app@db/k?allowAllFiles=true",
		"mysql://app@db/k?ssl-ca=" + w.path("none.pem"), "mysql://app@db/k?ssl-ca=" + w.path("absent.pem"),
	} {
		l, err := parseLocation(store)
		if err == nil {
			_, err = l.mysqlConfig()
		}
		if assert.Error(t, err, store) {
			assert.NotContains(t, err.Error(), canary, store)
		}
	}
}

func TestPasswordComesFromTheURLThenFromVariables(t *testing.T) {
	w := newWorld(t)
	of := func(store string) [2]string {
		l, err := parseLocation(store)
		require.NoError(t, err)
		c := l.credential()
		value, err := c.read()
		require.NoError(t, err)
		return [2]string{value, c.place}
	}
	const postgres, mariadb = "postgres://app@db/k", "mysql://app@db/k"
	assert.Equal(t, [2]string{}, of(postgres))
	w.t.Setenv("PGPASSWORD", "canary-pg")
	assert.Equal(t, [2]string{"canary-pg", "PGPASSWORD"}, of(postgres))
	assert.Equal(t, [2]string{}, of(mariadb))
	w.t.Setenv(passwordVariable, "canary-store")
	assert.Equal(t, [2]string{"canary-store", passwordVariable}, of(postgres))
	assert.Equal(t, [2]string{"canary-store", passwordVariable}, of(mariadb))
	assert.Equal(t, [2]string{`{"region":"eu-west-1","secretId":"x"}`, "the reference in the URL"},
		of("mysql://app:%7B%22region%22%3A%22eu-west-1%22%2C%22secretId%22%3A%22x%22%7D@db/k"))
}

func TestPasswordComesFromAFile(t *testing.T) {
	w := newWorld(t)
	file := w.path("password")
	flags := storeFlags{store: "postgres://app@db/k", rootKeyFile: "root", passwordFile: file}
	read := func(o storeFlags) (string, error) {
		l, err := o.location()
		require.NoError(t, err)
		return l.credential().read()
	}
	for text, want := range map[string]string{
		"canary": "canary", "canary\n": "canary", " canary \r\n": " canary ", "canary\n\n": "canary\n", trackerSecret + "\n": trackerSecret,
	} {
		w.write("password", text)
		got, err := read(flags)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	w.write("password", "canary\n")
	t.Setenv("PGPASSWORD", "other")
	t.Setenv(passwordVariable, "another")
	got, err := read(flags) // the flag is nearer than a variable
	require.NoError(t, err)
	assert.Equal(t, "canary", got)

	t.Setenv(passwordVariable, "")
	t.Setenv(passwordFileVariable, file)
	flags.passwordFile = ""
	got, err = read(flags)
	require.NoError(t, err)
	assert.Equal(t, "canary", got)

	require.NoError(t, os.Chmod(file, 0o604))
	_, err = read(flags)
	require.ErrorIs(t, err, secretref.ErrDenied)
	w.write("password", "\n")
	require.NoError(t, os.Chmod(file, 0o600))
	_, err = read(flags)
	require.ErrorContains(t, err, "is empty")
	require.NoError(t, os.Remove(file))
	_, err = read(flags)
	require.ErrorIs(t, err, fs.ErrNotExist)

	// What a command says of it.
	args := []string{"keys", "-store", "postgres://app@127.0.0.1:1/k", "-root-key-file", "DIR/root.key", "-store-password-file", "DIR/password", "list"}
	w.must("", "keys", "new-root-key", "DIR/root.key")
	failed := w.do("", false, args...)
	assert.Equal(t, statusFailed, failed.status)
	assert.Contains(t, failed.err, "password: no such file or directory")
}

func TestVariablesStandForFlags(t *testing.T) {
	w := newWorld(t)
	rooted(w)
	t.Setenv("SECRETREF_ROOT_KEY_FILE", w.path("root.key"))
	assert.Equal(t, outcome{out: "canary-tracker"}, w.do("", false, "resolve", trackerSecret)) // no keyring is meant
	assert.Equal(t, statusUsage, w.do("", false, "keys", "get", "db").status)
	t.Setenv("SECRETREF_STORE", w.path("k.db"))
	assert.Equal(t, outcome{out: "canary-db"}, w.do("", false, "keys", "get", "db"))
	assert.Equal(t, outcome{out: "canary-db"}, w.do("", false, "resolve", `{"keyring":"db"}`))
	assert.Contains(t, w.do("", false, "keys", "-store", "DIR/nowhere.db", "get", "db").err, "nowhere.db: not found")
}

func TestPasswordIsResolvedForEachConnection(t *testing.T) {
	w := newWorld(t)
	t.Setenv(passwordVariable, w.fill(wikiSecret))
	l, err := parseLocation("mysql://app@db/k")
	require.NoError(t, err)
	resolver := secretref.New(&secretref.Options{TTL: -1})
	defer resolver.Close()
	var password string
	before := l.passwordFor(resolver, func(p string) { password = p })

	require.NoError(t, before(t.Context()))
	assert.Equal(t, "canary-wiki", password)

	w.vault.Put("secret", "wiki/db", map[string]any{"password": "canary-next"})
	require.NoError(t, before(t.Context()))
	assert.Equal(t, "canary-next", password)

	w.powerless()
	err = before(t.Context())
	assert.ErrorIs(t, err, secretref.ErrDenied)
	assert.Contains(t, err.Error(), passwordVariable+": {ENC}")
}

// certificate makes NAME.pem and NAME.key for 127.0.0.1.
func (w *world) certificate(name string) *x509.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(w.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(w.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(w.t, err)
	w.write(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	w.write(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	made, err := x509.ParseCertificate(der)
	require.NoError(w.t, err)
	return made
}
