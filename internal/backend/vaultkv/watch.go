package vaultkv

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
)

const (
	// selfCallTimeout limits one call.
	selfCallTimeout = 30 * time.Second
	// The pause after a failure doubles from initialBackoff to maxBackoff.
	initialBackoff = 10 * time.Second
	maxBackoff     = 10 * time.Minute
	// failuresBeforeWarning is the number of consecutive failed renewals after which
	// the expiry is announced, although a later renewal may still succeed.
	failuresBeforeWarning = 3

	maxReached = "its max TTL is reached"
)

// watcher renews a token before it expires, and logs warnings if it cannot. It is
// used by one goroutine.
type watcher struct {
	server *server
	policy *httpguard.Policy
	log    *slog.Logger
	token  string

	expires     time.Time
	announced   remaining
	nextRenewal time.Time // zero if the token is not renewed
	capReached  bool      // the last renewal was shortened by the max TTL
	failures    int       // consecutive failed renewals
	backoff     time.Duration
	reason      string // why the token is not renewed
}

// remaining classifies the time until the token expires.
type remaining int

const (
	moreThanDay remaining = iota
	withinDay
	withinHour
	expired
)

// run returns when the token has expired, when it never expires, when Vault refuses
// to look it up, or when ctx ends.
func (w *watcher) run(ctx context.Context) {
	found, err := w.lookUp(ctx)
	if err != nil || found.expires.IsZero() {
		return
	}
	w.expires = found.expires
	if found.renewable {
		w.scheduleRenewal()
	} else {
		w.stopRenewing(ctx, "it is not renewable")
	}
	for ctx.Err() == nil {
		at := w.remaining()
		if at == expired || at > w.announced && w.expiryIsFinal() {
			w.announce(ctx, at)
		}
		switch {
		case at == expired, !sleep(ctx, time.Until(w.nextWake())):
			return
		case !w.nextRenewal.IsZero() && !time.Now().Before(w.nextRenewal):
			w.renew(ctx)
		default:
			w.checkExpiry(ctx)
		}
	}
}

// lookUp looks the token up, and retries until there is an answer.
func (w *watcher) lookUp(ctx context.Context) (tokenLife, error) {
	for pause := time.Second; ; pause = min(2*pause, maxBackoff) {
		found, err := w.callSelf(ctx, lookupSelf)
		if err == nil || ctx.Err() != nil {
			return found, err
		}
		w.log.DebugContext(ctx, "vault token lookup failed",
			"host", w.server.name(), "error", err.Error())
		asked, again := fault.Transient(err)
		if !again || !sleep(ctx, max(pause, asked)) {
			return tokenLife{}, err
		}
	}
}

// checkExpiry looks the token up again before its expiry is announced, since it may
// have been renewed elsewhere. A day or an hour that remains again after that is
// not announced a second time.
func (w *watcher) checkExpiry(ctx context.Context) {
	found, err := w.callSelf(ctx, lookupSelf)
	switch {
	case errors.Is(err, fault.Unauthenticated):
		w.expires = time.Now()
	case err == nil && found.expires.Sub(w.expires) > 2*time.Second: // Vault rounds the TTL
		w.expires = found.expires
		w.announced = w.remaining()
	}
}

func (w *watcher) renew(ctx context.Context) {
	got, err := w.callSelf(ctx, renewSelf)
	_, again := fault.Transient(err)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		moved := got.expires.Sub(w.expires) >= time.Second
		w.expires, w.capReached, w.failures, w.reason = got.expires, got.capReached, 0, ""
		if got.capReached {
			w.reason = maxReached
		}
		if !moved || !got.renewable {
			w.stopRenewing(ctx, maxReached)
			return
		}
		w.announced = moreThanDay
		w.scheduleRenewal()
		w.log.DebugContext(ctx, "vault token renewed", "host", w.server.name(),
			"expires", formatTime(w.expires))
	case errors.Is(err, fault.Unauthenticated):
		w.expires = time.Now()
	case again:
		w.log.DebugContext(ctx, "vault token renewal failed", "host", w.server.name(),
			"expires", formatTime(w.expires), "error", err.Error())
		w.postponeRenewal(err)
	default:
		w.stopRenewing(ctx, err.Error())
	}
}

// scheduleRenewal sets the time of the next renewal.
func (w *watcher) scheduleRenewal() {
	left := max(time.Until(w.expires), 0)
	w.nextRenewal = time.Now().Add(left*2/3 - rand.N(left/10+1))
}

// stopRenewing ends the renewals; the expiry is still announced.
func (w *watcher) stopRenewing(ctx context.Context, reason string) {
	w.nextRenewal, w.reason = time.Time{}, reason
	w.log.InfoContext(ctx, "the vault token is no longer renewed", "host", w.server.name(),
		"expires", formatTime(w.expires), "reason", reason)
}

