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
	// selfCallTimeout is for one call.
	selfCallTimeout = 30 * time.Second
	// The pauses after failures double from first to most.
	initialBackoff = 10 * time.Second
	maxBackoff     = 10 * time.Minute
	// failuresBeforeWarning is how many renewals fail in a row before it is told that the
	// token ends, although the next one may still come.
	failuresBeforeWarning = 3

	maxReached = "its max TTL is reached"
)

// watcher keeps a token from ending, and tells the log in good time where it
// cannot. It is used by one goroutine.
type watcher struct {
	server *server
	policy *httpguard.Policy
	log    *slog.Logger
	token  string

	expires     time.Time
	announced   remaining
	nextRenewal time.Time // the next one; zero: none, or none any more
	capReached  bool      // the last renewal could not give what it usually does
	failures    int       // renewals in a row
	backoff     time.Duration
	reason      string // why the end moves no further
}

// remaining is how near the end is.
type remaining int

const (
	moreThanDay remaining = iota
	withinDay
	withinHour
	expired
)

// run returns when the token has ended, when it turns out that it never does,
// or that nothing can be found out about it, or with ctx.
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

// lookUp asks about the token until there is an answer.
func (w *watcher) lookUp(ctx context.Context) (tokenLife, error) {
	for pause := time.Second; ; pause = min(2*pause, maxBackoff) {
		found, err := w.callSelf(ctx, lookupSelf)
		if err == nil || ctx.Err() != nil {
			return found, err
		}
		w.log.DebugContext(ctx, "nothing is known about the end of the vault token", "host", w.server.name(), "error", err.Error())
		asked, again := fault.Transient(err)
		if !again || !sleep(ctx, max(pause, asked)) {
			return tokenLife{}, err
		}
	}
}

// checkExpiry asks again before it is told that the token ends: somebody else may have
// renewed it. Then it is not told once more of the day or the hour that may be
// left anew.
func (w *watcher) checkExpiry(ctx context.Context) {
	found, err := w.callSelf(ctx, lookupSelf)
	switch {
	case errors.Is(err, fault.Unauthenticated):
		w.expires = time.Now()
	case err == nil && found.expires.Sub(w.expires) > 2*time.Second: // what Vault tells is rounded
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
		w.log.DebugContext(ctx, "vault token renewed", "host", w.server.name(), "ends", formatTime(w.expires))
	case errors.Is(err, fault.Unauthenticated):
		w.expires = time.Now()
	case again:
		w.log.DebugContext(ctx, "vault token not renewed", "host", w.server.name(), "ends", formatTime(w.expires), "error", err.Error())
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

// stopRenewing leaves it at telling that the token ends.
func (w *watcher) stopRenewing(ctx context.Context, reason string) {
	w.nextRenewal, w.reason = time.Time{}, reason
	w.log.InfoContext(ctx, "the vault token is not renewed any more", "host", w.server.name(), "ends", formatTime(w.expires), "reason", reason)
}

// postponeRenewal puts the next renewal off after one that failed.
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

// expiryIsFinal reports whether the token ends as things are.
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

// nextWake returns when there is something to do again.
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
		withinDay:  "the vault token ends within a day",
		withinHour: "the vault token ends within an hour",
		expired:    "the vault token has ended",
	}[at]
	attrs := []any{"host", w.server.name(), "ends", formatTime(w.expires)}
	if w.reason != "" {
		attrs = append(attrs, "reason", w.reason)
	}
	w.log.WarnContext(ctx, text, attrs...)
}

// tokenLife is what Vault says about a token; a zero end is none.
type tokenLife struct {
	expires    time.Time
	renewable  bool
	capReached bool // by the max TTL
}

// The calls that a token makes about itself.
const (
	lookupSelf = "lookup-self"
	renewSelf  = "renew-self"
)

// callSelf makes one of those calls.
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
		return tokenLife{}, fault.New(fault.Unavailable, "%s answered with JSON that is not Vault's", w.server.name()).Permanently()
	case call == renewSelf:
		return tokenLife{start.Add(time.Duration(reply.Auth.LeaseDuration) * time.Second), reply.Auth.Renewable,
			strings.Contains(strings.Join(reply.Warnings, " "), "max_ttl")}, nil
	case reply.Data.ExpireTime == nil:
		return tokenLife{}, nil
	}
	// The time that is left does not depend on the clocks, as the end does.
	return tokenLife{expires: start.Add(time.Duration(reply.Data.TTL) * time.Second), renewable: reply.Data.Renewable}, nil
}

// selfCallError says why a token learns nothing about itself.
func (s *server) selfCallError(call string, got answer) error {
	if err := s.notFromVault(got); err != nil {
		return err
	}
	said := errorMessages(got.body)
	switch {
	case got.status == http.StatusOK:
		return nil
	case isTransient(got.status):
		return s.unavailableError(got)
	case isUnknownToken(got.status, said):
		return fault.New(fault.Unauthenticated, "Vault does not know the token any more")
	case got.status == http.StatusForbidden:
		capability := map[string]string{lookupSelf: "read", renewSelf: "update"}[call]
		return fault.New(fault.Denied, "the token's policies lack: path \"auth/token/%s\" { capabilities = [%q] }", call, capability)
	case strings.Contains(said, "not renewable"):
		return fault.New(fault.Unsupported, "it is not renewable")
	}
	return fault.New(fault.Unsupported, "%s answered with status %d", s.name(), got.status)
}

// sleep reports false if ctx ends before.
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

// formatTime is a time for the log.
func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
