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
)

// A Live is a live value. It is refreshed in the background until it or its
// Resolver is closed; a Live that the program no longer refers to is not
// refreshed either. Its last value remains readable afterwards. A [Connector] made
// of a Live and a loop over its Updates refer to it. Each live secret costs a
// fetch per [Options].TTL, however many Lives share it.
//
// When a refresh fails, the last good value stays. If the failure is not an
// outage that MaxStale covers, the log is warned, and again each hour until the
// secret is refreshed again, which is logged at level info.
//
// A Live is safe for concurrent use. What Value returns is shared by all
// callers: do not change its elements. Its methods panic on a nil or zero Live.
type Live[T any] struct {
	value hidden[*refresh.Value[T]]
	state func() *refresh.State[T] // of value
}

// Watch resolves value as [Resolver.Resolve] does and keeps it up to date. A
// plaintext value stays what it is. One goroutine refreshes the secrets of all
// Lives of a Resolver before their TTL ends.
func (r *Resolver) Watch(ctx context.Context, value string) (*Live[Secret], error) {
	return watch(ctx, r, []want{r.want("", value)}, func(secrets []Secret) Secret { return secrets[0] })
}

// WatchAll is [Resolver.Watch] for several values, in order. Where they are
// parts of one secret, a user name and its password, they are always of the
// same version of it; name the secret in the same way in both, since a name and
// an ARN are fetched apart. There is no Live unless all can be resolved.
func (r *Resolver) WatchAll(ctx context.Context, values ...string) (*Live[[]Secret], error) {
	return watch(ctx, r, r.wantAll(values), func(secrets []Secret) []Secret { return secrets })
}

func watch[T any](ctx context.Context, r *Resolver, wants []want, build func([]Secret) T) (*Live[T], error) {
	p := r.plan(ctx, wants)
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	background := context.WithoutCancel(ctx)
	check := func(n int, got fetch.Result, seen bool) (usable bool, err error) {
		w := wants[p.at[n]]
		if !seen || got.Err != nil {
			if _, err := r.outcome(background, w, got); err != nil {
				return false, err
			}
		}
		if got.Stale != nil {
			return true, w.located(got.Stale)
		}
		return true, nil
	}
	value, err := refresh.Watch(ctx, r.engine().live, p.refs, check, func(texts []string) T {
		secrets := slices.Clone(p.secrets)
		for n, text := range texts {
			secrets[p.at[n]] = resolvedSecret(text)
		}
		return build(secrets)
	})
	if err != nil {
		return nil, err
	}
	return &Live[T]{hide(value), value.State}, nil
}

// live returns what h stands for.
func (h *Live[T]) live() *refresh.Value[T] {
	if h == nil || h.value.open == nil {
		panic(noLive)
	}
	return h.value.open()
}

const noLive = "secretref: a nil or zero Live was used; use one that Watch, WatchAll, WatchConfig returned without an error"

// Value returns the latest good value. It does no I/O, does not allocate and
// never waits. The value may be older than MaxStale: see Status.
func (h *Live[T]) Value() T {
	if h == nil || h.state == nil {
		panic(noLive)
	}
	return h.state().Value
}

// Status returns when the value was fetched (the oldest of its secrets), and
// why it is not newer: nil if it is as it should be.
func (h *Live[T]) Status() (fetched time.Time, err error) {
	s := h.live().State()
	return s.Fetched, s.Err
}

// Refresh fetches the secrets anew and returns the value after it; with an
// error that is the last good one. The fetch begins after the call, and all
// callers that come meanwhile share it. After Close the error is ErrClosed.
func (h *Live[T]) Refresh(ctx context.Context) (T, error) {
	s, err := h.live().Refresh(ctx)
	if own, ok := err.(*fault.Error); ok { // h is closed
		err = &Error{Err: own}
	}
	return s.Value, err
}

// Updates yields the present value first, and then each change: another value,
// or, with an error beside the last good value, that it cannot be renewed. Of
// changes that come faster than they are taken only the latest is yielded. It
// ends when ctx ends or the Live or its Resolver is closed.
func (h *Live[T]) Updates(ctx context.Context) iter.Seq2[T, error] {
	value := h.live()
	return func(yield func(T, error) bool) {
		for s, ok := value.State(), true; ok && yield(s.Value, s.Err); {
			s, ok = value.Next(ctx, s)
		}
	}
}

// Close ends the refreshes of h and the loops over its Updates. Value and Status
// go on returning the last ones. It may be called more than once.
func (h *Live[T]) Close() { h.live().Close() }

// Try logs in with the value of h: to a database, a message broker, a web
// service. login is called with the current value. If it returns an error that
// refused recognises as a login that was not accepted, the secret is probably
// being rotated, and Try goes on:
//
//  1. with the last value that was accepted, and the current one once more: a
//     rotated password may be in the secret and not yet in the database;
//  2. with the value after a refresh of h, if that brings another one.
//
// It returns what the first successful login returned, the error of login if
// that was no refusal, and the refusal if no value was accepted. Which value was
// accepted is remembered in h, so login must not return something that was
// opened earlier, such as an idle connection of a pool, without an error.
//
// Refreshes are shared by all calls for h and begin at least a second apart,
// however many logins are refused. After a value was accepted once, Try waits
// for the next one, so that it does not fail after the password has reached both
// places; it goes on in the background when ctx ends.
//
// A nil refused recognises errors with a method SQLState() string that returns
// a code of class 28, as PostgreSQL drivers have, and the refusals of PgBouncer.
// Try panics if h or login is nil.
func Try[T, C any](ctx context.Context, h *Live[T], login func(context.Context, T) (C, error), refused func(error) bool) (C, error) {
	value := h.live()
	if login == nil {
		panic("secretref: Try needs a login function")
	}
	return refresh.Try(ctx, value, login, refused)
}

// Connector returns what [database/sql.OpenDB] takes to connect with the
// current value of h. connect makes one connection; it is called as [Try] calls
// its login, and refused is that of Try, too. Connector panics if h or connect
// is nil.
func Connector[T any](h *Live[T], connect func(context.Context, T) (driver.Conn, error), refused func(error) bool) driver.Connector {
	value := h.live()
	if connect == nil {
		panic("secretref: a Connector needs a connect function")
	}
	return refresh.NewConnector(value, connect, refused)
}