// postponeRenewal schedules the next renewal after one that failed.
func (w *watcher) postponeRenewal(err error) {
	left := time.Until(w.expires)
	if w.failures++; w.failures == 1 {
		w.backoff = min(initialBackoff, left/10)
	} else {
		w.backoff = min(2*w.backoff, maxBackoff, left/2)
	}
	w.backoff = max(w.backoff, 100*time.Millisecond)
	asked, _ := fault.Transient(err)
	w.reason = err.Error()
	w.nextRenewal = time.Now().Add(max(w.backoff-rand.N(w.backoff/4), asked))
}

// expiryIsFinal reports whether the token is expected to expire at w.expires.
func (w *watcher) expiryIsFinal() bool {
	return w.nextRenewal.IsZero() || w.capReached || w.failures >= failuresBeforeWarning
}

func (w *watcher) remaining() remaining {
	switch left := time.Until(w.expires); {
	case left <= 0:
		return expired
	case left <= time.Hour:
		return withinHour
	case left <= 24*time.Hour:
		return withinDay
	}
	return moreThanDay
}

// nextWake returns the time of the next renewal or announcement.
func (w *watcher) nextWake() time.Time {
	at := w.expires
	if w.expiryIsFinal() {
		switch w.remaining() {
		case moreThanDay:
			at = w.expires.Add(-24 * time.Hour)
		case withinDay:
			at = w.expires.Add(-time.Hour)
		}
	}
	if !w.nextRenewal.IsZero() && w.nextRenewal.Before(at) {
		return w.nextRenewal
	}
	return at
}

func (w *watcher) announce(ctx context.Context, at remaining) {
	w.announced = at
	text := map[remaining]string{
		withinDay:  "the vault token expires within a day",
		withinHour: "the vault token expires within an hour",
		expired:    "the vault token has expired",
	}[at]
	attrs := []any{"host", w.server.name(), "expires", formatTime(w.expires)}
	if w.reason != "" {
		attrs = append(attrs, "reason", w.reason)
	}
	w.log.WarnContext(ctx, text, attrs...)
}

// tokenLife is Vault's description of a token. Expires is zero if it never does.
type tokenLife struct {
	expires    time.Time
	renewable  bool
	capReached bool // by the max TTL
}

// The calls that a token makes on itself.
const (
	lookupSelf = "lookup-self"
	renewSelf  = "renew-self"
)

// callSelf makes one of these calls.
func (w *watcher) callSelf(ctx context.Context, call string) (tokenLife, error) {
	if err := w.policy.Check(w.server.endpoint); err != nil {
		return tokenLife{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, selfCallTimeout)
	defer cancel()
	start := time.Now()
	var got answer
	var err error
	if self := w.server.clientFor(w.token, &got).Auth().Token(); call == renewSelf {
		_, err = self.RenewSelfWithContext(ctx, 0)
	} else {
		_, err = self.LookupSelfWithContext(ctx)
	}
	if err = w.server.requestError(got, err); err == nil {
		err = w.server.selfCallError(call, got)
	}
	if err != nil {
		return tokenLife{}, err
	}
	var reply struct {
		Data struct {
			TTL        int64
			ExpireTime *string `json:"expire_time"`
			Renewable  bool
		}
		Auth *struct {
			LeaseDuration int64 `json:"lease_duration"`
			Renewable     bool
		}
		Warnings []string
	}
	bad := json.Unmarshal(got.body, &reply) != nil
	switch {
	case bad || call == renewSelf && reply.Auth == nil:
		return tokenLife{}, fault.New(fault.Unavailable, "%s answered with JSON that is not Vault's",
			w.server.name()).Permanently()
	case call == renewSelf:
		return tokenLife{
			expires:    start.Add(time.Duration(reply.Auth.LeaseDuration) * time.Second),
			renewable:  reply.Auth.Renewable,
			capReached: strings.Contains(strings.Join(reply.Warnings, " "), "max_ttl"),
		}, nil
	case reply.Data.ExpireTime == nil:
		return tokenLife{}, nil
	}
	// Unlike expire_time, the TTL does not depend on the clocks.
	return tokenLife{
		expires:   start.Add(time.Duration(reply.Data.TTL) * time.Second),
		renewable: reply.Data.Renewable,
	}, nil
}

// selfCallError explains why one of these calls was refused.
func (s *server) selfCallError(call string, got answer) error {
	if err := s.notFromVault(got); err != nil {
		return err
	}
	messages := errorMessages(got.body)
	switch {
	case got.status == http.StatusOK:
		return nil
	case isTransient(got.status):
		return s.unavailableError(got)
	case isUnknownToken(got.status, messages):
		return fault.New(fault.Unauthenticated, "Vault no longer recognizes the token")
	case got.status == http.StatusForbidden:
		capability := map[string]string{lookupSelf: "read", renewSelf: "update"}[call]
		return fault.New(fault.Denied,
			"the token's policies lack: path \"auth/token/%s\" { capabilities = [%q] }",
			call, capability)
	case strings.Contains(messages, "not renewable"):
		return fault.New(fault.Unsupported, "it is not renewable")
	}
	return fault.New(fault.Unsupported, "%s answered with status %d", s.name(), got.status)
}

// sleep waits for d. It reports false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// formatTime formats a time for the log.
func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
