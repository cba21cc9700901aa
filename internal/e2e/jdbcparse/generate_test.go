package jdbcparse_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
)

// A generator generates URLs, most of them almost valid.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator {
	return generator{rand.New(rand.NewPCG(seed, 0))}
}

func (g generator) one(of ...string) string { return of[g.IntN(len(of))] }

// rarely returns true with the probability 1/n.
func (g generator) rarely(n int) bool { return g.IntN(n) == 0 }

// values are valid and invalid values of each kind of option.
var values = map[string][]string{
	"boolean": {"true", "false", "TRUE", "False", "1", "0", "yes", "no", "", "on", " true", "true "},
	"sslmode": {"disable", "allow", "prefer", "require", "verify-ca", "verify-full", "Require",
		"VERIFY-FULL", "", "trust", "verify_ca", "1"},
	"ssl":    {"off", "request", "require", "authenticate", "", "REQUIRE", "true"},
	"host":   {"db", "db2", "DB2", "other.example.com", "10.0.0.1", "::1", "", "a,b", " db"},
	"port":   {"5432", "1433", "3306", "1", "65535", "0", "", "a", "5432,5433", " 1"},
	"name":   {"x", "other", "X", "", "a b", "a+b", "a%20b", "a%2Fb", "%zz", "ä", "u", "app"},
	"secret": {"p", "it's", "p%40ss", "p+q", "", "a=b", "ü", "{p}", "p;q", "p&q", "%"},
	"factory": {"org.postgresql.ssl.NonValidatingFactory", "org.postgresql.ssl.DefaultJavaSSLFactory",
		"org.postgresql.ssl.LibPQFactory", "com.example.F", ""},
	"file": {"/etc/ca.pem", "", "/x y"},
	"text": {"a", "", "a b", "a/b", "a:b", "%41"},
}

// options are the options of each driver, with the kinds of their values.
var options = map[string]map[string]string{
	"postgresql": {"PGHOST": "host", "PGPORT": "port", "PGDBNAME": "name", "host": "host",
		"port": "port", "dbname": "name", "user": "name",
		"password": "secret", "ssl": "boolean", "sslmode": "sslmode", "sslfactory": "factory",
		"sslrootcert": "file", "readOnly": "boolean",
		"ApplicationName": "text", "currentSchema": "name", "prepareThreshold": "port"},
	"mariadb": {"user": "name", "password": "secret", "useSsl": "boolean", "useSSL": "boolean",
		"sslMode": "sslmode", "trustServerCertificate": "boolean",
		"disableSslHostnameVerification": "boolean", "localSocket": "file", "useCompression": "boolean",
		"dbname": "name", "host": "host", "port": "port",
		"trustCertificateKeyStoreUrl": "file", "sessionVariables": "text"},
	"jtds": {"serverName": "host", "portNumber": "port", "databaseName": "name", "instance": "name",
		"user": "name", "password": "secret", "ssl": "ssl",
		"server": "host", "port": "port", "database": "name", "instanceName": "name", "appName": "text",
		"useNTLMv2": "boolean"},
}

// database returns a URL for the driver, and properties.
func (g generator) database(driver string) jdbc.Database {
	d := jdbc.Database{Username: g.one("u", "u", "u", "app", "", "ü"),
		Password: g.one("p", "p", "it's", "p%40ss", "")}
	switch driver {
	case "postgresql":
		d.URL = g.postgresql()
	case "mariadb":
		d.URL = g.mariadb()
	case "jtds":
		d.URL = g.jtds()
	}
	for g.rarely(6) {
		name, value := g.option(driver)
		d.Properties += name + "=" + value + "\n"
	}
	return d
}

