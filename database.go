package secretref

import (
	"github.com/seed74218947/secretref/internal/jdbc"
	"github.com/seed74218947/secretref/internal/product"
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

// missing returns why there is nothing to open: a file of Bitbucket that names no
// database leaves it to the environment.
func (d Database) missing() error {
	if d.noURL {
		return &Error{Source: "database", Err: product.MissingURLFault()}
	}
	return nil
}
