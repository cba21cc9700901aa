package dsn_test

import (
	"crypto/tls"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/microsoft/go-mssqldb/msdsn"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
)

func TestPgxValues(t *testing.T) {
	isolate(t)
	for _, v := range values() {
		_, dsn := source(t,
			jdbc.Database{URL: "jdbc:postgresql://db/" + escape(v) + "?ApplicationName=" + escape(v),
				Username: v, Password: v, Schema: v})
		c, err := pgx.ParseConfig(dsn)
		require.NoError(t, err, "%q", v)
		require.Equal(t, []string{v, v, v, v},
			[]string{c.User, c.Password, c.Database, c.RuntimeParams["application_name"]})
		path := c.RuntimeParams["search_path"]
		quoted := `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
		// as SQL reads a name without quotes
		if folded := strings.ToLower(quoted); path != folded+", "+quoted {
			require.Equal(t, quoted, path)
		}
		require.Equal(t, "db", c.Host)
		require.EqualValues(t, 5432, c.Port)

		_, same := source(t,
			jdbc.Database{URL: "jdbc:postgresql://db/" + escape(v) + "?ApplicationName=" + escape(v) +
				"&user=" + escape(v) + "&password=" + escape(v), Schema: v})
		require.Equal(t, dsn, same)
	}
}

func TestMySQLDriverValues(t *testing.T) {
	for _, v := range values() {
		user := strings.ReplaceAll(v, ":", ".")
		if v != strings.TrimSpace(v) {
			continue // Connector/J trims the name of a database; see the next test for the others
		}
		_, dsn := source(t,
			jdbc.Database{URL: "jdbc:mysql://db/" + escape(v) + "?sessionVariables=" +
				escape("v='"+strings.NewReplacer("'", "''").Replace(v)+"'"), Username: user, Password: v})
		c, err := mysql.ParseDSN(dsn)
		require.NoError(t, err, "%q", v)
		require.Equal(t, []string{user, v, v, "db:3306", "tcp"},
			[]string{c.User, c.Passwd, c.DBName, c.Addr, c.Net})
		require.Equal(t, map[string]string{"v": "'" + strings.ReplaceAll(v, "'", "''") + "'"}, c.Params)
	}
}

func TestMySQLDriverSpaces(t *testing.T) {
	for _, v := range []string{" ", " x", "x ", " x ", "\tx\n"} {
		_, dsn := source(t, jdbc.Database{URL: "jdbc:mariadb://db/x", Username: v, Password: v})
		c, err := mysql.ParseDSN(dsn)
		require.NoError(t, err)
		require.Equal(t, []string{v, v}, []string{c.User, c.Passwd})
	}
}

func TestSQLServerDriverValues(t *testing.T) {
	for _, v := range values() {
		if strings.ContainsAny(v, "\t\r\n") {
			continue // not in a URL that escapes nothing
		}
		braced := "{" + strings.ReplaceAll(v, "}", "}}") + "}"
		user := strings.ReplaceAll(v, `\`, "/") // a login of SQL Server has none
		_, dsn := source(t,
			jdbc.Database{URL: "jdbc:sqlserver://db;databaseName=" + braced + ";applicationName=" + braced,
				Username: user, Password: v})
		c, err := msdsn.Parse(dsn)
		require.NoError(t, err, "%q", v)
		require.Equal(t, []string{user, v, v, v, "db"},
			[]string{c.User, c.Password, c.Database, c.AppName, c.Host})
		require.EqualValues(t, 1433, c.Port)

		_, same := source(t,
			jdbc.Database{URL: "jdbc:sqlserver://db;databaseName=" + braced + ";applicationName=" + braced +
				";user=" + strings.ReplaceAll(braced, `\`, "/") + " ;password=" + braced})
		require.Equal(t, dsn, same)
	}
}

func TestSQLServerDriverOptions(t *testing.T) {
	_, dsn := source(t,
		jdbc.Database{URL: `jdbc:sqlserver://db\INST;databaseName=jira;encrypt=strict;hostNameInCertificate=*.example.com;` +
			`loginTimeout=7;socketTimeout=1500;applicationIntent=readonly;multiSubnetFailover=true;failoverPartner=other;packetSize=4096;workstationID=w`, Username: "u"})
	c, err := msdsn.Parse(dsn)
	require.NoError(t, err)
	require.Equal(t, []string{"db", "INST", "jira", "other", "w", "*.example.com"},
		[]string{c.Host, c.Instance, c.Database, c.FailOverPartner, c.Workstation,
			c.TLSConfig.ServerName})
	require.EqualValues(t, msdsn.EncryptionStrict, c.Encryption)
	require.Zero(t, c.Port, "the browser says the port of an instance")
	require.True(t, c.ReadOnlyIntent && c.MultiSubnetFailover && !c.TLSConfig.InsecureSkipVerify)
	require.Equal(t, []time.Duration{7 * time.Second, 2 * time.Second},
		[]time.Duration{c.DialTimeout, c.ConnTimeout})
	require.EqualValues(t, 4096, c.PacketSize)

	for url, want := range map[string]struct {
		encryption msdsn.Encryption
		verified   bool
	}{
		"jdbc:sqlserver://db":                                            {msdsn.EncryptionRequired, true},
		"jdbc:sqlserver://db;trustServerCertificate=true":                {msdsn.EncryptionRequired, false},
		"jdbc:sqlserver://db;encrypt=false":                              {msdsn.EncryptionOff, false},
		"jdbc:sqlserver://db;encrypt=false;trustServerCertificate=false": {msdsn.EncryptionOff, true},
		"jdbc:sqlserver://db;encrypt=strict;trustServerCertificate=true": {msdsn.EncryptionStrict, true},
		"jdbc:jtds:sqlserver://db":                                       {msdsn.EncryptionOff, false},
		"jdbc:jtds:sqlserver://db;ssl=require":                           {msdsn.EncryptionRequired, false},
		"jdbc:jtds:sqlserver://db/jira;ssl=authenticate":                 {msdsn.EncryptionRequired, true},
	} {
		_, dsn := source(t, jdbc.Database{URL: url, Username: "u", Password: "p"})
		c, err := msdsn.Parse(dsn)
		require.NoError(t, err, url)
		require.Equal(t, want.encryption, c.Encryption, url)
		require.Equal(t, want.verified, !c.TLSConfig.InsecureSkipVerify, url)
	}
}

