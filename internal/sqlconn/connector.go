// Package sqlconn logs in with a password that may be rotated at any time. Its
// driver.Connector falls back to another password if one is refused.
package sqlconn

import (
	"context"
	"database/sql/driver"

	"github.com/seed74218947/secretref/internal/fault"
)

// NewConnector returns a driver.Connector that connects as [Try] logs in.
func NewConnector[T any](
	l *Logins[T], connect func(context.Context, T) (driver.Conn, error), refused func(error) bool,
) driver.Connector {
	return connector(func(ctx context.Context) (driver.Conn, error) {
		return Try(ctx, l, connect, refused)
	})
}

// connector is a function, so that dumps of a database do not show the value.
type connector func(context.Context) (driver.Conn, error)

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) { return c(ctx) }

// Driver implements driver.Connector.
func (connector) Driver() driver.Driver { return noDriver{} }

// noDriver is the Driver of a Connector, which database/sql requires.
type noDriver struct{}

func (noDriver) Open(string) (driver.Conn, error) {
	return nil, fault.New(fault.Unsupported, "a Connector opens no other data source")
}
