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

// defaultConnectTimeout limits connecting unless the URL sets a timeout.
const defaultConnectTimeout = 10 * time.Second

// PasswordVariable is the environment variable with the password of any database or
// a reference to it.
const PasswordVariable = "SECRETREF_STORE_PASSWORD"

// openDB returns the database at a location without connecting to it.
func (l Location) openDB(r *secretref.Resolver) (*sql.DB, error) {
	if l.Dialect == secretref.PostgreSQL {
		return l.openPostgres(r)
	}
	return l.openMySQL(r)
}

// Credential is the source of a database password. If zero, the driver looks for a
// password itself.
type Credential struct {
	Value  string // the password, or a reference to it
	File   string // a file with Value, if Value is empty
	Source string // for messages
}

// Credential returns the source that the flags or else the environment name.
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

// read returns the password or a reference to it. Its errors have a kind, so that
// driver and keyring pass them on unchanged.
func (c Credential) read() (string, error) {
	if c.File == "" {
		return c.Value, nil
	}
	text, err := readPrivateFile(c.File)
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	_, hasKind := errors.AsType[*fault.Error](err)
	switch {
	case err == nil && text == "":
		err = fault.New(fault.Unauthenticated, "%s is empty", c.File)
	case err != nil && !hasKind:
		err = fault.New(fault.Unauthenticated, "%s", err).WithCause(err)
	}
	return text, err
}

// passwordSetter returns a function to call before each connection. It resolves the
// password again, so that a rotated password takes effect.
func (l Location) passwordSetter(r *secretref.Resolver,
	set func(password string)) func(context.Context) error {
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
		// it holds no password
		return nil, ui.NewUsageError("the URL of the store: " + ui.Message(err))
	}
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, defaultConnectTimeout)
	return stdlib.OpenDB(*c,
		stdlib.OptionBeforeConnect(func(ctx context.Context, c *pgx.ConnConfig) error {
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

// mysqlConfig returns the driver's configuration. It accepts only listed parameters:
// others let the server read local files or allow several statements in a query.
func (l Location) mysqlConfig() (*mysql.Config, error) {
	u, err := url.Parse(l.url)
	if err != nil {
		return nil, malformedURLError("mysql")
	}
	c := mysql.NewConfig()
	c.Logger = &mysql.NopLogger{} // its messages are in the errors too
	c.Timeout = defaultConnectTimeout
	c.User, c.DBName = u.User.Username(), strings.TrimPrefix(u.Path, "/")
	c.Net, c.Addr = "tcp", net.JoinHostPort(cmp.Or(u.Hostname(), "localhost"),
		cmp.Or(u.Port(), "3306"))
	if c.User == "" || c.DBName == "" {
		return nil, ui.NewUsageError("the URL of the store lacks the user or the database: write " +
			"mysql://USER@HOST:PORT/DATABASE")
	}
	for name, values := range u.Query() {
		if err := setMySQLParameter(c, name, values[len(values)-1], u.Hostname()); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func setMySQLParameter(c *mysql.Config, name, value, host string) error {
	durations := map[string]*time.Duration{"timeout": &c.Timeout, "readTimeout": &c.ReadTimeout,
		"writeTimeout": &c.WriteTimeout}
	switch d := durations[name]; {
	case d != nil:
		parsed, err := time.ParseDuration(value)
		if err != nil || parsed < 0 {
			return ui.NewUsageError("the parameter " + name +
				" of the store's URL is not a duration such as 10s")
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
		return ui.NewUsageError(fmt.Sprintf("unknown parameter %q in the URL of the store; the "+
			"parameters are tls, ssl-ca, socket, timeout, readTimeout, writeTimeout and collation", name))
	}
	return nil
}

// readCertPool reads CA certificates.
func readCertPool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &sourcedError{path, errors.New("it contains no PEM certificate")}
	}
	return pool, nil
}