func TestMySQLDriverOptions(t *testing.T) {
	_, dsn := source(t,
		jdbc.Database{URL: "jdbc:mysql://[::1]:3307/jira?sslMode=VERIFY_IDENTITY&connectTimeout=1500&socketTimeout=30000&serverTimezone=Europe/Berlin" +
			"&useCompression=true&useAffectedRows=false&connectionCollation=utf8mb4_bin&cachePrepStmts=true&forceConnectionTimeZoneToSession=true", Username: "u"}, "cachePrepStmts")
	c, err := mysql.ParseDSN(dsn)
	require.NoError(t, err)
	require.Equal(t, "[::1]:3307", c.Addr)
	require.Equal(t, []time.Duration{1500 * time.Millisecond, 30 * time.Second, 30 * time.Second},
		[]time.Duration{c.Timeout, c.ReadTimeout, c.WriteTimeout})
	require.Equal(t, "Europe/Berlin", c.Loc.String())
	require.Equal(t, map[string]string{"time_zone": "'Europe/Berlin'"}, c.Params)
	require.True(t,
		c.ParseTime && c.ClientFoundRows && c.TLS != nil && !c.TLS.InsecureSkipVerify &&
			!c.AllowFallbackToPlaintext)
	require.Equal(t, "::1", c.TLS.ServerName)
	require.Equal(t, "utf8mb4_bin", c.Collation)

	for url, want := range map[string]string{
		"jdbc:mysql://db/x":                                           "preferred",
		"jdbc:mysql://db/x?useSSL=false":                              "false",
		"jdbc:mysql://db/x?useSSL=true&verifyServerCertificate=false": "skip-verify",
		"jdbc:mariadb://db/x":                                         "false",
		"jdbc:mariadb://db/x?useSsl=true":                             "true",
		"jdbc:mariadb://db/x?sslMode=trust":                           "skip-verify",
		"jdbc:mysql://db/x?sslMode=REQUIRED":                          "skip-verify",
	} {
		_, dsn := source(t, jdbc.Database{URL: url, Username: "u"})
		c, err := mysql.ParseDSN(dsn)
		require.NoError(t, err, url)
		require.Equal(t, want, c.TLSConfig, url)
	}
}

// TestParseErrorsHidePassword checks that pgx, which quotes an invalid data source in its
// error, recognizes the password and leaves it out.
func TestParseErrorsHidePassword(t *testing.T) {
	isolate(t)
	for _, v := range values() {
		for _, url := range []string{"jdbc:postgresql://db/x?ssl=true",
			"jdbc:postgresql://a,b/x?ssl=true", "jdbc:postgresql://[::1]/x%2Fy?ssl=true",
			"jdbc:postgresql://db/x?sslmode=verify-ca&sslcert=/none.crt&sslkey=/none.key&sslpassword=" +
				escape("CANARY-0"+v+"CANARY-1 CANARY-2")} {
			_, dsn := source(t,
				jdbc.Database{URL: url, Username: "u", Password: "CANARY-0" + v + "CANARY-1 CANARY-2"})
			_, err := pgx.ParseConfig(dsn)
			require.Error(t, err, "there is no such authority")
			require.NotContains(t, err.Error(), "CANARY")
		}
	}
}

