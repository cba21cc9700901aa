package main

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
	"github.com/seed74218947/secretref/internal/fault"
)

// connectTimeout is how long a connection may take unless the URL says.
const connectTimeout = 10 * time.Second

// passwordVariable holds the password of any database, or a reference to it.
const passwordVariable = "SECRETREF_STORE_PASSWORD"

// database opens the database at a location. It does not connect yet.
func (l location) database(r *secretref.Resolver) (*sql.DB, error) {
	if l.dialect == secretref.PostgreSQL {
		return l.postgres(r)
	}
	return l.mysql(r)
}

// credential is where a database's password comes from. The zero credential
// leaves it to the driver to look for one.
type credential struct {
	value string // the password, or a reference to it
	file  string // holds that instead
	place string // for people
}

// credential returns what the flags, or else the environment, give.
func (l location) credential() credential {
	switch file := cmp.Or(l.passwordFile, os.Getenv(passwordFileVariable)); {
	case l.password != "":
		return credential{value: l.password, place: "the reference in the URL"}
	case l.passwordFile == "" && os.Getenv(passwordVariable) != "":
		return credential{value: os.Getenv(passwordVariable), place: passwordVariable}
	case file != "":
		return credential{file: file, place: file}
	case l.dialect == secretref.PostgreSQL && os.Getenv("PGPASSWORD") != "":
		return credential{value: os.Getenv("PGPASSWORD"), place: "PGPASSWORD"}
	}
	return credential{}
}

// read returns the password, or a reference to it. Its errors are of a kind that
// goes through a driver and the keyring unchanged.
func (c credential) read() (string, error) {
	if c.file == "" {
		return c.value, nil
	}
	text, err := readPrivateFile(c.file)
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	_, told := errors.AsType[*fault.Error](err)
	switch {
	case err == nil && text == "":
		err = fault.New(fault.Unauthenticated, "%s is empty", c.file)
	case err != nil && !told:
		err = fault.New(fault.Unauthenticated, "%s", err).WithCause(err)
	}
	return text, err
}

// passwordFor returns what to do before each connection, so that a password
// that was replaced where a reference leads is noticed.
func (l location) passwordFor(r *secretref.Resolver, set func(password string)) func(context.Context) error {
	c := l.credential()
	return func(ctx context.Context) error {
		value, err := c.read()
		if err != nil || value == "" {
			return err
		}
		secret, err := r.Resolve(ctx, value)
		if err != nil {
			return &within{c.place, err}
		}
		set(secret.Reveal())
		return nil
	}
}

func (l location) postgres(r *secretref.Resolver) (*sql.DB, error) {
	c, err := pgx.ParseConfig(l.url)
	if err != nil {
		return nil, &usageError{"the URL of the store: " + message(err)} // it holds no password
	}
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, connectTimeout)
	return stdlib.OpenDB(*c, stdlib.OptionBeforeConnect(func(ctx context.Context, c *pgx.ConnConfig) error {
		return l.passwordFor(r, func(password string) { c.Password = password })(ctx)
	})), nil
}

func (l location) mysql(r *secretref.Resolver) (*sql.DB, error) {
	c, err := l.mysqlConfig()
	if err != nil {
		return nil, err
	}
	err = c.Apply(mysql.BeforeConnect(func(ctx context.Context, c *mysql.Config) error {
		return l.passwordFor(r, func(password string) { c.Passwd = password })(ctx)
	}))
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, &usageError{"the URL of the store: " + err.Error()} // it holds no password
	}
	return sql.OpenDB(connector), nil
}

// mysqlConfig returns the driver's configuration. Parameters are taken one by
// one: the driver has some that let a server read files, or statements be
// strung together.
func (l location) mysqlConfig() (*mysql.Config, error) {
	u, err := url.Parse(l.url)
	if err != nil {
		return nil, notUnderstood("mysql")
	}
	c := mysql.NewConfig()
	c.Logger = &mysql.NopLogger{} // what it says is in the errors
	c.Timeout = connectTimeout
	c.User, c.DBName = u.User.Username(), strings.TrimPrefix(u.Path, "/")
	c.Net, c.Addr = "tcp", net.JoinHostPort(cmp.Or(u.Hostname(), "localhost"), cmp.Or(u.Port(), "3306"))
	if c.User == "" || c.DBName == "" {
		return nil, &usageError{"the URL of the store names no user or no database: write mysql://USER@HOST:PORT/DATABASE"}
	}
	for name, values := range u.Query() {
		if err := mysqlParameter(c, name, values[len(values)-1], u.Hostname()); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func mysqlParameter(c *mysql.Config, name, value, host string) error {
	durations := map[string]*time.Duration{"timeout": &c.Timeout, "readTimeout": &c.ReadTimeout, "writeTimeout": &c.WriteTimeout}
	switch d := durations[name]; {
	case d != nil:
		parsed, err := time.ParseDuration(value)
		if err != nil || parsed < 0 {
			return &usageError{"the parameter " + name + " of the store's URL is not a duration such as 10s"}
		}
		*d = parsed
	case name == "tls":
		c.TLSConfig = value
	case name == "ssl-ca":
		trusted, err := trust(value)
		if err != nil {
			return err
		}
		c.TLS = &tls.Config{RootCAs: trusted, ServerName: host, MinVersion: tls.VersionTLS12}
	case name == "socket":
		c.Net, c.Addr = "unix", value
	case name == "collation":
		c.Collation = value
	default:
		return &usageError{fmt.Sprintf("the parameter %q of the store's URL is not known; there are tls, ssl-ca, socket, timeout, readTimeout, writeTimeout and collation", name)}
	}
	return nil
}

// trust reads the certificates of authorities.
func trust(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &within{path, errors.New("it holds no certificate in PEM form")}
	}
	return pool, nil
}
