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
	// earlyWait is how long one caller waits for a new token while the old one is
	// still good. It leaves time for the read where a caller has 3 s for both.
	earlyWait = 2 * time.Second
	// margin is how long before its end a token is not used any more, so that a
	// request arrives with it; for short ones it is a tenth.
	margin = 10 * time.Second
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

	mu      sync.Mutex
	current *lease
	next    time.Time // when to try to replace current early; zero: never
}

func newLogin(method loginMethod, host string, timeout time.Duration, log *slog.Logger) *login {
	return &login{method: method, host: host, log: log, logins: singleflight.New[string, *lease](timeout, log), current: &lease{}}
}

func (k *login) close() { k.logins.Close() }

func (k *login) accepted(*lease) {}

func (k *login) token(ctx context.Context) (*lease, error) {
	if old, due := k.claim(); due {
		if _, err := k.replace(ctx, old.token, once); err != nil && ctx.Err() == nil {
			k.postpone(ctx, old, err)
		}
	}
	return k.get(ctx, "")
}

// reauthenticate implements authenticator. A token that is seconds old and was
// never accepted is not replaced: the next one would be no better.
func (k *login) reauthenticate(ctx context.Context, refused *lease) (*lease, error) {
	if k.present() == refused && refused.fresh() && !refused.wasKnown(ctx) {
		return nil, nil
	}
	return k.get(ctx, refused.token)
}

// get returns the present token unless it is the refused one, has ended, or has
// no use left.
func (k *login) get(ctx context.Context, refused string) (*lease, error) {
	for {
		present := k.present()
		if present.good(refused) && present.take() {
			return present, nil
		}
		// The retries are in the flight: those of all who wait would be as many
		// logins.
		made, err := k.replace(ctx, present.token, retry.Do)
		if err != nil {
			return nil, err
		}
		if made.take() {
			return made, nil
		} // else the others on the flight have used it up
	}
}

// claim reports whether it is for the caller to replace the present token
// before it ends. While one does, the others have no reason to wait.
func (k *login) claim() (*lease, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if !k.current.good("") || k.next.IsZero() || now.Before(k.next) {
		return nil, false
	}
	k.next = now.Add(earlyWait)
	return k.current, true
}

// postpone puts the next early login off after one that failed. The pauses
// shorten with what is left, so that there are not many of them, nor none in
// time.
func (k *login) postpone(ctx context.Context, old *lease, err error) {
	pause := max(time.Until(old.ends)/3, time.Second)
	pause -= rand.N(pause / 4) // the pods of a cluster fail at one time
	asked, _ := fault.Transient(err)
	k.mu.Lock()
	if k.current.token == old.token {
		k.next = time.Now().Add(max(pause, asked))
	}
	k.mu.Unlock()
	k.log.WarnContext(ctx, "no new vault login; the old one is used on until it ends", "host", k.host,
		"ends", stamp(old.ends), "error", err.Error())
}

// replace makes a login in place of the old token. One flight replaces one
// token, for all who were refused with it.
func (k *login) replace(ctx context.Context, old string, try func(context.Context, func(context.Context) error) (int, error)) (*lease, error) {
	return k.logins.Call(ctx, old, func(ctx context.Context, failed func(error)) (*lease, error) {
		if l := k.present(); l.good(old) {
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
			k.current, k.next = made, made.stale
			k.mu.Unlock()
		}
		return made, err
	})
}

// once is retry.Do for a login that can wait.
func once(ctx context.Context, attempt func(context.Context) error) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, earlyWait)
	defer cancel()
	return 1, attempt(ctx)
}

func (k *login) present() *lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// lease is a token with its times; zero times never come.
type lease struct {
	token string
	given time.Time // by a login, or first by a caller's function
	stale time.Time // it is better replaced from then on
	ends  time.Time

	mu       sync.Mutex
	limited  bool // to uses
	uses     int
	inFlight int           // requests that carry the token
	known    bool          // Vault has accepted the token
	changed  chan struct{} // closed when inFlight or known changes; nil: nobody waits
}

// leased returns the token of a login that began at start. Vault forgets it
// after so many uses; zero: never.
func leased(auth *api.SecretAuth, start time.Time, uses int) *lease {
	made := &lease{token: auth.ClientToken, given: time.Now(), limited: uses > 0, uses: uses}
	if d := leaseTime(auth); d > 0 {
		// Pods that start together do not all log in again together.
		made.stale = start.Add(d*2/3 - rand.N(d/20))
		made.ends = start.Add(d - min(d/10, margin))
	}
	return made
}

func leaseTime(auth *api.SecretAuth) time.Duration {
	return time.Duration(auth.LeaseDuration) * time.Second
}

// good reports whether there is a token that is not the refused one, that has
// not ended and has a use left.
func (l *lease) good(refused string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.token != "" && l.token != refused && (l.ends.IsZero() || time.Now().Before(l.ends)) && (!l.limited || l.uses > 0)
}

// take takes one of the token's uses, and reports whether there was one.
func (l *lease) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limited {
		l.uses--
	}
	return l.uses >= 0
}

// settled is how old a token is that may be replaced because a path is denied
// to it.
const settled = 10 * time.Second

// fresh reports whether the token is only seconds old, so that another would be
// denied what this one is.
func (l *lease) fresh() bool { return time.Since(l.given) < settled }

// begin and end stand around a request with the token; end is told whether
// Vault knew the token.
func (l *lease) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight++
}

func (l *lease) end(known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.known = l.known || known
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// wasKnown reports whether Vault has accepted the token for some request. If it
// refuses it for another one, the token has been used up, or revoked, since; one
// that was never accepted is no good. It waits for those under way to tell.
func (l *lease) wasKnown(ctx context.Context) bool {
	for {
		l.mu.Lock()
		known, under := l.known, l.inFlight > 0
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
