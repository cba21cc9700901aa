package live

import (
	"context"
	"database/sql/driver"

	"github.com/seed74218947/secretref/internal/fault"
)

// NewConnector returns a driver.Connector that connects as [Try] logs in.
func NewConnector[T any](v *Value[T], connect func(context.Context, T) (driver.Conn, error), refused func(error) bool) driver.Connector {
	return &connector[T]{v, connect, refused}
}

type connector[T any] struct {
	value   *Value[T]
	connect func(context.Context, T) (driver.Conn, error)
	refused func(error) bool
}

// Connect implements driver.Connector.
func (c *connector[T]) Connect(ctx context.Context) (driver.Conn, error) {
	return Try(ctx, c.value, c.connect, c.refused)
}

// Driver implements driver.Connector.
func (c *connector[T]) Driver() driver.Driver { return noDriver{} }

// noDriver is the Driver of a Connector, which database/sql requires.
type noDriver struct{}

func (noDriver) Open(string) (driver.Conn, error) {
	return nil, fault.New(fault.Unsupported, "a Connector opens no other data source")
}
