package jdbc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
	"github.com/seed74218947/secretref/internal/fault"
)

// TestSource has a complete data source for each database. Other tests only check
// parts.
func TestSource(t *testing.T) {
	for url, want := range map[string][2]string{
		"jdbc:postgresql://dbserver:5432/jiradb?ssl=require&targetServerType=master": {"pgx",
			`postgres://jira:it%27s%20%5C%20secret@dbserver:5432/jiradb?sslmode=require&sslrootcert=&sslcert=&sslkey=&` +
				`sslsni=1&target_session_attrs=primary&connect_timeout=10&options=`},
		"jdbc:mysql://dbserver/jiradb?useSSL=true&verifyServerCertificate=false&characterEncoding=UTF8": {"mysql",
			`jira:it's \ secret@tcp(dbserver:3306)/jiradb?tls=skip-verify&parseTime=true&loc=Local`},
		"jdbc:mariadb://dbserver:3307/jiradb": {"mysql",
			`jira:it's \ secret@tcp(dbserver:3307)/jiradb?tls=false&parseTime=true&loc=Local&timeout=30s`},
		"jdbc:sqlserver://dbserver;databaseName=jiradb": {"sqlserver",
			`sqlserver://jira:it%27s%20%5C%20secret@dbserver:1433?TrustServerCertificate=false&database=jiradb&encrypt=true&multiSubnetFailover=false`},
		`jdbc:jtds:sqlserver://dbserver/jiradb`: {"sqlserver",
			`sqlserver://jira:it%27s%20%5C%20secret@dbserver:1433?TrustServerCertificate=true&database=jiradb&encrypt=false`},
	} {
		source, err := jdbc.Source(jdbc.Database{URL: url, Username: "jira", Password: `it's \ secret`})
		require.NoError(t, err, url)
		require.Equal(t, jdbc.DataSource{Driver: want[0], Name: want[1]}, source)
	}
}

func TestSourceDriverClass(t *testing.T) {
	for _, ok := range [][2]string{
		{"org.postgresql.Driver", "jdbc:postgresql://db/x"},
		{"com.mysql.jdbc.Driver", "jdbc:mysql://db/x"},
		{"com.mysql.cj.jdbc.Driver", "jdbc:mysql://db/x"},
		{"org.mariadb.jdbc.Driver", "jdbc:mariadb://db/x"},
		{"org.mariadb.jdbc.Driver", "jdbc:mysql://db/x?permitMysqlScheme"},
		{"com.microsoft.sqlserver.jdbc.SQLServerDriver", "jdbc:sqlserver://db"},
		{"net.sourceforge.jtds.jdbc.Driver", "jdbc:jtds:sqlserver://db/x"},
	} {
		_, err := jdbc.Source(jdbc.Database{Driver: ok[0], URL: ok[1], Username: "u"})
		require.NoError(t, err, ok)
		for _, other := range []string{"jdbc:postgresql://db/x", "jdbc:mariadb://db/x",
			"jdbc:sqlserver://db", "jdbc:jtds:sqlserver://db/x"} {
			if kind(other) == kind(ok[1]) || ok[0] == "org.mariadb.jdbc.Driver" && kind(other) == "mariadb" {
				continue
			}
			_, err := jdbc.Source(jdbc.Database{Driver: ok[0], URL: other, Username: "u"})
			require.ErrorIs(t, err, fault.Syntax, "%v %v", ok[0], other)
		}
	}
	// MariaDB's driver reads jdbc:mysql: too, but without TLS by default.
	source, err := jdbc.Source(jdbc.Database{Driver: "org.mariadb.jdbc.Driver",
		URL: "jdbc:mysql://db/x", Username: "u", Password: "%41"})
	require.NoError(t, err)
	require.Equal(t, "false", mysqlSource(t, source.Name)["tls"])
}

func kind(url string) string { return strings.Split(url, ":")[1] }

