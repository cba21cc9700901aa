package sqlconn

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed74218947/secretref/internal/fetch/refresh"
	"github.com/seed74218947/secretref/internal/sqlstate"
)

// minRefreshInterval is the time between the starts of two refreshes.
const minRefreshInterval = time.Second

// Logins is the state that all logins with one live value share.
type Logins[T any] struct {
	value    *refresh.Value[T]
	accepted atomic.Pointer[refresh.State[T]] // the newest one that a login was accepted with

	refreshLock chan struct{} // has room for one caller that waits for a refresh
	started     time.Time     // of the latest refresh; guarded by refreshLock
	done        chan struct{} // closed when it has ended; guarded by refreshLock
}

// NewLogins returns the Logins of v.
func NewLogins[T any](v *refresh.Value[T]) *Logins[T] {
	return &Logins[T]{value: v, refreshLock: make(chan struct{}, 1)}
}

// Try logs in with the current value. If refused reports that the login was not
// accepted, it tries the value that was accepted before, and a newer one. If
// refused is nil, it recognizes the error codes of PostgreSQL and PgBouncer.
func Try[T, C any](
	ctx context.Context, l *Logins[T], login func(context.Context, T) (C, error),
	refused func(error) bool,
) (C, error) {
	if refused == nil {
		refused = notAuthorized
	}
	var none C
	attempt := func(s *refresh.State[T]) (C, error) {
		c, err := login(ctx, s.Value)
		if err != nil {
			return none, err
		}
		l.accept(s)
		return c, nil
	}
	previous, current := l.accepted.Load(), l.value.State()
	c, err := attempt(current)
	if err == nil || !refused(err) {
		return c, err
	}
	// The secret may already have a new password that the database does not have
	// yet. It may get there between two attempts, so the new one is tried again
	// after the old one.
	if previous != nil && previous.Serial != current.Serial {
		for _, state := range []*refresh.State[T]{previous, current} {
			if c, retryErr := attempt(state); retryErr == nil {
				return c, nil
			}
		}
	}
	next := l.newer(ctx, current)
	if next.Serial == current.Serial {
		return none, err
	}
	return attempt(next)
}

// accept records an accepted login. A slow login never replaces a newer value by an
// older one.
func (l *Logins[T]) accept(s *refresh.State[T]) {
	for {
		old := l.accepted.Load()
		if old != nil && old.Serial >= s.Serial || l.accepted.CompareAndSwap(old, s) {
			return
		}
	}
}

// newer returns the value to use after s was refused: a newer one, or the result of
// a refresh that begins now. Logins that are refused before it begins share it.
func (l *Logins[T]) newer(ctx context.Context, s *refresh.State[T]) *refresh.State[T] {
	start := time.Now()
	select {
	case l.refreshLock <- struct{}{}:
		defer func() { <-l.refreshLock }()
	case <-ctx.Done():
		return l.value.State()
	}
	if l.done != nil { // the running refresh may bring it, and has to end before the next
		select {
		case <-l.done:
		case <-ctx.Done():
		}
	}
	if now := l.value.State(); now.Serial != s.Serial || l.value.Closed() {
		return now
	}
	if l.started.Before(start) {
		pause := time.Until(l.started.Add(minRefreshInterval))
		if pause > 0 && l.accepted.Load() == nil { // wrong from the start, not rotated
			return s
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return l.value.State()
		}
		l.started, l.done = time.Now(), make(chan struct{})
		go func(done chan struct{}) { // without ctx, whose time may always be too short
			defer close(done)
			_, _ = l.value.Refresh(context.WithoutCancel(ctx))
		}(l.done)
	}
	select {
	case <-l.done:
	case <-ctx.Done():
	}
	return l.value.State()
}

// notAuthorized examines every error in the tree, because errors of several hosts
// are joined.
func notAuthorized(err error) bool {
	coded, ok := err.(interface{ SQLState() string })
	if ok && sqlstate.LoginRefused(coded.SQLState(), err.Error()) {
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
