package dsn_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

func identifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		_, err := db.ExecContext(t.Context(), s)
		require.NoError(t, err, s)
	}
}

// login opens a connection and queries the server for the user and the database.
func login(t *testing.T, driver, dsn, query string) ([]string, error) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	require.NoError(t, err)
	require.True(t, rows.Next(), rows.Err())
	answer, into := make([]string, len(names)), make([]any, len(names))
	for i := range answer {
		into[i] = &answer[i]
	}
	require.NoError(t, rows.Scan(into...))
	return answer, nil
}

const whereAmI = "SELECT current_user::text, current_database()::text, current_schema()::text"

func TestPostgreSQLPasswords(t *testing.T) {
	isolate(t)
	d := databases.PostgreSQL(t)
	admin := d.Admin(t)
	for _, password := range values() {
		exec(t, admin, "ALTER ROLE "+d.User+" PASSWORD "+literal(password))
		url := "jdbc:postgresql://" + d.Addr + "/postgres"
		_, dsn := source(t, jdbc.Database{URL: url, Username: d.User, Password: password, Schema: d.Name})
		got, err := login(t, "pgx", dsn, whereAmI)
		require.NoError(t, err, "%q", password)
		require.Equal(t, []string{d.User, "postgres", d.Name}, got)

		_, dsn = source(t, jdbc.Database{URL: url, Username: d.User, Password: password + "!"})
		_, err = login(t, "pgx", dsn, whereAmI)
		require.ErrorContains(t, err, "password authentication failed", "%q", password)
	}
}

func TestPostgreSQLUserAndSchema(t *testing.T) {
	isolate(t)
	d := databases.PostgreSQL(t)
	admin := d.Admin(t)
	for i, name := range values() {
		if len(name) > 63 {
			continue // the server cuts longer ones
		}
		schema := name + "s"
		exec(t, admin, "CREATE ROLE "+identifier(name)+" LOGIN PASSWORD 'p'",
			"CREATE SCHEMA "+identifier(schema)+" AUTHORIZATION "+identifier(name))
		database := []jdbc.Database{ // in turn
			{URL: "jdbc:postgresql://" + d.Addr + "/postgres", Username: name, Password: "p",
				Schema: schema},
			{URL: "jdbc:postgresql://" + d.Addr + "/postgres?user=" + escape(name) +
				"&password=p&currentSchema=" + escape(identifier(schema))},
			{URL: "jdbc:postgresql://" + d.Addr + "/postgres?currentSchema=pg_catalog,%20" +
				escape(identifier(schema)), Username: name, Password: "p", Schema: schema},
		}[i%3]
		_, dsn := source(t, database)
		got, err := login(t, "pgx", dsn, whereAmI)
		require.NoError(t, err, "%q", name)
		require.Equal(t, []string{name, "postgres", schema}, got)
		exec(t, admin, "DROP SCHEMA "+identifier(schema), "DROP ROLE "+identifier(name))
	}
}

