package jdbc_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
	"github.com/seed74218947/secretref/internal/fault"
)

// A row has a URL and the expected data source with its ignored options, or the
// option that the error names.
type row struct {
	url      string
	want     map[string]string
	without  string // ignored, joined with a comma
	cannot   string // named by the error
	schema   string
	username string
}

func check(t *testing.T, prefix string, read func(testing.TB, string) map[string]string,
	rows []row) {
	t.Helper()
	for _, r := range rows {
		username := r.username
		if username == "" {
			username = "u"
		}
		source, err := jdbc.Source(jdbc.Database{URL: prefix + r.url, Username: username,
			Password: "secret", Schema: r.schema})
		if r.cannot != "" {
			require.ErrorIs(t, err, fault.Unsupported, r.url)
			require.ErrorContains(t, err, r.cannot, r.url)
			require.Zero(t, source, r.url)
			continue
		}
		require.NoError(t, err, r.url)
		if ignored := strings.Join(source.Ignored, ", "); r.without == "" {
			require.Empty(t, ignored, r.url)
		} else {
			require.Contains(t, ignored, r.without, r.url)
		}
		got := read(t, source.Name)
		for name, value := range r.want {
			require.Equal(t, value, got[name], "%s: %s", r.url, name)
		}
	}
}

func TestPostgreSQLOptions(t *testing.T) {
	home, err := os.UserHomeDir()
	require.NoError(t, err)
	root := filepath.Join(home, ".postgresql", "root.crt")
	check(t, "jdbc:postgresql:", postgresSource, []row{
		// Where.
		{url: "", want: map[string]string{"host": "localhost", "port": "5432", "dbname": "u"}},
		{url: "/", want: map[string]string{"host": "localhost", "port": "5432", "dbname": "u"}},
		{url: "//", want: map[string]string{"host": "localhost", "dbname": "u"}},
		{url: "jira", want: map[string]string{"host": "localhost", "dbname": "jira"}},
		{url: "//db/", want: map[string]string{"host": "db", "port": "5432", "dbname": "u"}},
		{url: "//:5433/x", want: map[string]string{"host": "localhost", "port": "5433"}},
		{url: "//[::1]:5433/x", want: map[string]string{"host": "::1", "port": "5433"}},
		{url: "//[fe80::1%eth0]/x", want: map[string]string{"host": "fe80::1%eth0"}},
		{url: "//a:1,b,[::1]:3/x",
			want: map[string]string{"host": "a,b,::1", "port": "1,5432,3", "target_session_attrs": "any"}},
		{url: "//db/a%20b+c%2Fd%2B", want: map[string]string{"dbname": "a b c/d+"}},
		{url: "//db/x?PGHOST=other&PGPORT=1&PGDBNAME=y",
			want: map[string]string{"host": "other", "port": "1", "dbname": "y"}},
		{url: "x?PGHOST=a,b&PGPORT=1,2",
			want: map[string]string{"host": "a,b", "port": "1,2", "dbname": "x"}},
		{url: "//db/x?host=db&port=5432&dbname=x", want: map[string]string{"host": "db"}},
		{url: "//a,b/x?targetServerType=preferPrimary",
			want: map[string]string{"target_session_attrs": "primary"}, without: "preferPrimary"},
		{url: "//a/x?targetServerType=preferPrimary",
			want: map[string]string{"target_session_attrs": "any"}},
		{url: "//a,b/x?targetServerType=preferSlave",
			want: map[string]string{"target_session_attrs": "prefer-standby"}},
		{url: "//a,b/x?loadBalanceHosts=true", without: "loadBalanceHosts"},
		{url: "//a,b/x?loadBalanceHosts=false"},
		{url: "//db/x?service=prod", cannot: "service"},
		{url: "//db/x?socketFactory=org.newsclub.net.unix.AFUNIXSocketFactory", cannot: "socketFactory"},

		// As whom.
		{url: "//db/x?authenticationPluginClassName=com.example.P",
			cannot: "authenticationPluginClassName"},
		{url: "//db/x?kerberosServerName=postgres", cannot: "kerberosServerName"},
		{url: "//db/x?gsslib=sspi", cannot: "gsslib"},
		{url: "//db/x?jaasLogin=false"},
		{url: "//db/x?channelBinding=require", want: map[string]string{"channel_binding": "require"}},

		// How securely.
		{url: "//db/x",
			want: map[string]string{"sslmode": "prefer", "sslrootcert": "", "sslcert": "", "sslkey": ""}},
		{url: "//db/x?ssl=false", want: map[string]string{"sslmode": "prefer"}},
		{url: "//db/x?ssl=true", want: map[string]string{"sslmode": "verify-full", "sslrootcert": root}},
		{url: "//db/x?ssl", want: map[string]string{"sslmode": "verify-full"}},
		{url: "//db/x?ssl=true&sslmode=require",
			want: map[string]string{"sslmode": "require", "sslrootcert": ""}},
		{url: "//db/x?ssl=require", want: map[string]string{"sslmode": "require"}},
		{url: "//db/x?ssl=verify-ca",
			want: map[string]string{"sslmode": "verify-ca", "sslrootcert": root}},
		{url: "//db/x?ssl=disable", want: map[string]string{"sslmode": "prefer"}},
		{url: "//db/x?sslmode=disable", want: map[string]string{"sslmode": "disable"}},
		{url: "//db/x?sslmode=VERIFY-FULL&sslrootcert=/ca.crt",
			want: map[string]string{"sslmode": "verify-full", "sslrootcert": "/ca.crt"}},
		{url: "//db/x?ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory",
			want: map[string]string{"sslmode": "require"}},
		{url: "//db/x?sslmode=verify-ca&sslfactory=org.postgresql.ssl.NonValidatingFactory",
			want: map[string]string{"sslmode": "verify-ca"}, without: "sslfactory"},
		{url: "//db/x?sslmode=require&sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory",
			want:    map[string]string{"sslmode": "verify-full", "sslrootcert": "system"},
			without: "sslfactory"},
		{url: "//db/x?sslmode=require&sslfactory=com.example.F", cannot: "sslfactory"},
		{url: "//db/x?sslmode=disable&sslfactory=com.example.F",
			want: map[string]string{"sslmode": "disable"}},
		{url: "//db/x?sslmode=require&sslhostnameverifier=com.example.V", cannot: "sslhostnameverifier"},
		{url: "//db/x?sslmode=require&sslpasswordcallback=com.example.C", cannot: "sslpasswordcallback"},
		{url: "//db/x?sslmode=require&sslcert=/c.crt&sslkey=/c.pk8", cannot: "sslkey"},
		{url: "//db/x?sslmode=require&sslkey=/c.p12", cannot: "sslkey"},
		{url: "//db/x?sslmode=require&sslcert=/c.crt", cannot: "sslcert"},
		{url: "//db/x?sslmode=require&sslcert=/c.crt&sslkey=/c.key&sslpassword=k",
			want: map[string]string{"sslcert": "/c.crt", "sslkey": "/c.key", "sslpassword": "k"}},
		{url: "//db/x?sslmode=require&sslNegotiation=direct",
			want: map[string]string{"sslnegotiation": "direct"}},
		{url: "//db/x?gssEncMode=allow"},
		{url: "//db/x?gssEncMode=require", cannot: "gssEncMode"},

		// What the session is like.
		{url: "//db/x", schema: `a"B`, want: map[string]string{"search_path": `"a""B"`}},
		{url: "//db/x", schema: "JIRA", want: map[string]string{"search_path": `"jira", "JIRA"`}},
		{url: "//db/x", schema: "2B", want: map[string]string{"search_path": `"2B"`}},
		{url: "//db/x?currentSchema=Jira,%22$user%22",
			want: map[string]string{"search_path": `Jira,"$user"`}},
		{url: "//db/x?currentSchema=JIRA", schema: "jira",
			want: map[string]string{"search_path": `"jira"`}},
		{url: "//db/x?currentSchema=%22JIRA%22,Public", schema: "jira",
			want: map[string]string{"search_path": `"jira", "JIRA", "public"`}},
		{url: "//db/x?currentSchema=%22a%22%22,b%22+,+jira", schema: "jira",
			want: map[string]string{"search_path": `"jira", "a"",b"`}},
		{url: "//db/x?options=-c%20a=b&ApplicationName=n&readOnly=true",
			want: map[string]string{"options": "-c a=b", "application_name": "n",
				"default_transaction_read_only": "on"}},
		{url: "//db/x?connectTimeout=5&loginTimeout=2.5",
			want: map[string]string{"connect_timeout": "3"}},
		{url: "//db/x?connectTimeout=0", want: map[string]string{"connect_timeout": "0"}},
		{url: "//db/x?connectTimeout=0&loginTimeout=30",
			want: map[string]string{"connect_timeout": "30"}},
		{url: "//db/x?tcpKeepAlive=true&assumeMinServerVersion=9.0&socketTimeout=0&protocolVersion=3&binaryTransfer=true"},
		{url: "//db/x?reWriteBatchedInserts=true&prepareThreshold=0",
			without: "reWriteBatchedInserts, prepareThreshold"},
		{url: "//db/x?socketTimeout=30", without: "socketTimeout"},
		{url: "//db/x?binaryTransfer=false", without: "binaryTransfer"},
		{url: "//db/x?applicationName=x", without: "applicationName"},
	})
}