func TestEmptyPassword(t *testing.T) {
	home := isolate(t)
	require.NoError(t, os.WriteFile(filepath.Join(home, ".pgpass"), []byte("*:*:*:*:evil\n"), 0o600))
	t.Setenv("PGPASSWORD", "evil")
	for _, url := range []string{"jdbc:postgresql://db/x", "jdbc:postgresql://a,b/x"} {
		_, dsn := source(t, jdbc.Database{URL: url, Username: "u"})
		c, err := pgx.ParseConfig(dsn)
		require.NoError(t, err)
		require.Empty(t, c.Password)
	}
}

// TestEnvironmentHasNoEffect checks that PG* variables and files in the home directory do
// not change where, as whom and how securely the driver connects.
func TestEnvironmentHasNoEffect(t *testing.T) {
	for name, url := range map[string]string{
		"plain":   "jdbc:postgresql://db:5433/jira?sslmode=disable",
		"default": "jdbc:postgresql://db:5433/jira",
		"require": "jdbc:postgresql://db,other/jira?ssl=require&targetServerType=master&currentSchema=x&options=-c%20a=b",
		"nothing": "jdbc:postgresql:",
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			_, dsn := source(t, jdbc.Database{URL: url, Username: "jira", Password: "p"})
			want := parsed(t, dsn)

			home := isolate(t)
			require.NoError(t, os.Mkdir(filepath.Join(home, ".postgresql"), 0o700))
			for _, file := range []string{"root.crt", "postgresql.crt", "postgresql.key"} {
				require.NoError(t,
					os.WriteFile(filepath.Join(home, ".postgresql", file), []byte("no certificate"), 0o600))
			}
			services := filepath.Join(home, ".pg_service.conf")
			require.NoError(t,
				os.WriteFile(services,
					[]byte("[s]\nhost=evil\nport=1\ndbname=evil\nuser=evil\npassword=evil\nsslmode=disable\ntarget_session_attrs=standby\noptions=-c evil=1\n"), 0o600))
			passfile := filepath.Join(home, ".pgpass")
			require.NoError(t, os.WriteFile(passfile, []byte("*:*:*:*:evil\n"), 0o600))
			for k, v := range map[string]string{
				"PGHOST": "evil", "PGPORT": "1", "PGDATABASE": "evil", "PGUSER": "evil", "PGPASSWORD": "evil",
				"PGPASSFILE": passfile,
				"PGSSLMODE":  "disable", "PGSSLKEY": services, "PGSSLCERT": services, "PGSSLROOTCERT": services,
				"PGSSLPASSWORD": "evil",
				"PGSSLSNI":      "0", "PGTARGETSESSIONATTRS": "standby", "PGSERVICE": "s",
				"PGSERVICEFILE": services,
				"PGOPTIONS":     "-c search_path=evil", "PGCONNECT_TIMEOUT": "1",
			} {
				t.Setenv(k, v)
			}
			require.Equal(t, want, parsed(t, dsn))
		})
	}
}

// settings are the compared parts of a configuration.
type settings struct {
	Host, Database, User, Password string
	Port                           uint16
	TLS                            []string
	Runtime                        map[string]string
	Timeout                        time.Duration
	Validated                      bool
	Negotiation                    string
}

func parsed(t *testing.T, dsn string) settings {
	t.Helper()
	c, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	s := settings{Host: c.Host, Database: c.Database, User: c.User, Password: c.Password, Port: c.Port,
		Runtime: maps.Clone(c.RuntimeParams), Timeout: c.ConnectTimeout,
		Validated: c.ValidateConnect != nil, Negotiation: c.SSLNegotiation}
	describe := func(host string, c *tls.Config) string {
		switch {
		case c == nil:
			return host + " plain"
		case c.VerifyPeerCertificate != nil:
			return host + " authority " + c.ServerName
		case c.InsecureSkipVerify:
			return host + " any " + c.ServerName
		}
		return host + " full " + c.ServerName
	}
	s.TLS = append(s.TLS, describe(c.Host, c.TLSConfig))
	for _, f := range c.Fallbacks {
		s.TLS = append(s.TLS, describe(f.Host, f.TLSConfig))
	}
	return s
}

// isolate gives the test an empty home directory and no PG* variables.
func isolate(t *testing.T) (home string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "")
		}
	}
	home = t.TempDir()
	t.Setenv("HOME", home)
	return home
}
