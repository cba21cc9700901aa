package storeflags

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/fault"
)

// defaultConnectTimeout is how long a connection may take unless the URL says.
const defaultConnectTimeout = 10 * time.Second

// PasswordVariable holds the password of any database, or a reference to it.
const PasswordVariable = "SECRETREF_STORE_PASSWORD"

// openDB opens the database at a location. It does not connect yet.
func (l Location) openDB(r *secretref.Resolver) (*sql.DB, error) {
	if l.Dialect == secretref.PostgreSQL {
		return l.openPostgres(r)
	}
	return l.openMySQL(r)
}

// Credential is where a database's password comes from. The zero credential
// leaves it to the driver to look for one.
type Credential struct {
	Value  string // the password, or a reference to it
	File   string // holds that instead
	Source string // for people
}

// Credential returns what the flags, or else the environment, give.
func (l Location) Credential() Credential {
	switch file := cmp.Or(l.passwordFile, os.Getenv(passwordFileVariable)); {
	case l.password != "":
		return Credential{Value: l.password, Source: "the reference in the URL"}
	case l.passwordFile == "" && os.Getenv(PasswordVariable) != "":
		return Credential{Value: os.Getenv(PasswordVariable), Source: PasswordVariable}
	case file != "":
		return Credential{File: file, Source: file}
	case l.Dialect == secretref.PostgreSQL && os.Getenv("PGPASSWORD") != "":
		return Credential{Value: os.Getenv("PGPASSWORD"), Source: "PGPASSWORD"}
	}
	return Credential{}
}

// read returns the password, or a reference to it. Its errors are of a kind that
// goes through a driver and the keyring unchanged.
func (c Credential) read() (string, error) {
	if c.File == "" {
		return c.Value, nil
	}
	text, err := readPrivateFile(c.File)
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	_, told := errors.AsType[*fault.Error](err)
	switch {
	case err == nil && text == "":
		err = fault.New(fault.Unauthenticated, "%s is empty", c.File)
	case err != nil && !told:
		err = fault.New(fault.Unauthenticated, "%s", err).WithCause(err)
	}
	return text, err
}

// passwordSetter returns what to do before each connection, so that a password
// that was replaced where a reference leads is noticed.
func (l Location) passwordSetter(r *secretref.Resolver, set func(password string)) func(context.Context) error {
	c := l.Credential()
	return func(ctx context.Context) error {
		value, err := c.read()
		if err != nil || value == "" {
			return err
		}
		secret, err := r.Resolve(ctx, value)
		if err != nil {
			return &sourcedError{c.Source, err}
		}
		set(secret.Reveal())
		return nil
	}
}

func (l Location) openPostgres(r *secretref.Resolver) (*sql.DB, error) {
	c, err := pgx.ParseConfig(l.url)
	if err != nil {
		return nil, ui.NewUsageError("the URL of the store: " + ui.Message(err)) // it holds no password
	}
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, defaultConnectTimeout)
	return stdlib.OpenDB(*c, stdlib.OptionBeforeConnect(func(ctx context.Context, c *pgx.ConnConfig) error {
		return l.passwordSetter(r, func(password string) { c.Password = password })(ctx)
	})), nil
}

func (l Location) openMySQL(r *secretref.Resolver) (*sql.DB, error) {
	c, err := l.mysqlConfig()
	if err != nil {
		return nil, err
	}
	err = c.Apply(mysql.BeforeConnect(func(ctx context.Context, c *mysql.Config) error {
		return l.passwordSetter(r, func(password string) { c.Passwd = password })(ctx)
	}))
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, ui.NewUsageError("the URL of the store: " + err.Error()) // it holds no password
	}
	return sql.OpenDB(connector), nil
}

// mysqlConfig returns the driver's configuration. Parameters are taken one by
// one: the driver has some that let a server read files, or statements be
// strung together.
func (l Location) mysqlConfig() (*mysql.Config, error) {
	u, err := url.Parse(l.url)
	if err != nil {
		return nil, malformedURLError("mysql")
	}
	c := mysql.NewConfig()
	c.Logger = &mysql.NopLogger{} // what it says is in the errors
	c.Timeout = defaultConnectTimeout
	c.User, c.DBName = u.User.Username(), strings.TrimPrefix(u.Path, "/")
	c.Net, c.Addr = "tcp", net.JoinHostPort(cmp.Or(u.Hostname(), "localhost"), cmp.Or(u.Port(), "3306"))
	if c.User == "" || c.DBName == "" {
		return nil, ui.NewUsageError("the URL of the store names no user or no database: write mysql://USER@HOST:PORT/DATABASE")
	}
	for name, values := range u.Query() {
		if err := setMySQLParameter(c, name, values[len(values)-1], u.Hostname()); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func setMySQLParameter(c *mysql.Config, name, value, host string) error {
	durations := map[string]*time.Duration{"timeout": &c.Timeout, "readTimeout": &c.ReadTimeout, "writeTimeout": &c.WriteTimeout}
	switch d := durations[name]; {
	case d != nil:
		parsed, err := time.ParseDuration(value)
		if err != nil || parsed < 0 {
			return ui.NewUsageError("the parameter " + name + " of the store's URL is not a duration such as 10s")
		}
		*d = parsed
	case name == "tls":
		c.TLSConfig = value
	case name == "ssl-ca":
		trusted, err := readCertPool(value)
		if err != nil {
			return err
		}
		c.TLS = &tls.Config{RootCAs: trusted, ServerName: host, MinVersion: tls.VersionTLS12}
	case name == "socket":
		c.Net, c.Addr = "unix", value
	case name == "collation":
		c.Collation = value
	default:
		return ui.NewUsageError(fmt.Sprintf("the parameter %q of the store's URL is not known; there are tls, ssl-ca, socket, timeout, readTimeout, writeTimeout and collation", name))
	}
	return nil
}

// readCertPool reads the certificates of authorities.
func readCertPool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &sourcedError{path, errors.New("it holds no certificate in PEM form")}
	}
	return pool, nil
}
