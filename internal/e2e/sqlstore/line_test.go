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

// line is a way to a database. It counts what comes from there, and can be cut
// without either end being told.
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
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", d.Addr)
			if err != nil {
				_ = near.Close()
				continue
			}
			t.Cleanup(func() { _, _ = near.Close(), far.Close() })
			go l.carry(far, near, new(atomic.Int64))
			go l.carry(near, far, &l.received)
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

// open is d.Open along the line.
func (l *line) open(t testing.TB, d *databases.Database) *sql.DB {
	db, err := sql.Open(d.Driver(), strings.Replace(d.DSN(), d.Addr, l.listener.Addr().String(), 1))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (l *line) cut() { l.dead.Store(true) }
