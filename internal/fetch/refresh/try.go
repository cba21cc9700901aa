package refresh

import (
	"github.com/seed74218947/secretref/internal/sqlstate"

	"context"
	"slices"
	"sync/atomic"
	"time"
)

// refreshPause lies between the beginnings of two refreshes.
const refreshPause = time.Second

// logins is what all logins with one Value share.
type logins[T any] struct {
	accepted atomic.Pointer[State[T]] // the newest that a login was accepted with

	turn  chan struct{} // has room for one caller that waits for a refresh
	asked time.Time     // when the latest refresh began; guarded by turn
	done  chan struct{} // closed when it has ended; guarded by turn
}

// Try logs in with the state of v at that moment, and with another where refused
// says that the login was not accepted. A nil refused knows the codes of
// PostgreSQL and PgBouncer.
func Try[T, C any](ctx context.Context, v *Value[T], login func(context.Context, T) (C, error), refused func(error) bool) (C, error) {
	if refused == nil {
		refused = notAuthorized
	}
	var none C
	attempt := func(s *State[T]) (C, error) {
		c, err := login(ctx, s.Value)
		if err != nil {
			return none, err
		}
		v.logins.remember(s)
		return c, nil
	}
	before, s := v.logins.accepted.Load(), v.State()
	c, err := attempt(s)
	if err == nil || !refused(err) {
		return c, err
	}
	// A new password may be in the secret and not yet in the database. It may
	// get there between two attempts, so the new one has another after the old.
	if before != nil && before.Serial != s.Serial {
		for _, state := range []*State[T]{before, s} {
			if c, again := attempt(state); again == nil {
				return c, nil
			}
		}
	}
	next := v.newer(ctx, s)
	if next.Serial == s.Serial {
		return none, err
	}
	return attempt(next)
}

// remember notes that a login was accepted. One that took its time is no reason
// to go back to an older value.
func (l *logins[T]) remember(s *State[T]) {
	for {
		if old := l.accepted.Load(); old != nil && old.Serial >= s.Serial || l.accepted.CompareAndSwap(old, s) {
			return
		}
	}
}

// newer returns the value that there is after s was refused: a newer one, or
// what a refresh brings that begins from now on. All whose logins are refused
// before it begins share it.
func (v *Value[T]) newer(ctx context.Context, s *State[T]) *State[T] {
	l, start := &v.logins, time.Now()
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return v.State()
	}
	if l.done != nil { // what is under way may bring it, and has to end before the next
		select {
		case <-l.done:
		case <-ctx.Done():
		}
	}
	if now := v.State(); now.Serial != s.Serial || v.isClosed() {
		return now
	}
	if l.asked.Before(start) {
		pause := time.Until(l.asked.Add(refreshPause))
		if pause > 0 && l.accepted.Load() == nil { // nothing is being rotated: it has been wrong from the start
			return s
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return v.State()
		}
		l.asked, l.done = time.Now(), make(chan struct{})
		go func(done chan struct{}) { // it goes on when ctx ends, whose time may always be too short for it
			defer close(done)
			_, _ = v.Refresh(context.WithoutCancel(ctx))
		}(l.done)
	}
	select {
	case <-l.done:
	case <-ctx.Done():
	}
	return v.State()
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
