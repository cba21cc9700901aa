package sqlstore_test

import (
	"database/sql"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/e2e/databases"
)

// line is a proxy to a database. It counts the bytes from the database, and can be cut
// without either end noticing.
type line struct {
	listener net.Listener
	received atomic.Int64
	dead     atomic.Bool
}

func newLine(t testing.TB, d *databases.Database) *line {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &line{listener: listener}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", d.Addr)
			if err != nil {
				_ = client.Close()
				continue
			}
			t.Cleanup(func() { _, _ = client.Close(), server.Close() })
			go l.carry(server, client, new(atomic.Int64))
			go l.carry(client, server, &l.received)
		}
	}()
	return l
}

func (l *line) carry(to, from net.Conn, count *atomic.Int64) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if l.dead.Load() {
			return
		}
		count.Add(int64(n))
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

// open opens the database through the line.
func (l *line) open(t testing.TB, d *databases.Database) *sql.DB {
	db, err := sql.Open(d.Driver(), strings.Replace(d.DSN(), d.Addr, l.listener.Addr().String(), 1))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (l *line) cut() { l.dead.Store(true) }
