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
	// earlyLoginTimeout is how long one caller waits for a new token while the old one is
	// still good. It leaves time for the read where a caller has 3 s for both.
	earlyLoginTimeout = 2 * time.Second
	// maxExpiryMargin is how long before its end a token is not used any more, so that a
	// request arrives with it; for short ones it is a tenth.
	maxExpiryMargin = 10 * time.Second
)

// loginMethod exchanges something for a token. It is called by one flight at a
// time, and makes one attempt.
type loginMethod func(ctx context.Context) (*lease, error)

// login gives out the token of a loginMethod, once for all who ask. A token is
// replaced, not renewed: a login costs one call as well, shows Vault the present
// credentials, and knows no max TTL. Nothing runs in the background: from two
// thirds of a token's life on, one of those who ask for it makes the login, and
// the others go on with the old one.
type login struct {
	method loginMethod
	host   string
	log    *slog.Logger
	logins *singleflight.Group[string, *lease]

	mu        sync.Mutex
	current   *lease
	nextEarly time.Time // when to try to replace current early; zero: never
}

func newLogin(method loginMethod, host string, timeout time.Duration, log *slog.Logger) *login {
	return &login{method: method, host: host, log: log, logins: singleflight.New[string, *lease](timeout, log), current: &lease{}}
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

// reauthenticate implements authenticator. A token that is seconds old and was
// never accepted is not replaced: the next one would be no better.
func (k *login) reauthenticate(ctx context.Context, refused *lease) (*lease, error) {
	if k.currentLease() == refused && refused.isFresh() && !refused.wasAccepted(ctx) {
		return nil, nil
	}
	return k.usableToken(ctx, refused.token)
}

// usableToken returns the present token unless it is the refused one, has ended, or has
// no use left.
func (k *login) usableToken(ctx context.Context, refused string) (*lease, error) {
	for {
		present := k.currentLease()
		if present.usable(refused) && present.takeUse() {
			return present, nil
		}
		// The retries are in the flight: those of all who wait would be as many
		// logins.
		made, err := k.replaceToken(ctx, present.token, retry.Do)
		if err != nil {
			return nil, err
		}
		if made.takeUse() {
			return made, nil
		} // else the others on the flight have used it up
	}
}

// claimEarlyLogin reports whether it is for the caller to replace the present token
// before it ends. While one does, the others have no reason to wait.
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

// postponeEarlyLogin puts the next early login off after one that failed. The pauses
// shorten with what is left, so that there are not many of them, nor none in
// time.
func (k *login) postponeEarlyLogin(ctx context.Context, old *lease, err error) {
	pause := max(time.Until(old.expires)/3, time.Second)
	pause -= rand.N(pause / 4) // the pods of a cluster fail at one time
	asked, _ := fault.Transient(err)
	k.mu.Lock()
	if k.current.token == old.token {
		k.nextEarly = time.Now().Add(max(pause, asked))
	}
	k.mu.Unlock()
	k.log.WarnContext(ctx, "no new vault login; the old one is used on until it ends", "host", k.host,
		"ends", formatTime(old.expires), "error", err.Error())
}

// replaceToken makes a login in place of the old token. One flight replaces one
// token, for all who were refused with it.
func (k *login) replaceToken(ctx context.Context, old string, try func(context.Context, func(context.Context) error) (int, error)) (*lease, error) {
	return k.logins.Do(ctx, old, func(ctx context.Context, failed func(error)) (*lease, error) {
		if l := k.currentLease(); l.usable(old) {
			return l, nil // another flight ended just before this one began
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
	}).Wait(ctx)
}

// attemptOnce is retry.Do for a login that can wait.
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

// lease is a token with its times; zero times never come.
type lease struct {
	token     string
	issuedAt  time.Time // by a login, or first by a caller's function
	replaceAt time.Time // it is better replaced from then on
	expires   time.Time

	mu       sync.Mutex
	limited  bool // to uses
	uses     int
	inFlight int           // requests that carry the token
	accepted bool          // Vault has accepted the token
	changed  chan struct{} // closed when inFlight or known changes; nil: nobody waits
}

// newLease returns the token of a login that began at start. Vault forgets it
// after so many uses; zero: never.
func newLease(auth *api.SecretAuth, start time.Time, uses int) *lease {
	made := &lease{token: auth.ClientToken, issuedAt: time.Now(), limited: uses > 0, uses: uses}
	if d := leaseDuration(auth); d > 0 {
		// Pods that start together do not all log in again together.
		made.replaceAt = start.Add(d*2/3 - rand.N(d/20))
		made.expires = start.Add(d - min(d/10, maxExpiryMargin))
	}
	return made
}

func leaseDuration(auth *api.SecretAuth) time.Duration {
	return time.Duration(auth.LeaseDuration) * time.Second
}

// usable reports whether there is a token that is not the refused one, that has
// not ended and has a use left.
func (l *lease) usable(refused string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.token != "" && l.token != refused && (l.expires.IsZero() || time.Now().Before(l.expires)) && (!l.limited || l.uses > 0)
}

// takeUse takes one of the token's uses, and reports whether there was one.
func (l *lease) takeUse() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limited {
		l.uses--
	}
	return l.uses >= 0
}

// freshTokenAge is how old a token is that may be replaced because a path is denied
// to it.
const freshTokenAge = 10 * time.Second

// isFresh reports whether the token is only seconds old, so that another would be
// denied what this one is.
func (l *lease) isFresh() bool { return time.Since(l.issuedAt) < freshTokenAge }

// beginRequest and end stand around a request with the token; end is told whether
// Vault knew the token.
func (l *lease) beginRequest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight++
}

func (l *lease) endRequest(known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.accepted = l.accepted || known
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// wasAccepted reports whether Vault has accepted the token for some request. If it
// refuses it for another one, the token has been used up, or revoked, since; one
// that was never accepted is no good. It waits for those under way to tell.
func (l *lease) wasAccepted(ctx context.Context) bool {
	for {
		l.mu.Lock()
		known, under := l.accepted, l.inFlight > 0
		if !known && under && l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if known || !under {
			return known
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
