package sqlconn

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed74218947/secretref/internal/sqlstate"
)

// minRefreshInterval is the time between the starts of two refreshes.
const minRefreshInterval = time.Second

// Source is a live value to log in with.
type Source[T any] interface {
	// Current returns the value and its serial number, which grows with each change.
	Current() (value T, serial int)

	// Renew refreshes the value.
	Renew(ctx context.Context)

	// Closed reports whether the value is no longer refreshed.
	Closed() bool
}

// Logins is the state that all logins with one Source share.
type Logins[T any] struct {
	source   Source[T]
	accepted atomic.Pointer[version[T]] // the newest one that a login was accepted with

	refreshLock chan struct{} // has room for one caller that waits for a refresh
	started     time.Time     // of the latest refresh; guarded by refreshLock
	done        chan struct{} // closed when it has ended; guarded by refreshLock
}

// version is a value of a Source at one time.
type version[T any] struct {
	value  T
	serial int
}

// NewLogins returns the Logins of a Source.
func NewLogins[T any](s Source[T]) *Logins[T] {
	return &Logins[T]{source: s, refreshLock: make(chan struct{}, 1)}
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
	attempt := func(v *version[T]) (C, error) {
		c, err := login(ctx, v.value)
		if err != nil {
			return none, err
		}
		l.accept(v)
		return c, nil
	}
	previous, current := l.accepted.Load(), l.current()
	c, err := attempt(current)
	if err == nil || !refused(err) {
		return c, err
	}
	// The secret may already have a new password that the database does not have
	// yet. It may get there between two attempts, so the new one is tried again
	// after the old one.
	if previous != nil && previous.serial != current.serial {
		for _, v := range []*version[T]{previous, current} {
			if c, retryErr := attempt(v); retryErr == nil {
				return c, nil
			}
		}
	}
	next := l.newer(ctx, current)
	if next.serial == current.serial {
		return none, err
	}
	return attempt(next)
}

func (l *Logins[T]) current() *version[T] {
	value, serial := l.source.Current()
	return &version[T]{value, serial}
}

// accept records an accepted login. A slow login never replaces a newer value by an
// older one.
func (l *Logins[T]) accept(v *version[T]) {
	for {
		old := l.accepted.Load()
		if old != nil && old.serial >= v.serial || l.accepted.CompareAndSwap(old, v) {
			return
		}
	}
}

// newer returns the version to use after v was refused: a newer one, or the result
// of a refresh that begins now. Logins that are refused before it begins share it.
func (l *Logins[T]) newer(ctx context.Context, v *version[T]) *version[T] {
	start := time.Now()
	select {
	case l.refreshLock <- struct{}{}:
		defer func() { <-l.refreshLock }()
	case <-ctx.Done():
		return l.current()
	}
	if l.done != nil { // the running refresh may bring it, and has to end before the next
		select {
		case <-l.done:
		case <-ctx.Done():
		}
	}
	if now := l.current(); now.serial != v.serial || l.source.Closed() {
		return now
	}
	if l.started.Before(start) {
		pause := time.Until(l.started.Add(minRefreshInterval))
		if pause > 0 && l.accepted.Load() == nil { // wrong from the start, not rotated
			return v
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return l.current()
		}
		l.started, l.done = time.Now(), make(chan struct{})
		go func(done chan struct{}) { // without ctx, whose time may always be too short
			defer close(done)
			l.source.Renew(context.WithoutCancel(ctx))
		}(l.done)
	}
	select {
	case <-l.done:
	case <-ctx.Done():
	}
	return l.current()
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