func TestMySQLOptions(t *testing.T) {
	check(t, "jdbc:mysql:", mysqlSource, []row{
		// Where.
		{url: "//db/jira",
			want: map[string]string{"network": "tcp(db:3306)", "database": "jira", "parseTime": "true",
				"loc": "Local"}},
		{url: "//address=(protocol=tcp)(host=dbserver)(port=3307)/jiradb?sessionVariables=default_storage_engine=InnoDB", // Jira's own
			want: map[string]string{"network": "tcp(dbserver:3307)", "database": "jiradb",
				"default_storage_engine": "InnoDB"}},
		{url: "//(host=db,port=3307)/x", want: map[string]string{"network": "tcp(db:3307)"}},
		{url: "//address=(host=::1)/x", want: map[string]string{"network": "tcp([::1]:3306)"}},
		{url: "//address=(host=[::1])/x", want: map[string]string{"network": "tcp([::1]:3306)"}},
		{url: "///jira", want: map[string]string{"network": "tcp(localhost:3306)"}},
		{url: "//[::1]:3307/x", want: map[string]string{"network": "tcp([::1]:3307)"}},
		{url: "//db", want: map[string]string{"network": "tcp(db:3306)", "database": ""}},
		{url: "//db/a%2Fb?user=u", want: map[string]string{"database": "a/b"}},
		{url: "//db/x?socketFactory=com.example.F", cannot: "socketFactory"},
		{url: "//db/x?socksProxyHost=proxy", cannot: "socksProxyHost"},
		{url: "//db/x?dnsSrv=true", cannot: "dnsSrv"},
		{url: "//db/jira", schema: "jira"},
		{url: "//db/jira", schema: "other", without: "schema"},

		// As whom.
		{url: "//db/x", username: "a:b", cannot: "colon"},
		{url: "//a%3Ab@db/x", username: "a:b", cannot: "colon"},
		{url: "//db/x?password2=x", cannot: "password2"},
		{url: "//db/x?authenticationPlugins=com.example.P", cannot: "authenticationPlugins"},
		{url: "//db/x?serverRSAPublicKeyFile=/k.pem", cannot: "serverRSAPublicKeyFile"},
		{url: "//db/x?allowPublicKeyRetrieval=true"},
		{url: "//db/x?allowPublicKeyRetrieval=false", without: "allowPublicKeyRetrieval"},
		{url: "//db/x?allowPublicKeyRetrieval=false&sslMode=REQUIRED"},

		// How securely.
		{url: "//db/x", want: map[string]string{"tls": "preferred"}},
		{url: "//db/x?useSSL=false", want: map[string]string{"tls": "false"}},
		{url: "//db/x?useSSL=true", want: map[string]string{"tls": "true"}, without: "useSSL"},
		{url: "//db/x?requireSSL=true", want: map[string]string{"tls": "true"}, without: "requireSSL"},
		{url: "//db/x?useSSL=true&verifyServerCertificate=true", want: map[string]string{"tls": "true"},
			without: "VERIFY_CA"},
		{url: "//db/x?useSSL=true&verifyServerCertificate=false",
			want: map[string]string{"tls": "skip-verify"}},
		{url: "//db/x?sslMode=DISABLED", want: map[string]string{"tls": "false"}},
		{url: "//db/x?sslMode=preferred&useSSL=true", want: map[string]string{"tls": "preferred"}},
		{url: "//db/x?sslMode=REQUIRED", want: map[string]string{"tls": "skip-verify"}},
		{url: "//db/x?sslMode=REQUIRED&verifyServerCertificate=true",
			want: map[string]string{"tls": "true"}, without: "VERIFY_CA"},
		{url: "//db/x?sslMode=VERIFY_CA", want: map[string]string{"tls": "true"}, without: "VERIFY_CA"},
		{url: "//db/x?sslMode=VERIFY_IDENTITY", want: map[string]string{"tls": "true"}},
		{url: "//db/x?sslMode=VERIFY_CA&trustCertificateKeyStoreUrl=file:/ts.jks",
			cannot: "trustCertificateKeyStoreUrl"},
		{url: "//db/x?clientCertificateKeyStoreUrl=file:/ks.jks", cannot: "clientCertificateKeyStoreUrl"},
		{url: "//db/x?useSSL=false&trustCertificateKeyStoreUrl=file:/ts.jks",
			want: map[string]string{"tls": "false"}},
		{url: "//db/x?enabledTLSProtocols=TLSv1.2,TLSv1.3"},
		{url: "//db/x?tlsVersions=TLSv1.3", cannot: "tlsVersions"},
		{url: "//db/x?tlsCiphersuites=TLS_AES_128_GCM_SHA256", cannot: "tlsCiphersuites"},

		// What the session is like.
		{url: "//db/x?connectTimeout=1500&socketTimeout=2000",
			want: map[string]string{"timeout": "1.5s", "readTimeout": "2s", "writeTimeout": "2s"}},
		{url: "//db/x?serverTimezone=UTC", want: map[string]string{"loc": "UTC", "time_zone": ""}},
		{url: "//db/x?connectionTimeZone=LOCAL", want: map[string]string{"loc": "Local"}},
		{url: "//db/x?connectionTimeZone=UTC&forceConnectionTimeZoneToSession=true",
			want: map[string]string{"loc": "UTC", "time_zone": "'+00:00'"}},
		{url: "//db/x?serverTimezone=GMT%2B8", want: map[string]string{"loc": "Local"},
			without: "connectionTimeZone"},
		{url: "//db/x?connectionTimeZone=SERVER", without: "connectionTimeZone"},
		{url: "//db/x?useUnicode=true&characterEncoding=utf8&autoReconnect=true&characterSetResults=UTF-8"},
		{url: "//db/x?characterEncoding=latin1", without: "characterEncoding"},
		{url: "//db/x?connectionCollation=utf8mb4_bin",
			want: map[string]string{"charset": "utf8mb4", "collation": "utf8mb4_bin"}},
		{url: "//db/x?connectionCollation=latin1_bin", without: "connectionCollation"},
		{url: "//db/x?sessionVariables=a=1,@@session.b='x,y';session+c=2",
			want: map[string]string{"a": "1", "b": "'x,y'", "c": "2"}},
		{url: "//db/x?sessionVariables=strict=1", want: map[string]string{"strict": ""},
			without: "sessionVariables"},
		{url: "//db/x?sessionVariables=tls=false", want: map[string]string{"tls": "preferred"},
			without: "sessionVariables"},
		{url: "//db/x?sessionVariables=@@global.a=1", without: "sessionVariables"},
		{url: "//db/x?useCompression=true&allowMultiQueries=true",
			want: map[string]string{"compress": "true", "multiStatements": "true"}},
		{url: "//db/x?useAffectedRows=false", want: map[string]string{"clientFoundRows": "true"}},
		{url: "//db/x?useAffectedRows=true", want: map[string]string{"clientFoundRows": ""}},
		{url: "//db/x?maxAllowedPacket=65535", want: map[string]string{"maxAllowedPacket": "65535"}},
		{url: "//db/x?allowLoadLocalInfile=true", want: map[string]string{"allowAllFiles": ""},
			without: "allowLoadLocalInfile"},
		{url: "//db/x?rewriteBatchedStatements=true&cachePrepStmts=true",
			without: "rewriteBatchedStatements, cachePrepStmts"},
	})
}