func TestSourceUnsupported(t *testing.T) {
	for url, why := range map[string]string{
		"jdbc:oracle:thin:@//db:1521/ORCL":                 "go-ora",
		"jdbc:h2:tcp://localhost:9092/jira":                "only Java",
		"jdbc:h2:file:/var/jira/h2db":                      "only Java",
		"jdbc:hsqldb:${localHome}/database/confluencedb":   "only Java",
		"jdbc:derby:/x":                                    "only Java",
		"jdbc:db2://db:50000/x":                            "DB2",
		"jdbc:pgsql://db/x":                                "pgjdbc-ng",
		"jdbc:aws-wrapper:postgresql://db/x":               "wrapper",
		"jdbc:mysql+srv://db/x":                            "SRV",
		"jdbc:jtds:sybase://db/x":                          "Sybase",
		"jdbc:mysql:replication://a,b/x":                   "replication",
		"jdbc:mysql:loadbalance://a,b/x":                   "loadbalance",
		"jdbc:mariadb:sequential://a,b/x":                  "sequential",
		"jdbc:mysql://a:3306,b:3306/x":                     "one server",
		"jdbc:mysql://(host=a),(host=b)/x":                 "the host",
		"jdbc:mysql://address=(host=a),address=(host=b)/x": "the host",
		"jdbc:mysql://address=(host=a)(protocol=pipe)/x":   "the host",
		"jdbc:mysql://address=(host=a)(type=replica)/x":    "the host",
		"jdbc:mysql://[a,b]/x":                             "one server",
		"jdbc:somethingelse://db/x":                        "unknown driver",
		"jdbc:sqlserver://db;integratedSecurity=true":      "integratedSecurity",
		"jdbc:jtds:sqlserver://db/x;domain=CORP":           "domain",
		"jdbc:sqlserver://db;failoverPartner=other\\inst":  "failoverPartner",
		"jdbc:sqlserver://db;applicationIntent=ReadOnly":   "databaseName",
		"jdbc:sqlserver://db;encrypt=true;trustStore=/x.p": "trustStore",
	} {
		source, err := jdbc.Source(jdbc.Database{URL: url, Username: "u", Password: "hunter"})
		require.ErrorIs(t, err, fault.Unsupported, url)
		require.ErrorContains(t, err, why, url)
		require.Zero(t, source, url)
	}
	_, err := jdbc.Source(jdbc.Database{Driver: "com.example.Driver", URL: "jdbc:postgresql://db/x",
		Username: "u"})
	require.ErrorIs(t, err, fault.Unsupported)
}

func TestSourceMistakes(t *testing.T) {
	for name, d := range map[string]jdbc.Database{
		"no URL":                     {},
		"garbage":                    {URL: "garbage"},
		"no jdbc":                    {URL: "postgresql://db/x"},
		"only a scheme":              {URL: "jdbc:postgresql"},
		"line break":                 {URL: "jdbc:postgresql://db/x\n"},
		"NUL":                        {URL: "jdbc:postgresql://db/x\x00"},
		"escaped NUL":                {URL: "jdbc:postgresql://db/x%00"},
		"escaped NUL in a value":     {URL: "jdbc:postgresql://db/x?ApplicationName=%00"},
		"escaped invalid UTF-8":      {URL: "jdbc:mysql://db/%ff"},
		"huge":                       {URL: "jdbc:postgresql://db/" + strings.Repeat("x", 1<<17)},
		"NUL in the password":        {URL: "jdbc:postgresql://db/x", Password: "a\x00b"},
		"NUL in the user":            {URL: "jdbc:postgresql://db/x", Username: "a\x00b"},
		"NUL in the schema":          {URL: "jdbc:postgresql://db/x", Schema: "a\x00b"},
		"invalid UTF-8":              {URL: "jdbc:postgresql://db/x", Password: "a\xff"},
		"no user":                    {URL: "jdbc:postgresql://db/x"},
		"no slash":                   {URL: "jdbc:postgresql://db"},
		"one slash":                  {URL: "jdbc:postgresql:/db/x"},
		"three slashes":              {URL: "jdbc:postgresql:///x"},
		"slash in the database":      {URL: "jdbc:postgresql://db/x/y"},
		"empty host":                 {URL: "jdbc:postgresql://,db/x"},
		"bad port":                   {URL: "jdbc:postgresql://db:0/x"},
		"large port":                 {URL: "jdbc:postgresql://db:65536/x"},
		"user info":                  {URL: "jdbc:postgresql://u:hunter@db/x"},
		"a socket for a host":        {URL: "jdbc:postgresql://db/x?PGHOST=/tmp"},
		"IPv6 without brackets":      {URL: "jdbc:postgresql://::1/x"},
		"half a bracket":             {URL: "jdbc:postgresql://[::1/x"},
		"a zone that is none":        {URL: "jdbc:postgresql://[fe80::1%a(b]/x"},
		"space in the host":          {URL: "jdbc:postgresql://d b/x"},
		"ports without hosts":        {URL: "jdbc:postgresql://db/x?PGPORT=1,2"},
		"other host":                 {URL: "jdbc:postgresql://db/x?host=other"},
		"bad escape":                 {URL: "jdbc:postgresql://db/x?password=100%"},
		"bad escape in the database": {URL: "jdbc:postgresql://db/100%"},
		"wrong letter case":          {URL: "jdbc:postgresql://db/x?sslMode=require"},
		"unknown sslmode":            {URL: "jdbc:postgresql://db/x?sslmode=on"},
		"TLS and no TLS":             {URL: "jdbc:postgresql://db/x?ssl=true&sslmode=disable"},
		"twice, differently":         {URL: "jdbc:postgresql://db/x?sslmode=require&sslmode=disable"},
		"bad search path":            {URL: "jdbc:postgresql://db/x?currentSchema=a,,b", Schema: "s"},
		"open quote":                 {URL: "jdbc:postgresql://db/x?currentSchema=%22a", Schema: "s"},
		"unknown server type":        {URL: "jdbc:postgresql://db/x?targetServerType=best"},
		"no number":                  {URL: "jdbc:postgresql://db/x?connectTimeout=soon"},
		"fragment":                   {URL: "jdbc:mysql://db/x?password=hunter#marlin"},
		"two at signs":               {URL: "jdbc:mysql://u@v:hunter@db/x"},
		"slash in a password":        {URL: "jdbc:mysql://u:hunter/marlin@db/x"},
		"address without a host":     {URL: "jdbc:mysql://address=(port=1)/x"},
		"address without a bracket":  {URL: "jdbc:mysql://address=host/x"},
		"port in an address":         {URL: "jdbc:mysql://address=(host=db)(port=no)/x"},
		"no // in MySQL":             {URL: "jdbc:mysql:db/x"},
		"useSSL against requireSSL":  {URL: "jdbc:mysql://db/x?useSSL=false&requireSSL=true"},
		"sslMode against requireSSL": {URL: "jdbc:mysql://db/x?sslMode=PREFERRED&requireSSL=true"},
		"open brace":                 {URL: "jdbc:sqlserver://db;password={hunter"},
		"text after a brace":         {URL: "jdbc:sqlserver://db;password={hunter}marlin}"},
		"no name":                    {URL: "jdbc:sqlserver://db;=x"},
		"no value":                   {URL: "jdbc:sqlserver://db;encrypt;x=y"},
		"no host":                    {URL: "jdbc:sqlserver://;databaseName=x"},
		"two hosts":                  {URL: "jdbc:sqlserver://db;serverName=other"},
		"two ports":                  {URL: "jdbc:sqlserver://db:1433;portNumber=1434"},
		"ADO's port":                 {URL: "jdbc:sqlserver://db,1433"},
		"too many options":           {URL: "jdbc:postgresql://db/x?" + manyOptions()},
		"jTDS without its type":      {URL: "jdbc:jtds:other://db/x"},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "no user" && d.Username == "" {
				d.Username = "u"
			}
			source, err := jdbc.Source(d)
			require.ErrorIs(t, err, fault.Syntax)
			require.NotErrorIs(t, err, fault.Unsupported)
			require.Zero(t, source)
			require.NotContains(t, err.Error(), "hunter")
			require.NotContains(t, err.Error(), "marlin")
		})
	}
}

