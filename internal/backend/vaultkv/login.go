package vaultkv

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/retry"
	"github.com/seed74218947/secretref/internal/fetch/singleflight"
)

const (
	// earlyLoginTimeout limits a login while the old token is still valid. It leaves
	// time for the read if a caller has 3 s for both.
	earlyLoginTimeout = 2 * time.Second
	// maxExpiryMargin limits the time before its expiry at which a token is no longer
	// used, so that requests arrive before the token expires. For short leases the
	// margin is a tenth of the lease.
	maxExpiryMargin = 10 * time.Second
)

// loginMethod makes one attempt to log in. It is never called concurrently.
type loginMethod func(ctx context.Context) (*lease, error)

// login is an authenticator that shares the token of one login among all callers.
// A token is replaced, not renewed: a login also costs one call, uses the current
// credentials, and is not limited by a max TTL. Nothing runs in the background:
// after two thirds of a token's lease, one of the callers makes the login while
// the others continue to use the old token.
type login struct {
	method loginMethod
	host   string
	log    *slog.Logger
	logins *singleflight.Group[string, *lease]

	mu        sync.Mutex
	current   *lease
	nextEarly time.Time // when to replace current before it expires; zero: never
}

func newLogin(method loginMethod, host string, timeout time.Duration, log *slog.Logger) *login {
	return &login{method: method, host: host, log: log,
		logins: singleflight.New[string, *lease](timeout, log), current: &lease{}}
}

func (k *login) close() { k.logins.Close() }

func (k *login) accepted(*lease) {}

func (k *login) token(ctx context.Context) (*lease, error) {
	if old, due := k.claimEarlyLogin(); due {
		if _, err := k.replaceToken(ctx, old.token, attemptOnce); err != nil && ctx.Err() == nil {
			k.postponeEarlyLogin(ctx, old, err)
		}
	}
	return k.usableToken(ctx, "")
}

// reauthenticate implements authenticator. A token that is only seconds old and was
// never accepted is not replaced: another one would be refused too.
func (k *login) reauthenticate(ctx context.Context, refused *lease) (*lease, error) {
	if k.currentLease() == refused && refused.isFresh() && !refused.wasAccepted(ctx) {
		return nil, nil
	}
	return k.usableToken(ctx, refused.token)
}

// usableToken returns the current token, or logs in if that is the refused one, has
// expired, or has no use left.
func (k *login) usableToken(ctx context.Context, refused string) (*lease, error) {
	for {
		present := k.currentLease()
		if present.usable(refused) && present.takeUse() {
			return present, nil
		}
		// The retries are part of the shared call: retries of each caller would cause
		// as many logins.
		made, err := k.replaceToken(ctx, present.token, retry.Do)
		if err != nil {
			return nil, err
		}
		if made.takeUse() {
			return made, nil
		} // otherwise the other callers have used it up
	}
}

// claimEarlyLogin reports whether the caller has to replace the current token
// before it expires. Other callers do not wait for that.
func (k *login) claimEarlyLogin() (*lease, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if !k.current.usable("") || k.nextEarly.IsZero() || now.Before(k.nextEarly) {
		return nil, false
	}
	k.nextEarly = now.Add(earlyLoginTimeout)
	return k.current, true
}

// postponeEarlyLogin schedules the next early login after one that failed. The
// pause is a third of the remaining time, so that there are few attempts, but some
// shortly before the expiry.
func (k *login) postponeEarlyLogin(ctx context.Context, old *lease, err error) {
	pause := max(time.Until(old.expires)/3, time.Second)
	pause -= rand.N(pause / 4) // the pods of a cluster fail at the same time
	asked, _ := fault.Transient(err)
	k.mu.Lock()
	if k.current.token == old.token {
		k.nextEarly = time.Now().Add(max(pause, asked))
	}
	k.mu.Unlock()
	k.log.WarnContext(ctx, "vault login failed; the old token is used until it expires",
		"host", k.host, "expires", formatTime(old.expires), "error", err.Error())
}

