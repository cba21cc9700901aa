package secretref

import (
	"github.com/seed74218947/secretref/internal/atlassian"
	"github.com/seed74218947/secretref/internal/atlassian/jdbc"
)

// Settings are the resolved values of a configuration file.
type Settings struct {
	Product  Product
	Database Database

	// Secrets maps the key of every resolved entry, the password included, to its
	// value.
	Secrets map[string]Secret
}

// A Database describes how to reach a product's database. It can be printed and
// logged, because URL and Password are redacted; log the URL with MaskedURL.
type Database struct {
	Driver   string // the class name of the JDBC driver
	URL      Secret // the JDBC URL, which may contain a password
	Username string
	Schema   string
	Password Secret

	properties Secret // further options of the JDBC driver in the file
	noURL      bool   // the file is Bitbucket's and names no database
}

// MaskedURL returns the JDBC URL for logs. Every password in it, and the value of
// every option that may contain one, is replaced by "[redacted]".
func (d Database) MaskedURL() string { return jdbc.Mask(d.URL.text()) }

// A DataSource opens a product's database with a Go driver:
//
//	db, err := sql.Open(s.Driver, s.Name.Reveal())
type DataSource struct {
	// Driver is the name of the Go driver, which the program must import: "pgx"
	// (github.com/jackc/pgx/v5/stdlib), "mysql" (github.com/go-sql-driver/mysql, also
	// for MariaDB) or "sqlserver" (github.com/microsoft/go-mssqldb). For "pgx",
	// github.com/lib/pq 1.12 or later accepts the same Name.
	Driver string

	// Name is the data source name. It contains the password.
	Name Secret

	// Ignored lists the options of the JDBC URL that have no equivalent in Go, such as
	// those that tune the JDBC driver, some with a reason in parentheses. They do not
	// change the server, the user, the password or the security of the connection; if
	// they do, the data source is the more secure choice and the reason says so. Log
	// them; they need not prevent a connection. No element contains a value of the
	// URL.
	Ignored []string
}

// DataSource returns a data source that opens the database in the same way as the
// product: the same database, as the same user, at least as securely.
//
// JDBC options have the meaning that the class in Driver gives them. If Driver is
// empty, the class is derived from the URL. Where versions of a class differ, the
// more secure meaning is used. Neither the environment (PGHOST, PGPASSWORD,
// ~/.pgpass) nor the defaults of the Go driver change the server, the user or the
// password.
//
// In a Database that [Resolver.ResolveConfig] returned, Jira's
// connection-properties, and further hibernate.connection.… properties of the other
// products, count as options of the URL.
//
// DataSource returns ErrUnsupported for Oracle, H2 and other databases, and for
// options that determine the server, the user or the security of the connection and
// have no equivalent in Go. It returns ErrSyntax for a URL that is malformed, that the
// JDBC driver would not accept either, or that contradicts Driver, Username or
// Password. Errors never contain a value of the URL. If Password was unmarshaled and
// never resolved, DataSource panics, as Reveal does.
func (d Database) DataSource() (DataSource, error) {
	if err := d.checkURL(); err != nil {
		return DataSource{}, err
	}
	s, err := jdbc.Source(jdbc.Database{
		Driver:     d.Driver,
		URL:        d.URL.Reveal(),
		Username:   d.Username,
		Password:   d.Password.Reveal(),
		Schema:     d.Schema,
		Properties: d.properties.Reveal(),
	})
	if err != nil {
		return DataSource{}, &Error{Source: "database", Err: err}
	}
	return DataSource{Driver: s.Driver, Name: resolvedSecret(s.Name), Ignored: s.Ignored}, nil
}

// checkURL returns an error for a file of Bitbucket that names no database, because
// its settings are in the product's environment.
func (d Database) checkURL() error {
	if d.noURL {
		return &Error{Source: "database", Err: atlassian.MissingURLError()}
	}
	return nil
}