func manyOptions() string {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "o%d=x&", i)
	}
	return b.String()
}

func TestSourceLoginTwice(t *testing.T) {
	for _, url := range []string{
		"jdbc:postgresql://db/x?user=scott&password=tiger",
		"jdbc:mysql://db/x?user=scott&password=tiger",
		"jdbc:mysql://scott:tiger@db/x",
		"jdbc:mysql://address=(host=db)(user=scott)(password=tiger)/x",
		"jdbc:mysql://(host=db,user=scott,password=tiger)/x",
		"jdbc:mysql://scott:tiger@db/x?user=scott&password=tiger",
		"jdbc:mariadb://db/x?user=scott&password=tiger",
		"jdbc:sqlserver://db;user=scott;password=tiger",
		"jdbc:sqlserver://db;userName=scott;password={tiger}",
		"jdbc:jtds:sqlserver://db/x;user=scott;password=tiger",
	} {
		for _, d := range []jdbc.Database{{}, {Username: "scott"}, {Password: "tiger"},
			{Username: "scott", Password: "tiger"}} {
			d.URL = url
			source, err := jdbc.Source(d)
			require.NoError(t, err, url)
			require.Contains(t, source.Name, "scott")
			require.Contains(t, source.Name, "tiger")
		}
		for _, d := range []jdbc.Database{{Username: "other"}, {Password: "lion"},
			{Username: "scott", Password: "lion"}, {Username: "Scott"}} {
			d.URL = url
			source, err := jdbc.Source(d)
			require.ErrorIs(t, err, fault.Syntax, url)
			require.ErrorContains(t, err, "remove one")
			require.Zero(t, source)
			for _, secret := range []string{"tiger", "lion"} {
				require.NotContains(t, err.Error(), secret)
			}
		}
	}
	_, err := jdbc.Source(jdbc.Database{URL: "jdbc:mysql://scott:tiger@db/x?password=lion"})
	require.ErrorIs(t, err, fault.Syntax)
}

