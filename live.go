package secretref

import (
	"context"
	"database/sql/driver"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/refresh"
	"github.com/seed74218947/secretref/internal/sqlconn"
)

// A Live value is refreshed in the background until it or its Resolver is
// closed. Its last value remains readable afterwards. Create one and reuse it: each
// secret is fetched once per [Options].TTL, however many Lives share it.
//
// A Live that the program no longer refers to is not refreshed either. A
// [Connector] made of a Live, and a running loop over its Updates, refer to it.
//
// If a refresh fails, the last good value stays. Unless the failure is an outage
// that [Options].MaxStale covers, a warning is logged, once at first and then once
// an hour until the secret is refreshed again, which is logged at level info.
//
// A Live is safe for concurrent use. All callers share the value that Value
// returns: do not modify its elements. The methods of a nil or zero Live panic.
type Live[T any] struct {
	value hidden[*refresh.Value[T]]
	state func() *refresh.State[T] // value's State method, so that Value does not allocate

	logins hidden[*sqlconn.Logins[T]]
}

// Watch resolves value like [Resolver.Resolve] and keeps the secret up to date. A
// plaintext value never changes. One goroutine per Resolver refreshes the secrets
// of all its Lives, each before its TTL ends. Watch returns the errors of
// [Resolver.Resolve].
func (r *Resolver) Watch(ctx context.Context, value string) (*Live[Secret], error) {
	return watch(ctx, r, []request{r.newRequest("", value)},
		func(secrets []Secret) Secret { return secrets[0] })
}

// WatchAll is like [Resolver.Watch] for several values; the slice has their
// order. Values that are parts of one secret, such as a user name and its
// password, always come from the same version of it. For this, write the secret's
// name in the same way in both: a name and an ARN are fetched separately. If a
// value cannot be resolved, WatchAll returns an error and no Live.
func (r *Resolver) WatchAll(ctx context.Context, values ...string) (*Live[[]Secret], error) {
	return watch(ctx, r, r.newRequests(values), func(secrets []Secret) []Secret { return secrets })
}

// watch returns a Live over the values that build makes of the secrets of requests.
func watch[T any](
	ctx context.Context, r *Resolver, requests []request, build func([]Secret) T,
) (*Live[T], error) {
	p := r.plan(ctx, requests)
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	background := context.WithoutCancel(ctx)
	check := func(n int, got fetch.Result, seen bool) (usable bool, err error) {
		w := requests[p.at[n]]
		if !seen || got.Err != nil {
			if _, err := r.toSecret(background, w, got); err != nil {
				return false, err
			}
		}
		if got.Stale != nil {
			return true, w.withSource(got.Stale)
		}
		return true, nil
	}
	value, err := refresh.Watch(ctx, r.engine().refresher, p.refs, check, func(texts []string) T {
		secrets := slices.Clone(p.secrets)
		for n, text := range texts {
			secrets[p.at[n]] = resolvedSecret(text)
		}
		return build(secrets)
	})
	if err != nil {
		return nil, err
	}
	return &Live[T]{hide(value), value.State, hide(sqlconn.NewLogins(loginSource[T]{value}))}, nil
}

// open returns the refreshed value, which is hidden from printers.
func (l *Live[T]) open() *refresh.Value[T] {
	if l == nil || l.value.open == nil {
		panic(noLive)
	}
	return l.value.open()
}

const noLive = "secretref: a nil or zero Live was used; " +
	"use one that Watch, WatchAll or WatchConfig returned without an error"

// Value returns the latest good value. It performs no I/O, does not allocate and
// never waits. The value may be older than [Options].MaxStale; see [Live.Status].
func (l *Live[T]) Value() T {
	if l == nil || l.state == nil {
		panic(noLive)
	}
	return l.state().Value
}

// Status returns when the value was fetched, and the error that prevents a newer
// one, or nil. If the value consists of several secrets, the time is that of the
// oldest. For monitoring, alert when the value is several TTLs old.
func (l *Live[T]) Status() (fetched time.Time, err error) {
	s := l.open().State()
	return s.Fetched, s.Err
}

// Refresh fetches the secrets and returns the new value, or an error and the last
// good value. The fetch begins after the call; callers that arrive before it
// begins share it. After Close, the error is ErrClosed.
func (l *Live[T]) Refresh(ctx context.Context) (T, error) {
	s, err := l.open().Refresh(ctx)
	if closed, ok := err.(*fault.Error); ok {
		err = &Error{Err: closed}
	}
	return s.Value, err
}

// Updates yields the current value first, and then each change: a new value, or
// the last good value together with the error that prevents a refresh. If changes
// arrive faster than the loop takes them, only the latest is yielded. The sequence
// ends when ctx ends or when the Live or its Resolver is closed.
func (l *Live[T]) Updates(ctx context.Context) iter.Seq2[T, error] {
	value := l.open()
	return func(yield func(T, error) bool) {
		for s, ok := value.State(), true; ok && yield(s.Value, s.Err); {
			s, ok = value.Next(ctx, s)
		}
	}
}

// Close ends the refreshes of l and the loops over its Updates. Value and Status
// keep returning the last result. Close may be called more than once.
func (l *Live[T]) Close() { l.open().Close() }

// Try logs in to a database, a message broker or a web service with the value of
// l. It calls login with the current value. If login returns an error that refused
// recognizes as a rejected login, the secret is probably being rotated, and Try
// calls login again, until a call succeeds:
//
//  1. with the last value that was accepted, and then with the current value once
//     more, because a rotated password may be in the secret before it is in the
//     database;
//  2. with the value after a refresh of l, if it is a different one.
//
// Try returns the result of the first successful login. If login fails with an
// error that is not a rejection, Try returns that error at once. If no value is
// accepted, it returns the rejection.
//
// The accepted value is remembered in l. Login must therefore make a new login: if
// it returns something that was opened earlier, such as an idle connection of a
// pool, an outdated value counts as accepted.
//
// All calls for l share their refreshes, which begin at least a second apart,
// however many logins are rejected. Once a value was accepted, a rejected call
// waits for the next refresh, so that it succeeds as soon as the secret and the
// database have the new password. The refresh continues in the background if ctx
// ends.
//
// If refused is nil, Try recognizes errors that have a method SQLState() string
// and a code of class 28, as PostgreSQL drivers return, and the rejections of
// PgBouncer. Try panics if l or login is nil.
func Try[T, C any](
	ctx context.Context, l *Live[T], login func(context.Context, T) (C, error),
	refused func(error) bool,
) (C, error) {
	l.open() // panics if l is nil or zero
	if login == nil {
		panic("secretref: Try needs a login function")
	}
	return sqlconn.Try(ctx, l.logins.open(), login, refused)
}

// Connector returns a connector for [database/sql.OpenDB] that connects with the
// current value of l. It calls connect, which opens one connection, in the same
// way as [Try] calls login, and refused has the same meaning. Connector panics if
// l or connect is nil.
func Connector[T any](
	l *Live[T], connect func(context.Context, T) (driver.Conn, error), refused func(error) bool,
) driver.Connector {
	l.open() // panics if l is nil or zero
	if connect == nil {
		panic("secretref: a Connector needs a connect function")
	}
	return sqlconn.NewConnector(l.logins.open(), connect, refused)
}

// loginSource is a refreshed value as package sqlconn uses it.
type loginSource[T any] struct{ *refresh.Value[T] }

func (l loginSource[T]) Current() (value T, serial int) {
	state := l.State()
	return state.Value, state.Serial
}

func (l loginSource[T]) Renew(ctx context.Context) { _, _ = l.Refresh(ctx) }
