package secretref

import (
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
)

// Settings are what a configuration file says once it is resolved.
type Settings struct {
	Product  Product
	Database Database

	// Secrets has every entry that was resolved, the password among them, by its
	// key.
	Secrets map[string]Secret
}

// A Database is what is needed to reach a product's database. It can be printed
// and logged: URL and Password redact themselves. To log the URL use MaskedURL.
type Database struct {
	Driver   string // the JDBC driver's class
	URL      Secret // the JDBC URL, which may carry a password of its own
	Username string
	Schema   string
	Password Secret

	properties Secret // what the file gives to the JDBC driver beside the URL
	noURL      bool   // the file of Bitbucket names no database
}

// MaskedURL returns the JDBC URL for logs: every password in it, and every
// option that may hold one, is replaced by "[redacted]".
func (d Database) MaskedURL() string { return jdbc.Mask(d.URL.text()) }

// A DataSource opens a product's database with a Go driver:
// sql.Open(s.Driver, s.Name.Reveal()).
type DataSource struct {
	// Driver is the name of the Go driver, which the caller imports: "pgx"
	// (github.com/jackc/pgx/v5/stdlib; github.com/lib/pq understands Name from 1.12
	// on), "mysql" (github.com/go-sql-driver/mysql, also for MariaDB) or
	// "sqlserver" (github.com/microsoft/go-mssqldb).
	Driver string
	// Name is the data source name. It holds the password.
	Name Secret
	// Ignored names the options of the JDBC URL that have no equal in Go, such as
	// those that tune the JDBC driver, some with a reason in parentheses. None of
	// them changes where, as whom, with which password or how securely one
	// connects, unless the data source is the safer one, which the reason says.
	// Log them; they are no reason not to connect. No element holds a value of
	// the URL.
	Ignored []string
}

// DataSource returns the data source that opens the database as the product
// opens it: the same database, as the same user, at least as securely. JDBC
// options mean what the driver class in Driver makes of them; if Driver is empty,
// the class follows from the URL. Where versions of a class differ, the safer
// meaning counts. Neither the environment (PGHOST, PGPASSWORD, ~/.pgpass) nor the
// Go driver's defaults change where, as whom or with which password one connects.
//
// The error is not nil only if there is no data source. ErrUnsupported: Oracle,
// H2 and other databases, and options that say where, as whom or how securely to
// connect and have no equal in Go. ErrSyntax: a URL that is malformed, that the
// JDBC driver would not accept either, or that contradicts Driver, Username or
// Password. No error shows a value of the URL.
//
// Jira's connection-properties, and further properties hibernate.connection.… of
// the others, count as options of the URL in a Database that
// [Resolver.ResolveConfig] returned. DataSource panics, as Reveal does, if Password
// was unmarshalled and never resolved.
func (d Database) DataSource() (DataSource, error) {
	if err := d.missing(); err != nil {
		return DataSource{}, err
	}
	s, err := jdbc.Source(jdbc.Database{
		Driver: d.Driver, URL: d.URL.Reveal(), Username: d.Username, Password: d.Password.Reveal(), Schema: d.Schema,
		Properties: d.properties.Reveal(),
	})
	if err != nil {
		return DataSource{}, &Error{Source: "database", Err: err}
	}
	return DataSource{Driver: s.Driver, Name: resolvedSecret(s.Name), Ignored: s.Ignored}, nil
}

// missing returns why there is nothing to open: a file of Bitbucket that names no
// database leaves it to the environment.
func (d Database) missing() error {
	if d.noURL {
		return &Error{Source: "database", Err: atlassian.MissingURLFault()}
	}
	return nil
}