func TestMariaDBOptions(t *testing.T) {
	check(t, "jdbc:mariadb:", mysqlSource, []row{
		{url: "//db/x", want: map[string]string{"tls": "false", "timeout": "30s"}},
		{url: "//db/x?connectTimeout=1000", want: map[string]string{"timeout": "1s"}},
		{url: "//db/a%20b+c?timezone=UTC", want: map[string]string{"database": "a%20b+c"}},
		{url: "//db/x?user=%41+b#c", username: "%41+b#c", want: map[string]string{"user": "%41+b#c"}},
		{url: "//db/x?localSocket=/run/mysqld/mysqld.sock",
			want: map[string]string{"network": "unix(/run/mysqld/mysqld.sock)"}},
		{url: "//db/x?localSocket=@abstract", cannot: "localSocket"},
		{url: "//db/x?sslMode=trust", want: map[string]string{"tls": "skip-verify"}},
		{url: "//db/x?sslMode=verify-ca", want: map[string]string{"tls": "true"}, without: "verify-ca"},
		{url: "//db/x?sslMode=verify-full", want: map[string]string{"tls": "true"}},
		{url: "//db/x?sslMode=VERIFY_IDENTITY", want: map[string]string{"tls": "true"}},
		{url: "//db/x?useSsl=true", want: map[string]string{"tls": "true"}},
		{url: "//db/x?useSsl=true&trustServerCertificate=true",
			want: map[string]string{"tls": "skip-verify"}},
		{url: "//db/x?useSsl=true&disableSslHostnameVerification=true",
			want: map[string]string{"tls": "true"}, without: "verify-ca"},
		{url: "//db/x?useSsl=false", want: map[string]string{"tls": "false"}},
		{url: "//db/x?sslMode=trust&serverSslCert=/c.pem", cannot: "serverSslCert"},
		{url: "//db/x?credentialType=AWS-IAM", cannot: "credentialType"},
		{url: "//db/x?galeraAllowedState=4", without: "galeraAllowedState"},
	})
}