// retryFunc calls an attempt once or, if it fails, several times.
type retryFunc func(ctx context.Context, attempt func(context.Context) error) (int, error)

// replaceToken logs in to replace the old token, once for all callers whose token
// that is.
func (k *login) replaceToken(ctx context.Context, old string, try retryFunc) (*lease, error) {
	return k.logins.Call(ctx, old, func(ctx context.Context, failed func(error)) (*lease, error) {
		if l := k.currentLease(); l.usable(old) {
			return l, nil // another login ended just before this one began
		}
		var made *lease
		_, err := try(ctx, func(ctx context.Context) (err error) {
			if made, err = k.method(ctx); err != nil {
				failed(err)
			}
			return err
		})
		if err == nil {
			k.mu.Lock()
			k.current, k.nextEarly = made, made.replaceAt
			k.mu.Unlock()
		}
		return made, err
	})
}

// attemptOnce is the retryFunc of an early login, which may fail.
func attemptOnce(ctx context.Context, attempt func(context.Context) error) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, earlyLoginTimeout)
	defer cancel()
	return 1, attempt(ctx)
}

func (k *login) currentLease() *lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// lease is a token with its times. A zero time means never.
type lease struct {
	token     string
	issuedAt  time.Time // or first returned by the caller's function
	replaceAt time.Time // when to replace it early
	expires   time.Time

	mu       sync.Mutex
	limited  bool // the number of uses is limited
	uses     int
	inFlight int           // requests that carry the token
	accepted bool          // Vault has accepted the token
	changed  chan struct{} // closed when inFlight or accepted changes; nil if there is no waiter
}

// newLease returns the token of a login that began at start. It is valid for a
// number of uses; zero means unlimited.
func newLease(auth *api.SecretAuth, start time.Time, uses int) *lease {
	made := &lease{token: auth.ClientToken, issuedAt: time.Now(), limited: uses > 0, uses: uses}
	if d := leaseDuration(auth); d > 0 {
		// The jitter keeps pods that start together from logging in together again.
		made.replaceAt = start.Add(d*2/3 - rand.N(d/20))
		made.expires = start.Add(d - min(d/10, maxExpiryMargin))
	}
	return made
}

func leaseDuration(auth *api.SecretAuth) time.Duration {
	return time.Duration(auth.LeaseDuration) * time.Second
}

// usable reports whether there is a token that is not the refused one, has not
// expired and has a use left.
func (l *lease) usable(refused string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	expired := !l.expires.IsZero() && !time.Now().Before(l.expires)
	return l.token != "" && l.token != refused && !expired && (!l.limited || l.uses > 0)
}

// takeUse consumes one of the token's uses and reports whether there was one.
func (l *lease) takeUse() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limited {
		l.uses--
	}
	return l.uses >= 0
}

// freshTokenAge is the age up to which a token is not replaced because a path is
// denied to it: a new token would have the same policies.
const freshTokenAge = 10 * time.Second

func (l *lease) isFresh() bool { return time.Since(l.issuedAt) < freshTokenAge }

// beginRequest must be called before a request with the token, and endRequest after
// it.
func (l *lease) beginRequest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight++
}

// endRequest records the end of a request, and whether Vault accepted the token.
func (l *lease) endRequest(accepted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.accepted = l.accepted || accepted
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// wasAccepted reports whether Vault has accepted the token for any request. If Vault
// refuses an accepted token later, it has been used up or revoked; a token that was
// never accepted is invalid. If none was accepted yet, wasAccepted waits for the
// requests in flight.
func (l *lease) wasAccepted(ctx context.Context) bool {
	for {
		l.mu.Lock()
		accepted, pending := l.accepted, l.inFlight > 0
		if !accepted && pending && l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if accepted || !pending {
			return accepted
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