func TestPostgreSQLDatabase(t *testing.T) {
	isolate(t)
	d := databases.PostgreSQL(t)
	admin := d.Admin(t)
	names := []string{printable[:48], printable[48:], " both ends ", "%41", "a+b c/d", "ä🔑", `"`, `\`,
		"'", "?", "#&="}
	for _, name := range names {
		exec(t, admin, "CREATE DATABASE "+identifier(name))
		t.Cleanup(func() { _, _ = d.Admin(t).Exec("DROP DATABASE " + identifier(name)) })
		for _, url := range []string{"jdbc:postgresql://" + d.Addr + "/" + escape(name),
			"jdbc:postgresql://" + d.Addr + "/?PGDBNAME=" + escape(name)} {
			_, dsn := source(t, jdbc.Database{URL: url, Username: d.User, Password: d.Password})
			got, err := login(t, "pgx", dsn, "SELECT current_database()::text")
			require.NoError(t, err, "%q", name)
			require.Equal(t, []string{name}, got)
		}
	}
}

// TestPostgreSQLSettings checks the search path and the options on the server.
func TestPostgreSQLSettings(t *testing.T) {
	isolate(t)
	d := databases.PostgreSQL(t)
	url := "jdbc:postgresql://" + d.Addr +
		"/postgres?currentSchema=%22A,b%22,Pub%22lic&options=-c%20statement_timeout=90s%20-c%20work_mem=7MB" +
		"&ApplicationName=it%27s&readOnly=true&tcpKeepAlive=true&reWriteBatchedInserts=true"
	url = strings.Replace(url, "Pub%22lic", "Public", 1)
	_, dsn := source(t,
		jdbc.Database{URL: url, Username: d.User, Password: d.Password, Schema: "First One"},
		"reWriteBatchedInserts")
	got, err := login(t, "pgx", dsn,
		"SELECT current_setting('search_path'), current_setting('statement_timeout'), current_setting('work_mem'), current_setting('application_name'), current_setting('transaction_read_only')")
	require.NoError(t, err)
	require.Equal(t, []string{`"First One", "A,b", "public"`, "90s", "7MB", "it's", "on"}, got)
}

func TestPostgreSQLHosts(t *testing.T) {
	isolate(t)
	primary, standby := databases.PostgreSQL(t), databases.OwnPostgreSQL(t)
	exec(t, standby.Admin(t), "CREATE ROLE "+primary.User+" LOGIN PASSWORD "+literal(primary.Password),
		"COPY (SELECT '') TO PROGRAM 'cat >standby.signal'")
	standby.Restart(t)
	down := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		return l.Addr().String()
	}()
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }

	for hosts, want := range map[string]string{
		down + "," + primary.Addr:                                   port(primary.Addr),
		standby.Addr + "," + primary.Addr + "|any":                  port(standby.Addr),
		standby.Addr + "," + primary.Addr + "|primary":              port(primary.Addr),
		standby.Addr + "," + primary.Addr + "|master&readOnly=true": port(primary.Addr),
		primary.Addr + "," + standby.Addr + "|secondary":            port(standby.Addr),
		primary.Addr + "," + standby.Addr + "|slave":                port(standby.Addr),
		primary.Addr + "," + standby.Addr + "|preferSecondary":      port(standby.Addr),
		primary.Addr + "," + down + "|preferSlave":                  port(primary.Addr),
		standby.Addr + "|primary":                                   "",
		primary.Addr + "|slave":                                     "",
	} {
		hosts, kind, found := strings.Cut(hosts, "|")
		url := "jdbc:postgresql://" + hosts + "/postgres?sslmode=prefer"
		if found {
			url += "&targetServerType=" + kind
		}
		_, dsn := source(t, jdbc.Database{URL: url, Username: primary.User, Password: primary.Password})
		got, err := login(t, "pgx", dsn, "SELECT inet_server_port()::text")
		if want == "" {
			require.Error(t, err, "%s", url)
			continue
		}
		require.NoError(t, err, url)
		require.Equal(t, want, got[0], url)
	}
}

func TestPostgreSQLTLS(t *testing.T) {
	home := isolate(t)
	d := databases.PostgreSQL(t)
	authority, cert, key := certificate(t)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	require.NoError(t, err)
	plain, secure := front(t, d.Addr, nil),
		front(t, d.Addr, &tls.Config{Certificates: []tls.Certificate{pair}})

	right, other := filepath.Join(home, "ca.crt"), filepath.Join(home, "other.crt")
	require.NoError(t, os.WriteFile(right, []byte(authority), 0o600))
	foreign, _, _ := certificate(t)
	require.NoError(t, os.WriteFile(other, []byte(foreign), 0o600))
	dotted := filepath.Join(home, ".postgresql", "root.crt")
	require.NoError(t, os.MkdirAll(filepath.Dir(dotted), 0o700))

	const name, address = "localhost", "127.0.0.1" // the certificate is for the name only
	for _, tt := range []struct {
		server        *frontServer
		host, options string
		root          string // ~/.postgresql/root.crt
		want          string
	}{
		{server: plain, options: "", want: "plain"},
		{server: plain, options: "ssl=false", want: "plain"},
		{server: plain, options: "sslmode=allow", want: "plain"},
		{server: plain, options: "ssl=require", want: "refused"},
		{server: plain, options: "ssl=true", root: authority, want: "refused"},
		{server: plain, options: "sslmode=require", want: "refused"},
		{server: plain, options: "sslmode=verify-full&sslrootcert=" + right, want: "refused"},
		{server: secure, options: "", want: "encrypted"},
		{server: secure, options: "ssl=false", want: "encrypted"},
		{server: secure, options: "sslmode=disable", want: "plain"},
		{server: secure, options: "sslmode=allow", want: "plain"},
		{server: secure, host: address, options: "ssl=require", want: "encrypted"},
		{server: secure, host: address,
			options: "ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory", want: "encrypted"},
		{server: secure, options: "sslmode=require", root: foreign, want: "encrypted"},
		{server: secure, options: "ssl=true&sslrootcert=" + right, want: "encrypted"},
		{server: secure, options: "ssl&sslrootcert=" + right, want: "encrypted"},
		{server: secure, options: "sslmode=verify-full&sslrootcert=" + right, want: "encrypted"},
		{server: secure, host: address, options: "ssl=true&sslrootcert=" + right, want: "refused"},
		{server: secure, options: "ssl=true&sslrootcert=" + other, want: "refused"},
		{server: secure, host: address, options: "sslmode=verify-ca&sslrootcert=" + right,
			want: "encrypted"},
		{server: secure, host: address, options: "sslmode=verify-ca&sslrootcert=" + other,
			want: "refused"},
		{server: secure, options: "ssl=true", want: "refused"},
		{server: secure, options: "ssl=true", root: authority, want: "encrypted"},
		{server: secure, options: "ssl=true", root: foreign, want: "refused"},
		{server: secure, options: "sslmode=verify-ca", want: "refused"},
	} {
		_ = os.Remove(dotted)
		if tt.root != "" {
			require.NoError(t, os.WriteFile(dotted, []byte(tt.root), 0o600))
		}
		url := "jdbc:postgresql://" + net.JoinHostPort(cmp.Or(tt.host, name), tt.server.port) +
			"/postgres?" + tt.options
		_, dsn := source(t, jdbc.Database{URL: url, Username: d.User, Password: d.Password})
		tt.server.encrypted.Store(false)
		_, err := login(t, "pgx", dsn, "SELECT 1::text")
		got := "refused"
		if err == nil && tt.server.encrypted.Load() {
			got = "encrypted"
		} else if err == nil {
			got = "plain"
		}
		require.Equal(t, tt.want, got, "%s: %v", url, err)
	}
}

// frontServer is a proxy for PostgreSQL that accepts or refuses TLS.
type frontServer struct {
	port      string
	encrypted atomic.Bool // the last client went on with TLS
}

// front starts a proxy for the server at addr. If config is nil, it answers like a server
// without TLS.
func front(t *testing.T, addr string, config *tls.Config) *frontServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	f := &frontServer{}
	_, f.port, _ = net.SplitHostPort(l.Addr().String())
	serve := func(client net.Conn) {
		defer client.Close()
		first := make([]byte, 8)
		if _, err := io.ReadFull(client, first); err != nil {
			return
		}
		const sslRequest = 80877103
		if binary.BigEndian.Uint32(first[4:]) == sslRequest {
			if config == nil {
				_, _ = client.Write([]byte("N"))
			} else {
				_, _ = client.Write([]byte("S"))
				client = tls.Server(client, config)
			}
			f.encrypted.Store(config != nil)
			first = nil
		} else {
			f.encrypted.Store(false)
		}
		server, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer server.Close()
		if _, err := server.Write(first); err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		}()
		_, _ = io.Copy(server, client)
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go serve(client)
		}
	}()
	return f
}

// certificate creates an authority, and a certificate for localhost with its key.
func certificate(t *testing.T) (authority, cert, key string) {
	t.Helper()
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotAfter: time.Now().Add(time.Hour),
		IsCA:     true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	require.NoError(t, err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"},
		DNSNames: []string{"localhost"},
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, caKey)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	require.NoError(t, err)
	return encode("CERTIFICATE", caDER), encode("CERTIFICATE", leafDER), encode("PRIVATE KEY", keyDER)
}

// TestLibPQ opens the data source with lib/pq, which reads it from version 1.12 on.
func TestLibPQ(t *testing.T) {
	isolate(t)
	d := databases.PostgreSQL(t)
	admin := d.Admin(t)
	for _, password := range []string{d.Password, printable, "it's a \\ secret",
		"p@ss:w/rd?x=y&z#f %41", "日本語 🔑"} {
		var quoted string
		require.NoError(t,
			admin.QueryRowContext(t.Context(), "SELECT quote_literal($1)", password).Scan(&quoted))
		exec(t, admin, "ALTER ROLE "+d.User+" PASSWORD "+quoted)
		for _, url := range []string{"jdbc:postgresql://" + d.Addr + "/postgres",
			"jdbc:postgresql://127.0.0.1:1," + d.Addr +
				"/postgres?sslmode=require&targetServerType=master"} {
			_, dsn := source(t,
				jdbc.Database{URL: url, Username: d.User, Password: password, Schema: d.Name})
			connector, err := pq.NewConnector(dsn)
			require.NoError(t, err)
			db := sql.OpenDB(connector)
			var user, name, schema string
			require.NoError(t, db.QueryRowContext(t.Context(), whereAmI).Scan(&user, &name, &schema), "%q",
				password)
			require.Equal(t, []string{d.User, "postgres", d.Name}, []string{user, name, schema})
			require.NoError(t, db.Close())
		}
	}
}
