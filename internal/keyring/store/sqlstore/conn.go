package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"reflect"
	"sync"
)

// connected gives f a connection whose session commits each statement that is
// in no transaction, whatever the server or the data source name want, and puts
// the session's settings back afterwards. Which connections need that is asked
// once for each of them.
func (s *Store) connected(ctx context.Context, f func(conn *sql.Conn) error) error {
	const attempts = 3 // as database/sql itself makes where it chooses the connection
	for n := 1; ; n++ {
		err := s.connectedOnce(ctx, f)
		if !errors.Is(err, driver.ErrBadConn) || n == attempts { // nothing was sent
			return err
		}
	}
}

func (s *Store) connectedOnce(ctx context.Context, f func(conn *sql.Conn) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	ordinary, err := s.ordinary(ctx, conn)
	if err != nil {
		return err
	}
	if !ordinary {
		defer leave(ctx, conn, s.dialect.restore)
		for _, statement := range s.dialect.adapt {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
	return f(conn)
}

// ordinary reports whether the session needs no other settings.
func (s *Store) ordinary(ctx context.Context, conn *sql.Conn) (bool, error) {
	var id any
	err := conn.Raw(func(c any) error { id = c; return nil })
	if err != nil {
		return false, err
	}
	if ordinary, known := s.seen.get(id); known {
		return ordinary, nil
	}
	var settings string
	if err := conn.QueryRowContext(ctx, s.dialect.settings).Scan(&settings); err != nil {
		return false, err
	}
	ordinary := settings == s.dialect.ordinary
	s.seen.put(id, ordinary)
	return ordinary, nil
}

// seen remembers of connections whether they are ordinary.
type seen struct {
	mu    sync.Mutex
	conns map[any]bool // by the driver's connection
}

// maxSeen bounds how many connections are remembered, which may have been
// closed in the meantime.
const maxSeen = 256

func (s *seen) get(conn any) (ordinary, known bool) {
	if !reflect.ValueOf(conn).Comparable() {
		return false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ordinary, known = s.conns[conn]
	return ordinary, known
}

func (s *seen) put(conn any, ordinary bool) {
	if !reflect.ValueOf(conn).Comparable() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= maxSeen {
		s.conns = nil
	}
	if s.conns == nil {
		s.conns = make(map[any]bool)
	}
	s.conns[conn] = ordinary
}
