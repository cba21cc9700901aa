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

// credential returns what the password is, or a reference to it, and where that
// stands. It is empty where the driver is to look for one itself.
func (l location) credential() (value, place string) {
	if l.password != "" {
		return l.password, "the reference in the URL"
	}
	place = passwordVariable
	value = os.Getenv(place)
	if value == "" && l.dialect == secretref.PostgreSQL {
		place = "PGPASSWORD"
		value = os.Getenv(place)
	}
	return value, place
}

// passwordFor returns what to do before each connection, so that a password
// that was replaced where a reference leads is noticed.
func (l location) passwordFor(r *secretref.Resolver, set func(password string)) func(context.Context) error {
	value, place := l.credential()
	return func(ctx context.Context) error {
		if value == "" {
			return nil
		}
		secret, err := r.Resolve(ctx, value)
		if err != nil {
			return &within{place, err}
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