func TestSQLServerOptions(t *testing.T) {
	check(t, "jdbc:sqlserver:", sqlServerSource, []row{
		// Where.
		{url: "//db",
			want: map[string]string{"host": "db", "port": "1433", "instance": "", "database": "",
				"multisubnetfailover": "false"}},
		{url: `//db\INST;database=x`,
			want: map[string]string{"host": "db", "port": "", "instance": "INST", "database": "x"}},
		{url: `//db\INST:1444`, want: map[string]string{"port": "1444", "instance": "INST"}},
		{url: "//;serverName=db;portNumber=1444;instanceName=I;DATABASENAME=x",
			want: map[string]string{"host": "db", "port": "1444", "instance": "I", "database": "x"}},
		{url: "//;server=3ffe::1", want: map[string]string{"host": "3ffe::1", "port": "1433"}},
		{url: "//[::1]:1444", want: map[string]string{"host": "::1", "port": "1444"}},
		{url: "//.;databaseName= x ", want: map[string]string{"host": "localhost", "database": "x"}},
		{url: "//db;databaseName={ a;}}b };", want: map[string]string{"database": " a;}b "}},
		{url: "//db;databaseName=x;applicationIntent=readonly;multiSubnetFailover=true;failoverPartner=other",
			want: map[string]string{"applicationintent": "ReadOnly", "multisubnetfailover": "true",
				"failoverpartner": "other"}},
		{url: "//db;socketFactoryClass=com.example.F", cannot: "socketFactoryClass"},

		// As whom.
		{url: "//db;authentication=SqlPassword;integratedSecurity=false;authenticationScheme=NativeAuthentication"},
		{url: "//db;authentication=ActiveDirectoryIntegrated", cannot: "authentication"},
		{url: "//db;authenticationScheme=NTLM", cannot: "authenticationScheme"},
		{url: "//db;clientCertificate=/c.pfx", cannot: "clientCertificate"},
		{url: "//db", schema: "dbo"},
		{url: "//db", schema: "jiraschema", without: "schema"},

		// How securely.
		{url: "//db", want: map[string]string{"encrypt": "true", "trustservercertificate": "false"}},
		{url: "//db;encrypt=false",
			want: map[string]string{"encrypt": "false", "trustservercertificate": "true"}},
		{url: "//db;encrypt=false;trustServerCertificate=false",
			want: map[string]string{"encrypt": "false", "trustservercertificate": "false"}},
		{url: "//db;encrypt=strict;trustServerCertificate=true",
			want: map[string]string{"encrypt": "strict", "trustservercertificate": "false"}},
		{url: "//db;hostNameInCertificate=*.x", want: map[string]string{"hostnameincertificate": "*.x"}},
		{url: "//db;serverCertificate=/c.cer", cannot: "serverCertificate"},
		{url: "//db;serverCertificate=/c.pem", want: map[string]string{"servercertificate": "/c.pem"}},
		{url: "//db;trustStore=/t.jks", cannot: "trustStore"},
		{url: "//db;trustStore=/t.jks;trustServerCertificate=true"},
		{url: "//db;fips=true", cannot: "fips"},
		{url: "//db;sslProtocol=TLSv1.3", want: map[string]string{"tlsmin": "1.3"}},
		{url: "//db;sslProtocol=TLSv1.1", without: "sslProtocol"},

		// What the session is like.
		{url: "//db;loginTimeout=30;socketTimeout=1500;applicationName=a;workstationID=w;packetSize=4096",
			want: map[string]string{"dial timeout": "30", "connection timeout": "2", "app name": "a",
				"workstation id": "w", "packet size": "4096"}},
		{url: "//db;sendStringParametersAsUnicode=false;selectMethod=cursor",
			without: "sendStringParametersAsUnicode, selectMethod"},
	})
	check(t, "jdbc:jtds:sqlserver:", sqlServerSource, []row{
		{url: "//db:1444/x",
			want: map[string]string{"host": "db", "port": "1444", "database": "x", "encrypt": "false"}},
		{url: "//db:1433/x;instance=I", want: map[string]string{"port": "", "instance": "I"}},
		{url: "//db/x;ssl=request",
			want:    map[string]string{"encrypt": "true", "trustservercertificate": "true"},
			without: "ssl=request"},
		{url: "//db/x;ssl=require",
			want: map[string]string{"encrypt": "true", "trustservercertificate": "true"}},
		{url: "//db/x;ssl=authenticate",
			want: map[string]string{"encrypt": "true", "trustservercertificate": "false"}},
		{url: "//db/x;useKerberos=true", cannot: "useKerberos"},
		{url: "//db/x;namedPipe=true", cannot: "namedPipe"},
		{url: "//db/x;loginTimeout=5;socketTimeout=6;appName=a",
			want: map[string]string{"dial timeout": "5", "connection timeout": "6", "app name": "a"}},
	})
}