// TestSourceErrorsHidePassword has passwords without escapes, whose rest looks like an
// option.
func TestSourceErrorsHidePassword(t *testing.T) {
	for _, url := range []string{
		"jdbc:postgresql://db/x?password=hunter&marlin",
		"jdbc:postgresql://db/x?password=hunter&marlin=1&prepareThreshold=0",
		"jdbc:postgresql://db/x?password=hunter%&marlin=x%",
		"jdbc:postgresql://db/x?password=hunter&marlin=1&marlin=2",
		"jdbc:postgresql://db/x?sslpassword=hunter&sslkey=/k.p12&marlin",
		"jdbc:postgresql://u:hunter@marlin/x",
		"jdbc:postgresql://u:hunter?x=marlin@db/x",
		"jdbc:mysql://u:hunter?marlin@db/x",
		"jdbc:mysql://u:hunter@db/x?marlin=1",
		"jdbc:mysql://db/x?password=hunter&marlin",
		"jdbc:mysql://u:hunter#marlin@db/x",
		"jdbc:mariadb://db/x?password=hunter&marlin",
		"jdbc:mysql://address=(host=db)(password=hunter)marlin)/x",
		"jdbc:mysql://address=(host=db)(password=hunter@marlin)/x",
		"jdbc:mysql://(host=db,password=hunter,marlin)/x",
		"jdbc:sqlserver://db;password=hunter;marlin",
		"jdbc:sqlserver://db;password=hunter;marlin=1;",
		"jdbc:sqlserver://db;password={hunter}marlin;x=y",
		"jdbc:sqlserver://db;password=hunter{marlin}",
		"jdbc:sqlserver://db;accessToken=hunter;trustStorePassword=marlin",
		"jdbc:jtds:sqlserver://db/x;password=hunter;marlin",
		"jdbc:oracle:thin:u/hunter@marlin:1521:x",
		"jdbc:h2:mem:x;USER=u;PASSWORD=hunter;INIT=CREATE USER u PASSWORD 'marlin'",
		"jdbc:hunter:marlin",
		"hunter marlin",
	} {
		source, err := jdbc.Source(jdbc.Database{Driver: "", URL: url, Username: "u"})
		said := fmt.Sprint(source.Ignored, err)
		require.NotEqual(t, "[] <nil>", said, url)
		require.NotContains(t, said, "hunter", url)
		require.NotContains(t, said, "marlin", url)
	}
	_, err := jdbc.Source(jdbc.Database{Driver: "hunter", URL: "jdbc:postgresql://db/x"})
	require.NotContains(t, err.Error(), "hunter")
}

// TestSourceHosts has hosts that Java, Go without cgo and the system's resolver read
// differently.
func TestSourceHosts(t *testing.T) {
	for _, host := range []string{"127.1", "10.1.2", "010.0.0.1", "10.0.0.01", "0x7f.1", "0x7f000001",
		"2130706433", "1.2.3.4.5", "10.0.0.256", "10.0.0.1.", "db.1", "db.0x1",
		"bücher.example", "ⓓⓑ", "db\u00ad1", "db\u200b", "①⑦②.16.0.1", "１０.0.0.1", "db。example"} {
		for _, u := range []string{"jdbc:postgresql://%s/x", "jdbc:postgresql://%s:5432/x",
			"jdbc:postgresql://db1,%s/x", "jdbc:postgresql://db/x?PGHOST=%s", "jdbc:mysql://%s/x",
			"jdbc:mysql://(host=%s)/x",
			"jdbc:mysql://address=(host=%s)(port=3306)/x", "jdbc:mariadb://%s:3306/x",
			"jdbc:mariadb://address=(host=%s)/x", "jdbc:sqlserver://%s:1433;databaseName=x",
			"jdbc:sqlserver://%s\\I;databaseName=x",
			"jdbc:sqlserver://;serverName=%s;databaseName=x", "jdbc:jtds:sqlserver://%s/x"} {
			_, err := jdbc.Source(jdbc.Database{URL: fmt.Sprintf(u, host), Username: "app", Password: "pw"})
			require.ErrorIs(t, err, fault.Syntax, u+" "+host)
		}
	}
	for _, host := range []string{"10.0.0.1", "db1", "db.example", "db.example.", "1.example",
		"0xdb.local", "db_1", "localhost"} {
		_, err := jdbc.Source(jdbc.Database{URL: "jdbc:postgresql://" + host + "/x", Username: "app",
			Password: "pw"})
		require.NoError(t, err, host)
	}
	_, err := jdbc.Source(jdbc.Database{URL: "jdbc:sqlserver://db;databaseName=x;failoverPartner=010.0.0.2", Username: "app", Password: "pw"})
	require.Error(t, err)
}
