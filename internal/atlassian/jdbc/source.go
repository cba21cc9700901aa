package jdbc

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
)

// maxURL limits the URL; it is larger than any driver's own limit.
const maxURL = 64 << 10

// Database is the database connection in a product's file. Properties are those that
// the product passes to the JDBC driver besides the URL, one per line, name=value.
type Database struct{ Driver, URL, Username, Password, Schema, Properties string }

// A DataSource has the arguments of sql.Open.
type DataSource struct {
	Driver  string   // the name of the Go driver
	Name    string   // the data source name, with the password
	Ignored []string // options without an equivalent, and remarks on safer ones
}

// Source returns the name of the Go driver and the data source for it: "pgx"
// (github.com/jackc/pgx/v5/stdlib, understood by github.com/lib/pq from 1.12 on),
// "mysql" (github.com/go-sql-driver/mysql, MySQL and MariaDB) or "sqlserver"
// (github.com/microsoft/go-mssqldb).
//
// It opens the same database, as the same user and at least as securely as the JDBC
// URL; otherwise there is no data source. An option without an equivalent in Go that
// affects where, as whom or how securely to connect is [fault.Unsupported]. Other
// options without an equivalent are ignored. A URL that contradicts the rest of the
// file, or that the JDBC driver does not accept, is [fault.Syntax]. Errors and
// ignored options do not quote values.
func Source(d Database) (DataSource, error) {
	scheme, err := checkDatabase(d)
	if err != nil {
		return DataSource{}, err
	}
	switch scheme {
	case "postgresql":
		return translate("pgx", d, postgres)
	case "mysql":
		if d.Driver == "com.mysql.jdbc.Driver" {
			return translate("mysql", d, mysql5)
		}
		return translate("mysql", d, mysql)
	case "mariadb":
		return translate("mysql", d, mariadb)
	case "sqlserver":
		return translate("sqlserver", d, sqlServer)
	case "jtds":
		return translate("sqlserver", d, jtds)
	}
	return DataSource{}, fault.New(fault.Unsupported,
		"the database's URL begins with jdbc:%s: %s", scheme, noDriver(scheme))
}

// noDriver returns why there is no data source for a scheme of another database that
// products use, or "" if the scheme is unknown.
func noDriver(scheme string) string {
	switch scheme {
	case "oracle":
		return "no Go driver reads the same configuration as Oracle's driver (TNS names, wallets); github.com/sijms/go-ora accepts host, port and service name, and user name and password separately"
	case "h2":
		return "H2 keeps its tables in a file that only Java can read; migrate the product to another database first"
	case "hsqldb":
		return "HSQLDB keeps its tables in files that only Java can read; migrate the product to another database first"
	case "derby":
		return "Derby keeps its tables in files that only Java can read; migrate the product to another database first"
	case "db2":
		return "the Go driver for DB2 needs IBM's C library and another form of data source"
	case "pgsql":
		return "this is pgjdbc-ng, whose options differ from those of PostgreSQL's own driver; write jdbc:postgresql:"
	case "redshift":
		return "Amazon's driver has its own options and login"
	case "aws-wrapper":
		return "Amazon's wrapper chooses the server and the login itself; write the URL of the driver that it wraps"
	case "mysql+srv":
		return "the Go driver does not look up servers in DNS SRV records; write the host"
	case "mysqlx":
		return "the Go driver does not speak the X protocol; write jdbc:mysql: and the port of the classic protocol"
	case "sybase":
		return "this URL is for Sybase, but the Go driver only supports SQL Server"
	}
	return ""
}

// urlsOf returns the schemes that a JDBC driver class accepts, or nil if the class is
// unknown.
func urlsOf(class string) []string {
	switch class {
	case "org.postgresql.Driver":
		return []string{"postgresql"}
	case "com.mysql.jdbc.Driver":
		return []string{"mysql", "mysql+srv"}
	case "com.mysql.cj.jdbc.Driver":
		return []string{"mysql", "mysql+srv", "mysqlx"}
	case "org.mariadb.jdbc.Driver":
		return []string{"mariadb", "mysql"}
	case "com.microsoft.sqlserver.jdbc.SQLServerDriver":
		return []string{"sqlserver"}
	case "net.sourceforge.jtds.jdbc.Driver":
		return []string{"jtds", "sybase"}
	case "oracle.jdbc.OracleDriver", "oracle.jdbc.driver.OracleDriver":
		return []string{"oracle"}
	case "org.h2.Driver":
		return []string{"h2"}
	case "org.hsqldb.jdbcDriver", "org.hsqldb.jdbc.JDBCDriver":
		return []string{"hsqldb"}
	case "org.apache.derby.jdbc.EmbeddedDriver", "org.apache.derby.jdbc.ClientDriver":
		return []string{"derby"}
	case "com.ibm.db2.jcc.DB2Driver":
		return []string{"db2"}
	}
	return nil
}

// checkDatabase refuses a database that no driver accepts, and returns the scheme after
// jdbc:.
func checkDatabase(d Database) (scheme string, err error) {
	switch {
	case d.URL == "":
		return "", fault.New(fault.Syntax, "the database has no URL")
	case len(d.URL) > maxURL:
		return "", fault.New(fault.Syntax, "the database's URL is longer than %d bytes", maxURL)
	case strings.ContainsFunc(d.URL, unicode.IsControl):
		return "", fault.New(fault.Syntax,
			"the database's URL contains a line break or another control character")
	}
	for _, v := range []struct{ what, text string }{
		{"URL", d.URL}, {"user name", d.Username}, {"password", d.Password}, {"schema", d.Schema},
		{"properties", d.Properties},
	} {
		if !utf8.ValidString(v.text) || strings.ContainsRune(v.text, 0) {
			return "", fault.New(fault.Syntax, "the database's %s contains a NUL or is not UTF-8", v.what)
		}
	}
	rest, ok := strings.CutPrefix(d.URL, "jdbc:")
	name, _, colon := strings.Cut(rest, ":")
	if !ok || !colon {
		return "", fault.New(fault.Syntax,
			"the database's URL does not begin with jdbc: and the name of a driver")
	}
	if name == "jtds" && strings.HasPrefix(rest, "jtds:sybase:") {
		name = "sybase"
	}
	if scheme = name; !isKnown(scheme) {
		return "", fault.New(fault.Unsupported, "the database's URL is for an unknown driver")
	}
	accepted := urlsOf(d.Driver)
	switch {
	case d.Driver == "":
	case accepted == nil:
		return "", fault.New(fault.Unsupported,
			"the JDBC driver class is unknown and may read the URL differently")
	case !slices.Contains(accepted, scheme):
		return "", fault.New(fault.Syntax,
			"the JDBC driver %s does not accept a URL that begins with jdbc:%s", d.Driver, scheme)
	case d.Driver == "org.mariadb.jdbc.Driver":
		scheme = "mariadb" // it reads jdbc:mysql: by its own rules
	}
	return scheme, nil
}

func isKnown(scheme string) bool {
	return noDriver(scheme) != "" ||
		slices.Contains([]string{"postgresql", "mysql", "mariadb", "sqlserver", "jtds"}, scheme)
}

// translate returns the data source, or an error with all reasons against it.
func translate(driver string, d Database, write func(Database, *translation) string) (DataSource,
	error) {
	var t translation
	name := write(d, &t)
	if t.refused() {
		return DataSource{}, t.refusal()
	}
	return DataSource{Driver: driver, Name: name, Ignored: t.ignored}, nil
}