// option returns the name of an option, sometimes misspelled, and a value.
func (g generator) option(driver string) (name, value string) {
	name = g.one(slices.Sorted(maps.Keys(options[driver]))...)
	value = g.one(values[options[driver][name]]...)
	switch g.IntN(40) {
	case 0:
		name = strings.ToUpper(name)
	case 1:
		name = strings.ToLower(name)
	case 2:
		name = strings.ToUpper(name[:1]) + name[1:]
	case 3:
		name = g.one(" ", "\t", "%20") + name
	case 4:
		name += " "
	case 5:
		i := g.IntN(len(name))
		name = fmt.Sprintf("%s%%%02x%s", name[:i], name[i], name[i+1:])
	case 6:
		i := g.IntN(len(name))
		name = name[:i] + name[i+1:]
	}
	return name, value
}

func (g generator) query(driver, first, separator string) string {
	if g.rarely(4) {
		return ""
	}
	var b strings.Builder
	b.WriteString(first)
	for range g.IntN(4) {
		name, value := g.option(driver)
		b.WriteString(name)
		if !g.rarely(12) {
			b.WriteString("=" + value)
		}
		b.WriteString(separator)
		if g.rarely(30) {
			b.WriteString(separator)
		}
	}
	if s := b.String(); !g.rarely(10) {
		return strings.TrimSuffix(s, separator)
	}
	return b.String()
}

// address returns one or more hosts, with or without ports.
func (g generator) address() string {
	host := g.one("db", "db-1.example.com", "10.0.0.1", "d_b")
	if g.rarely(4) {
		host = g.one("DB", "[::1]", "[fe80::1]", "", "a b", "u@db", "u:p@db", "::1", "[::1", "db ")
	}
	switch g.IntN(12) {
	case 0, 1, 2:
		host += ":" + g.one("1", "5433", "65535", "3307", "1444", "0", "65536", "", "a", "08", " 1")
	case 3:
		host += g.one(",db2", ",db2:5434", ":5432,db2:5432", ",")
	}
	return host
}

func (g generator) postgresql() string {
	database := g.one("x", "x", "x", "a%20b", "a+b", "", "x/y", "%zz", "ä", "a%2Fb", "%41", "a b", "X")
	query := g.query("postgresql", "?", "&")
	switch g.IntN(12) {
	case 0:
		return "jdbc:postgresql:" + database + query
	case 1:
		// Not the documented "/", which this version refuses.
		return "jdbc:postgresql:" + g.one("//", "///", "") + query
	case 2:
		return "jdbc:postgresql:/" + g.address() + "/" + database + query
	case 3:
		return "jdbc:postgresql://" + g.address() + query
	}
	return "jdbc:postgresql://" + g.address() + "/" + database + query
}

func (g generator) mariadb() string {
	database := g.one("x", "x", "x", "a%20b", "a+b", "", "x/y", "%zz", "ä", " x ", "X")
	query := g.query("mariadb", "?", "&")
	authority := g.address()
	switch g.IntN(10) {
	case 0:
		authority = g.one("address=", "address=", "ADDRESS=", "") + "(" + g.one("host", "HOST", "Host ") +
			"=" + g.one("db", "[::1]", "::1", "") + ")" +
			g.one("", "(port=3307)", "(PORT=3307)", "(port=a)") +
			g.one("", "(user=w)", "(type=master)", "(type=slave)", "(protocol=tcp)", "(x=y)")
	case 1:
		authority = "(host=db,port=3307)"
	}
	scheme := g.one("jdbc:mariadb:", "jdbc:mariadb:", "jdbc:mysql:", "jdbc:mariadb:failover:",
		"jdbc:mariadb:sequential:")
	if g.rarely(8) {
		return scheme + "//" + authority + query
	}
	return scheme + "//" + authority + "/" + database + query
}

func (g generator) jtds() string {
	database := g.one("/x", "/x", "/x", "", "/a b", "/a%20b", "/ä", g.one("/", "/x/y", "/x:y", "//x"))
	slashes := "//"
	if g.rarely(20) {
		slashes = g.one("", "/", "///")
	}
	instance := ""
	if g.rarely(20) {
		instance = `\i`
	}
	return "jdbc:jtds:sqlserver:" + slashes + g.address() + instance + database +
		g.query("jtds", ";", ";")
}
