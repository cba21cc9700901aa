package jdbc

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
)

// maxURL is more than any driver's own limit; what is longer is not a URL.
const maxURL = 64 << 10

// Database is what a product's file says of its database. Properties are given
// to the JDBC driver beside the URL: a line for each, name=value.
type Database struct{ Driver, URL, Username, Password, Schema, Properties string }

// A DataSource is what database/sql opens.
type DataSource struct {
	Driver  string   // the name of the Go driver
	Name    string   // the data source name; it holds the password
	Ignored []string // options without an equal, and remarks about safer ones
}

// Source returns the name of the Go driver and the data source for it: "pgx"
// (github.com/jackc/pgx/v5/stdlib, understood by github.com/lib/pq from 1.12 on),
// "mysql" (github.com/go-sql-driver/mysql, MySQL and MariaDB) or "sqlserver"
// (github.com/microsoft/go-mssqldb).
//
// It leads to the same database, as the same user and at least as securely as
// the JDBC URL, or there is none: an option that says where, as whom or how
// securely to connect and has no equal in Go is [fault.Unsupported]. Other
// options without an equal are ignored. A URL that contradicts the rest of the
// file, or that Java's driver would not accept either, is [fault.Syntax]. No
// error and no ignored option quotes a value.
func Source(d Database) (DataSource, error) {
	scheme, err := check(d)
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
	return DataSource{}, fault.New(fault.Unsupported, "the database's URL begins with jdbc:%s: %s", scheme, noDriver(scheme))
}

// noDriver says why there is no data source for what else products run on, and
// nothing of what it does not know.
func noDriver(scheme string) string {
	switch scheme {
	case "oracle":
		return "Go has no driver that reads what Oracle's reads (TNS names, wallets); github.com/sijms/go-ora takes host, port and service name, with the user name and the password apart"
	case "h2":
		return "H2 keeps its tables in a file that only Java reads; the product has to be moved to another database first"
	case "hsqldb":
		return "HSQLDB keeps its tables in files that only Java reads; the product has to be moved to another database first"
	case "derby":
		return "Derby keeps its tables in files that only Java reads; the product has to be moved to another database first"
	case "db2":
		return "the Go driver for DB2 needs IBM's C library and a data source of its own"
	case "pgsql":
		return "this is pgjdbc-ng, which has other options than PostgreSQL's own driver; write jdbc:postgresql:"
	case "redshift":
		return "Amazon's driver has options and a login of its own"
	case "aws-wrapper":
		return "Amazon's wrapper chooses the server and the login itself; write the URL of the driver that it wraps"
	case "mysql+srv":
		return "the Go driver does not look up servers in DNS SRV records; write the host"
	case "mysqlx":
		return "the Go driver does not speak the X protocol; write jdbc:mysql: and the port of the classic protocol"
	case "sybase":
		return "jTDS speaks to Sybase here, and the Go driver to SQL Server only"
	}
	return ""
}

// urlsOf returns which URLs a JDBC driver accepts, and none for a class that
// is not known.
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

// check refuses what no driver could do anything with, and returns the name
// behind jdbc:.
func check(d Database) (scheme string, err error) {
	switch {
	case d.URL == "":
		return "", fault.New(fault.Syntax, "the database has no URL")
	case len(d.URL) > maxURL:
		return "", fault.New(fault.Syntax, "the database's URL is longer than %d bytes", maxURL)
	case strings.ContainsFunc(d.URL, unicode.IsControl):
		return "", fault.New(fault.Syntax, "the database's URL holds a line break or another control character")
	}
	for _, v := range []struct{ what, text string }{
		{"URL", d.URL}, {"user name", d.Username}, {"password", d.Password}, {"schema", d.Schema}, {"properties", d.Properties},
	} {
		if !utf8.ValidString(v.text) || strings.ContainsRune(v.text, 0) {
			return "", fault.New(fault.Syntax, "the database's %s holds a NUL or is not UTF-8", v.what)
		}
	}
	rest, ok := strings.CutPrefix(d.URL, "jdbc:")
	name, _, colon := strings.Cut(rest, ":")
	if !ok || !colon {
		return "", fault.New(fault.Syntax, "the database's URL does not begin with jdbc: and the name of a driver")
	}
	if name == "jtds" && strings.HasPrefix(rest, "jtds:sybase:") {
		name = "sybase"
	}
	if scheme = name; !known(scheme) {
		return "", fault.New(fault.Unsupported, "the database's URL is for a driver that is not known here")
	}
	accepted := urlsOf(d.Driver)
	switch {
	case d.Driver == "":
	case accepted == nil:
		return "", fault.New(fault.Unsupported, "the JDBC driver class is not known here, and may understand the URL in its own way")
	case !slices.Contains(accepted, scheme):
		return "", fault.New(fault.Syntax, "the JDBC driver %s does not accept a URL that begins with jdbc:%s", d.Driver, scheme)
	case d.Driver == "org.mariadb.jdbc.Driver":
		scheme = "mariadb" // it reads jdbc:mysql: by its own rules
	}
	return scheme, nil
}

func known(scheme string) bool {
	return noDriver(scheme) != "" || slices.Contains([]string{"postgresql", "mysql", "mariadb", "sqlserver", "jtds"}, scheme)
}

// translate writes the data source, unless something stands in its way.
func translate(driver string, d Database, write func(Database, *translation) string) (DataSource, error) {
	var t translation
	name := write(d, &t)
	if t.refused() {
		return DataSource{}, t.refusal()
	}
	return DataSource{Driver: driver, Name: name, Ignored: t.ignored}, nil
}
