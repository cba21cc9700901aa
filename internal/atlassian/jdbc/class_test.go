package jdbc_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
	"github.com/seed74218947/secretref/internal/fault"
)

const (
	postgresClass  = "org.postgresql.Driver"
	connector5     = "com.mysql.jdbc.Driver"
	connector8     = "com.mysql.cj.jdbc.Driver"
	mariadbClass   = "org.mariadb.jdbc.Driver"
	microsoftClass = "com.microsoft.sqlserver.jdbc.SQLServerDriver"
	jtdsClass      = "net.sourceforge.jtds.jdbc.Driver"
)

// TestClassOptions checks that options have the meaning that the driver class gives
// them. A row has either a data source, with a remark, or an error.
func TestClassOptions(t *testing.T) {
	type values = map[string]string
	verified := values{"tls": "true"}
	for class, rows := range map[string][]struct {
		about      string
		url        string
		properties string // besides the URL
		want       values
		remark     string
		refused    error
	}{
		postgresClass: {
			{about: "host is folded", url: "jdbc:postgresql://db1/x?Host=db2", refused: fault.Syntax},
			{about: "port is folded", url: "jdbc:postgresql://db1/x?PORT=5433", refused: fault.Syntax},
			{about: "dbname is folded", url: "jdbc:postgresql://db1/x?DBNAME=other", refused: fault.Syntax},
			{about: "the same host", url: "jdbc:postgresql://db1/x?HOST=db1&Port=5432&dbName=x",
				want: values{"host": "db1"}},
			{about: "an alias contradicts", url: "jdbc:postgresql://db1/x?PGHOST=db2&Host=db3",
				refused: fault.Syntax},
			{about: "other names are not folded", url: "jdbc:postgresql://db/x?pghost=db2",
				refused: fault.Syntax},
			{about: "a misspelled user", url: "jdbc:postgresql://db/x?User=other", refused: fault.Syntax},
			{about: "a misspelled password", url: "jdbc:postgresql://db/x?PASSWORD=hunter",
				refused: fault.Syntax},
			{about: "names are not trimmed", url: "jdbc:postgresql://db/x? sslmode=verify-full",
				refused: fault.Syntax},
			{about: "names are not decoded", url: "jdbc:postgresql://db/x?ssl%6dode=verify-full",
				refused: fault.Syntax},
			{about: "a misspelled weaker option", url: "jdbc:postgresql://db/x?sslMode=disable",
				want: values{"sslmode": "prefer"}, remark: "sslmode"},
			{about: "an empty password of the URL wins", url: "jdbc:postgresql://db/x?password=",
				refused: fault.Syntax},
			{about: "an empty user of the URL wins", url: "jdbc:postgresql://db/x?user",
				refused: fault.Syntax},
			{about: "the URL wins over properties", url: "jdbc:postgresql://db/x",
				properties: "PGHOST=other", refused: fault.Syntax},
			{about: "the URL wins over a database in properties", url: "jdbc:postgresql://db/x",
				properties: "PGDBNAME=y", refused: fault.Syntax},
			{about: "the authority below verify-ca",
				url:  "jdbc:postgresql://db/x?sslmode=require&sslrootcert=/missing",
				want: values{"sslmode": "require", "sslrootcert": ""}, remark: "sslrootcert"},
			{about: "the authority with prefer", url: "jdbc:postgresql://db/x?sslrootcert=/missing",
				want: values{"sslmode": "prefer", "sslrootcert": ""}, remark: "sslrootcert"},
			{about: "the authority from verify-ca on",
				url:  "jdbc:postgresql://db/x?sslmode=verify-ca&sslrootcert=/ca",
				want: values{"sslmode": "verify-ca", "sslrootcert": "/ca"}},
			{about: "a name that is not ASCII", url: "jdbc:postgresql://db/x?hoſt=db2",
				refused: fault.Syntax},
		},
		connector5: {
			{about: "useSSL verifies", url: "jdbc:mysql://db/x?useSSL=true", want: verified,
				remark: "useSSL"},
			{about: "requireSSL verifies", url: "jdbc:mysql://db/x?requireSSL=true", want: verified,
				remark: "requireSSL"},
			{about: "both verify", url: "jdbc:mysql://db/x?useSSL=yes&requireSSL=YES", want: verified,
				remark: "useSSL"},
			{about: "in properties", url: "jdbc:mysql://db/x", properties: "useSSL=true", want: verified,
				remark: "useSSL"},
			{about: "unless it says not to",
				url:  "jdbc:mysql://db/x?useSSL=true&verifyServerCertificate=false",
				want: values{"tls": "skip-verify"}},
			{about: "nothing", url: "jdbc:mysql://db/x", want: values{"tls": "preferred"}},
			{about: "no TLS", url: "jdbc:mysql://db/x?useSSL=false", want: values{"tls": "false"}},
			{about: "5.1 does not know sslMode, which allows less",
				url: "jdbc:mysql://db/x?sslMode=DISABLED", want: values{"tls": "preferred"}, remark: "sslMode"},
			{about: "nor one that asks for less than useSSL",
				url: "jdbc:mysql://db/x?sslMode=REQUIRED&useSSL=true", want: verified, remark: "sslMode"},
			{about: "sslMode that asks for more", url: "jdbc:mysql://db/x?sslMode=VERIFY_IDENTITY",
				want: verified},
			{about: "user and password before the host", url: "jdbc:mysql://u:secret@db/x",
				refused: fault.Unsupported},
			{about: "a host in parentheses", url: "jdbc:mysql://(host=db)/x", refused: fault.Unsupported},
			{about: "an address", url: "jdbc:mysql://address=(protocol=tcp)(host=db)(port=3307)/x",
				want: values{"network": "tcp(db:3307)"}},
			{about: "5.1 does not decode the database", url: "jdbc:mysql://db/a%20b",
				refused: fault.Unsupported},
			{about: "5.1 does not support dbname", url: "jdbc:mysql://db/x?dbname=other",
				refused: fault.Unsupported},
			{about: "nor folds it", url: "jdbc:mysql://db/x?DBNAME=other", refused: fault.Syntax},
			{about: "nor user", url: "jdbc:mysql://db/x?User=other", refused: fault.Syntax},
			{about: "nor trims names", url: "jdbc:mysql://db/x?sslMode =REQUIRED", refused: fault.Syntax},
			{about: "nor decodes names", url: "jdbc:mysql://db/x?%75seSSL=true", refused: fault.Syntax},
			{about: "nor trims values", url: "jdbc:mysql://db/x?useSSL= true", refused: fault.Unsupported},
		},
		connector8: {
			{about: "useSSL verifies up to 8.0.12", url: "jdbc:mysql://db/x?useSSL=true", want: verified,
				remark: "useSSL"},
			{about: "with sslMode its version is known",
				url: "jdbc:mysql://db/x?useSSL=true&sslMode=REQUIRED", want: values{"tls": "skip-verify"}},
			{about: "names are trimmed", url: "jdbc:mysql://db/x?a=b& sslMode=VERIFY_IDENTITY",
				want: verified, remark: "a"},
			{about: "at both ends", url: "jdbc:mysql://db/x?sslMode =REQUIRED",
				want: values{"tls": "skip-verify"}},
			{about: "and decoded", url: "jdbc:mysql://db/x?ssl%4dode=REQUIRED",
				want: values{"tls": "skip-verify"}},
			{about: "values are trimmed", url: "jdbc:mysql://db/x?sslMode= REQUIRED ",
				want: values{"tls": "skip-verify"}},
			{about: "first trimmed, then decoded", url: "jdbc:mysql://db/x?%20sslMode=DISABLED",
				want: values{"tls": "preferred"}, remark: "sslMode"},
			{about: "dbname wins", url: "jdbc:mysql://db/jira?dbname =other",
				want: values{"database": "other"}},
			{about: "dbname is folded", url: "jdbc:mysql://db/jira?DBName=other",
				want: values{"database": "other"}},
			{about: "user is folded", url: "jdbc:mysql://db/x?USER=other", refused: fault.Syntax},
			{about: "other names are not", url: "jdbc:mysql://db/x?useSsl=false",
				want: values{"tls": "preferred"}, remark: "useSSL"},
			{about: "no more than that", url: "jdbc:mysql://db/x?USESSL=false",
				want: values{"tls": "preferred"}, remark: "useSSL"},
			{about: "sslMode, too", url: "jdbc:mysql://db/x?sslmode=DISABLED",
				want: values{"tls": "preferred"}, remark: "sslMode"},
			{about: "which asked for more", url: "jdbc:mysql://db/x?sslmode=VERIFY_IDENTITY",
				refused: fault.Syntax},
			{about: "useSSL, too", url: "jdbc:mysql://db/x?useSsl=true", refused: fault.Syntax},
			{about: "properties are not trimmed", url: "jdbc:mysql://db/x", properties: "useSSL =true",
				refused: fault.Syntax},
			{about: "the alias contradicts",
				url:     "jdbc:mysql://db/x?tlsVersions=TLSv1.2&enabledTLSProtocols=TLSv1.3",
				refused: fault.Syntax},
			{about: "1 is not true", url: "jdbc:mysql://db/x?useSSL=1", refused: fault.Syntax},
			{about: "nor is nothing", url: "jdbc:mysql://db/x?useSSL", refused: fault.Syntax},
			{about: "characters no name has", url: "jdbc:mysql://db/x?a[b]=c", refused: fault.Syntax},
			{about: "two slashes", url: "jdbc:mysql://db//x", refused: fault.Syntax},
			{about: "two question marks", url: "jdbc:mysql://db/x??useSSL=false", refused: fault.Syntax},
			{about: "localSocket is MariaDB's", url: "jdbc:mysql://db/x?localSocket=/s",
				want: values{"network": "tcp(db:3306)"}, remark: "localSocket"},
			{about: "a class that changes options",
				url: "jdbc:mysql://db/x?propertiesTransform=com.example.T", refused: fault.Unsupported},
			{about: "a file with options", url: "jdbc:mysql://db/x?useConfigs=mine",
				refused: fault.Unsupported},
			{about: "a class that trusts",
				url:     "jdbc:mysql://db/x?sslMode=VERIFY_CA&trustManagerFactoryProvider=x",
				refused: fault.Unsupported},
			{about: "another encoding of the password",
				url: "jdbc:mysql://db/x?passwordCharacterEncoding=latin1", refused: fault.Unsupported},
			{about: "the same encoding", url: "jdbc:mysql://db/x?passwordCharacterEncoding=UTF-8",
				want: values{"database": "x"}},
			{about: "an empty password of the URL is none", url: "jdbc:mysql://db/x?password=",
				want: values{"password": "secret"}},
			{about: "blanks beyond ASCII are not trimmed", url: "jdbc:mysql://db/\u00a0x",
				want: values{"database": "\u00a0x"}},
		},
		mariadbClass: {
			{about: "an alias of trustStore",
				url:     "jdbc:mariadb://db/x?sslMode=trust&trustCertificateKeyStoreUrl=file:/t",
				refused: fault.Unsupported},
			{about: "of its password",
				url:     "jdbc:mariadb://db/x?sslMode=trust&trustCertificateKeyStorePassword=p",
				refused: fault.Unsupported},
			{about: "of its type",
				url:     "jdbc:mariadb://db/x?sslMode=trust&trustCertificateKeyStoreType=PKCS12",
				refused: fault.Unsupported},
			{about: "an alias of keyStore",
				url:     "jdbc:mariadb://db/x?sslMode=trust&clientCertificateKeyStoreUrl=file:/k",
				refused: fault.Unsupported},
			{about: "of its password",
				url:     "jdbc:mariadb://db/x?sslMode=trust&clientCertificateKeyStorePassword=p",
				refused: fault.Unsupported},
			{about: "of its type",
				url:     "jdbc:mariadb://db/x?sslMode=trust&clientCertificateKeyStoreType=PKCS12",
				refused: fault.Unsupported},
			{about: "an alias of the ciphers",
				url: "jdbc:mariadb://db/x?sslMode=trust&enabledSSLCipherSuites=X", refused: fault.Unsupported},
			{about: "an alias of useSsl", url: "jdbc:mariadb://db/x?useSSL=true", want: verified},
			{about: "in jdbc:mysql:", url: "jdbc:mysql://db/x?useSSL=1", want: verified},
			{about: "the aliases contradict each other", url: "jdbc:mariadb://db/x?useSSL=true&useSsl=false",
				refused: fault.Syntax},
			{about: "version 3 folds, version 2 does not", url: "jdbc:mariadb://db/x?USER=other",
				refused: fault.Syntax},
			{about: "TLS in another letter case", url: "jdbc:mariadb://db/x?USESSL=true",
				refused: fault.Syntax},
			{about: "no TLS in another letter case", url: "jdbc:mariadb://db/x?USESSL=false",
				want: values{"tls": "false"}, remark: "useSsl"},
			{about: "an alias in another letter case",
				url:     "jdbc:mariadb://db/x?sslMode=trust&TRUSTCERTIFICATEKEYSTOREURL=file:/t",
				refused: fault.Syntax},
			{about: "useSsl decides over sslMode", url: "jdbc:mariadb://db/x?useSsl=true&sslMode=trust",
				want: verified, remark: "sslMode"},
			{about: "trust in capital letters",
				url: "jdbc:mariadb://db/x?useSsl=true&trustServerCertificate=TRUE", want: verified,
				remark: "trustServerCertificate"},
			{about: "yes is not true", url: "jdbc:mariadb://db/x?useSsl=yes", refused: fault.Syntax},
			{about: "a bare name is", url: "jdbc:mariadb://db/x?useSsl", want: verified},
			{about: "names are not trimmed", url: "jdbc:mariadb://db/x? useSsl=true", refused: fault.Syntax},
			{about: "an empty password of the URL wins", url: "jdbc:mariadb://db/x?password=",
				refused: fault.Syntax},
			{about: "an address", url: "jdbc:mariadb://address=(host=db)(port=3307)/x",
				want: values{"network": "tcp(db:3307)"}},
			{about: "an address in capital letters", url: "jdbc:mariadb://ADDRESS=(host=db)(port=3307)/x",
				refused: fault.Syntax},
			{about: "a user in an address", url: "jdbc:mariadb://address=(host=db)(user=u)/x",
				refused: fault.Unsupported},
			{about: "Connector/J's parentheses", url: "jdbc:mariadb://(host=db)/x", refused: fault.Syntax},
			{about: "blanks in an address", url: "jdbc:mariadb://address=(host =db)/x",
				refused: fault.Unsupported},
			{about: "a malformed host with a socket", url: "jdbc:mariadb://[::1/x?localSocket=/s",
				refused: fault.Syntax},
			{about: "several hosts with a socket", url: "jdbc:mariadb://a,b/x?localSocket=/s",
				refused: fault.Unsupported},
			{about: "shared memory", url: "jdbc:mariadb://db/x?sharedMemory=m", refused: fault.Unsupported},
			{about: "a pipe", url: "jdbc:mariadb://db/x?pipe=p", refused: fault.Unsupported},
			{about: "the server's key", url: "jdbc:mariadb://db/x?serverRsaPublicKeyFile=/k",
				refused: fault.Unsupported},
			{about: "another encoding of the password",
				url: "jdbc:mariadb://db/x?passwordCharacterEncoding=latin1", refused: fault.Unsupported},
		},
		microsoftClass: {
			{about: "instance is not its option",
				url:    "jdbc:sqlserver://db;databaseName=jira;instance=SQLEXPRESS",
				want:   values{"host": "db", "port": "1433", "instance": "", "database": "jira"},
				remark: "instance"},
			{about: "instanceName is", url: "jdbc:sqlserver://db;INSTANCENAME=SQLEXPRESS",
				want: values{"instance": "SQLEXPRESS", "port": ""}},
			{about: "names are folded and trimmed",
				url:  "jdbc:sqlserver://; SERVER = db ;Port= 1444 ;DataBase=x",
				want: values{"host": "db", "port": "1444", "database": "x"}},
			{about: "trustServerCertificate is empty", url: "jdbc:sqlserver://db;trustServerCertificate=",
				refused: fault.Syntax},
			{about: "or neither true nor false", url: "jdbc:sqlserver://db;trustServerCertificate=yes",
				refused: fault.Syntax},
			{about: "true in any letter case", url: "jdbc:sqlserver://db;TRUSTSERVERCERTIFICATE=True",
				want: values{"trustservercertificate": "true"}},
			{about: "multiSubnetFailover is empty", url: "jdbc:sqlserver://db;multiSubnetFailover=",
				refused: fault.Syntax},
			{about: "encrypt is empty", url: "jdbc:sqlserver://db;encrypt=", refused: fault.Syntax},
			{about: "names are not decoded", url: "jdbc:sqlserver://db;encr%79pt=false",
				refused: fault.Syntax},
			{about: "another name of domain", url: "jdbc:sqlserver://db;domainName=CORP",
				refused: fault.Unsupported},
			{about: "aliases contradict each other", url: "jdbc:sqlserver://db;database=a;databaseName=b",
				refused: fault.Syntax},
			{about: "blanks in the host", url: "jdbc:sqlserver:// db :1444",
				want: values{"host": "db", "port": "1444"}},
		},
		jtdsClass: {
			{about: "names are folded", url: "jdbc:jtds:sqlserver://db/x;SSL=require;Instance=i",
				want: values{"encrypt": "true", "instance": "i"}},
			{about: "but not trimmed", url: "jdbc:jtds:sqlserver://db/x; ssl=authenticate",
				refused: fault.Syntax},
			{about: "Microsoft's aliases",
				url:    "jdbc:jtds:sqlserver://db/x;port=1444;database=y;server=z;instanceName=i",
				want:   values{"host": "db", "port": "1433", "database": "x", "instance": ""},
				remark: "port, database, server, instanceName"},
			{about: "text after a slash", url: "jdbc:jtds:sqlserver://db/x/y;ssl=require",
				refused: fault.Syntax},
			{about: "text after a colon", url: "jdbc:jtds:sqlserver://db/x;appName=a:b;ssl=require",
				refused: fault.Syntax},
			{about: "an instance is an option", url: `jdbc:jtds:sqlserver://db\i/x`, refused: fault.Syntax},
			{about: "an empty password of the URL wins", url: "jdbc:jtds:sqlserver://db/x;password",
				refused: fault.Syntax},
			{about: "brackets", url: "jdbc:jtds:sqlserver://[::1]:1444/x", refused: fault.Syntax},
			{about: "the host has to stand before the options",
				url: "jdbc:jtds:sqlserver:///x;serverName=db", refused: fault.Syntax},
			{about: "as a property", url: "jdbc:jtds:sqlserver:///x", properties: "serverName=db",
				want: values{"host": "db"}},
			{about: "an empty server name of the options wins", url: "jdbc:jtds:sqlserver://db/x;serverName",
				refused: fault.Syntax},
			{about: "an empty database of the URL wins", url: "jdbc:jtds:sqlserver://db/;a=b",
				properties: "databaseName=x", refused: fault.Syntax},
			{about: "but not over the options", url: "jdbc:jtds:sqlserver://db/;databaseName=x",
				want: values{"database": "x"}},
			{about: "an empty port", url: "jdbc:jtds:sqlserver://db:/x;portNumber=1444",
				refused: fault.Syntax},
			{about: "a dotless i", url: "jdbc:jtds:sqlserver://db/x;\u0131nstance=i", refused: fault.Syntax},
		},
	} {
		for _, row := range rows {
			t.Run(class+"/"+row.about, func(t *testing.T) {
				source, err := jdbc.Source(jdbc.Database{Driver: class, URL: row.url, Username: "u",
					Password: "secret", Properties: row.properties})
				if row.refused != nil {
					require.ErrorIs(t, err, row.refused)
					require.Zero(t, source)
					return
				}
				require.NoError(t, err)
				ignored := strings.Join(source.Ignored, ", ")
				if row.remark == "" {
					require.Empty(t, ignored)
				}
				require.Contains(t, ignored, row.remark)
				got := map[string]func(testing.TB, string) map[string]string{"pgx": postgresSource,
					"mysql": mysqlSource, "sqlserver": sqlServerSource}[source.Driver](t, source.Name)
				for name, value := range row.want {
					require.Equal(t, value, got[name], name)
				}
			})
		}
	}
}

func TestSourcePasswordEncoding(t *testing.T) {
	d := jdbc.Database{Driver: connector8, URL: "jdbc:mysql://db/x?characterEncoding=latin1",
		Username: "u", Password: "secret"}
	source, err := jdbc.Source(d)
	require.NoError(t, err)
	require.Equal(t, []string{"characterEncoding"}, source.Ignored)
	d.Password = "gehéim"
	_, err = jdbc.Source(d)
	require.ErrorIs(t, err, fault.Unsupported, "Java sends other bytes")
}
