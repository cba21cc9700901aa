package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/seed74218947/secretref"
)

// database is the database of a product.
type database struct {
	*sql.DB
	product secretref.Product
	driver  string
}

// open returns the database of the product whose configuration file or home directory
// is path. It does not connect yet; each connection uses the current password.
func open(ctx context.Context, resolver *secretref.Resolver, path string,
	log *slog.Logger) (*database, error) {
	config, err := secretref.ReadConfig(path)
	if err != nil {
		return nil, err
	}
	settings, err := resolver.WatchConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	source, err := settings.Value().Database.DataSource()
	if err != nil {
		return nil, err
	}
	if len(source.Ignored) > 0 {
		log.WarnContext(ctx, "options of the JDBC URL are ignored", "options", source.Ignored)
	}
	name := source.Driver
	pool, err := sql.Open(name, source.Name.Reveal()) // only to get its driver
	if err != nil {
		// err may quote the data source
		return nil, fmt.Errorf("no driver %q is linked into this program", name)
	}
	opener, ok := pool.Driver().(driver.DriverContext)
	if err := pool.Close(); err != nil || !ok {
		return nil, fmt.Errorf("the driver %q cannot be used", name)
	}
	connect := func(ctx context.Context, s *secretref.Settings) (driver.Conn, error) {
		source, err := s.Database.DataSource()
		if err != nil {
			return nil, err
		}
		connector, err := opener.OpenConnector(source.Name.Reveal())
		if err != nil {
			return nil, fmt.Errorf("the driver %q cannot parse the data source", name)
		}
		return connector.Connect(ctx)
	}
	db := &database{sql.OpenDB(secretref.Connector(settings, connect, loginRefused)),
		config.Product, name}
	db.SetConnMaxLifetime(30 * time.Minute) // so that connections with an old password end
	return db, nil
}

// loginRefused reports whether the server rejected a login.
func loginRefused(err error) bool {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number == 1045 || e.Number == 1698
	}
	e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	return ok && strings.HasPrefix(e.SQLState(), "28")
}

// whoAmI returns a query that every supported database answers.
func (db *database) whoAmI() string {
	if db.driver == "mysql" {
		return "SELECT current_user() AS user, database() AS name, version() AS version"
	}
	return "SELECT current_user AS user, current_database() AS name, current_schema() AS schema, " +
		"version() AS version"
}
