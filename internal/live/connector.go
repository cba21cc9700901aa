package live

import (
	"context"
	"database/sql/driver"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/sqlstate"
)

// NewConnector returns what database/sql connects with: connect is given the
// state of v at that moment, and another where refused says that the login was
// not accepted. A nil refused knows the codes of PostgreSQL and
// PgBouncer.
func NewConnector[T any](v *Value[T], connect func(context.Context, T) (driver.Conn, error), refused func(error) bool) driver.Connector {
	if refused == nil {
		refused = notAuthorized
	}
	return &connector[T]{value: v, connect: connect, refused: refused, turn: make(chan struct{}, 1)}
}

type connector[T any] struct {
	value   *Value[T]
	connect func(context.Context, T) (driver.Conn, error)
	refused func(error) bool

	accepted atomic.Pointer[State[T]] // the newest that a login was accepted with

	turn  chan struct{} // its one place is held by who waits for a refresh
	asked time.Time     // when the latest refresh began; guarded by turn
	done  chan struct{} // closed when it has ended; guarded by turn
}

// refreshPause lies between the beginnings of two refreshes.
const refreshPause = time.Second

// Connect implements driver.Connector.
func (c *connector[T]) Connect(ctx context.Context) (driver.Conn, error) {
	before, s := c.accepted.Load(), c.value.State()
	conn, err := c.login(ctx, s)
	if err == nil || !c.refused(err) {
		return conn, err
	}
	// A new password may be in the secret and not yet in the database. It may
	// get there between two attempts, so the new one has another after the old.
	if before != nil && before.Serial != s.Serial {
		for _, value := range []*State[T]{before, s} {
			if conn, again := c.login(ctx, value); again == nil {
				return conn, nil
			}
		}
	}
	next := c.newer(ctx, s)
	if next.Serial == s.Serial {
		return nil, err
	}
	return c.login(ctx, next)
}

// Driver implements driver.Connector.
func (c *connector[T]) Driver() driver.Driver { return noDriver{} }

func (c *connector[T]) login(ctx context.Context, s *State[T]) (driver.Conn, error) {
	conn, err := c.connect(ctx, s.Value)
	if err != nil {
		return nil, err
	}
	for {
		// A login that took its time is no reason to go back to an older value.
		if old := c.accepted.Load(); old != nil && old.Serial >= s.Serial || c.accepted.CompareAndSwap(old, s) {
			return conn, nil
		}
	}
}

// newer returns the value that there is after s was refused: a newer one, or
// what a refresh brings that begins from now on. All whose logins are refused
// before it begins share it.
func (c *connector[T]) newer(ctx context.Context, s *State[T]) *State[T] {
	start := time.Now()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return c.value.State()
	}
	if c.done != nil { // what is under way may bring it, and has to end before the next
		select {
		case <-c.done:
		case <-ctx.Done():
		}
	}
	if now := c.value.State(); now.Serial != s.Serial {
		return now
	}
	if c.asked.Before(start) {
		pause := time.Until(c.asked.Add(refreshPause))
		if pause > 0 && c.accepted.Load() == nil { // nothing is being rotated: it has been wrong from the start
			return s
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return c.value.State()
		}
		c.asked, c.done = time.Now(), make(chan struct{})
		go func(done chan struct{}) { // it goes on when ctx ends, whose time may always be too short for it
			defer close(done)
			_, _ = c.value.Refresh(context.WithoutCancel(ctx))
		}(c.done)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	return c.value.State()
}

// noDriver stands where database/sql wants a driver.
type noDriver struct{}

func (noDriver) Open(string) (driver.Conn, error) {
	return nil, fault.New(fault.Unsupported, "a Connector opens no other data source")
}

// notAuthorized looks at every error in the tree: those of several hosts come
// joined.
func notAuthorized(err error) bool {
	if coded, ok := err.(interface{ SQLState() string }); ok && sqlstate.LoginRefused(coded.SQLState(), err.Error()) {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return notAuthorized(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), notAuthorized)
	}
	return false
}
