package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"reflect"
	"sync"
	"time"
)

// restoreTimeout limits how long restoreSession takes.
const restoreTimeout = time.Second

// withConn calls f with a connection whose session commits each statement that is not
// in a transaction, whatever the settings of the server and the data source name are.
// Afterwards it restores the settings of the session. Each connection is asked for its
// settings once.
func (s *Store) withConn(ctx context.Context, f func(conn *sql.Conn) error) error {
	const maxAttempts = 3 // as database/sql does when it chooses a connection itself
	for n := 1; ; n++ {
		err := s.withConnOnce(ctx, f)
		if !errors.Is(err, driver.ErrBadConn) || n == maxAttempts { // ErrBadConn: nothing was sent
			return err
		}
	}
}

func (s *Store) withConnOnce(ctx context.Context, f func(conn *sql.Conn) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	isDefault, err := s.hasDefaults(ctx, conn)
	if err != nil {
		return err
	}
	if !isDefault {
		defer restoreSession(ctx, conn, s.dialect.restore)
		for _, statement := range s.dialect.adapt {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
	return f(conn)
}

// restoreSession restores the settings of a session. If that fails it discards the
// connection.
func restoreSession(ctx context.Context, conn *sql.Conn, statement string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	if _, err := conn.ExecContext(ctx, statement); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// hasDefaults reports whether the session has the settings that the store needs.
func (s *Store) hasDefaults(ctx context.Context, conn *sql.Conn) (bool, error) {
	var id any
	err := conn.Raw(func(c any) error { id = c; return nil })
	if err != nil {
		return false, err
	}
	if isDefault, known := s.sessions.get(id); known {
		return isDefault, nil
	}
	var settings string
	if err := conn.QueryRowContext(ctx, s.dialect.settings).Scan(&settings); err != nil {
		return false, err
	}
	isDefault := settings == s.dialect.defaults
	s.sessions.put(id, isDefault)
	return isDefault, nil
}

// sessionCache remembers which connections have default settings.
type sessionCache struct {
	mu    sync.Mutex
	conns map[any]bool // by the driver's connection
}

// maxSessions limits how many connections are remembered, including closed ones.
const maxSessions = 256

func (s *sessionCache) get(conn any) (isDefault, known bool) {
	if !reflect.ValueOf(conn).Comparable() {
		return false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	isDefault, known = s.conns[conn]
	return isDefault, known
}

func (s *sessionCache) put(conn any, isDefault bool) {
	if !reflect.ValueOf(conn).Comparable() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= maxSessions {
		s.conns = nil
	}
	if s.conns == nil {
		s.conns = make(map[any]bool)
	}
	s.conns[conn] = isDefault
}
