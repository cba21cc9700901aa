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
	// askTime is for one call.
	askTime = 30 * time.Second
	// The pauses after failures double from first to most.
	firstPause = 10 * time.Second
	mostPause  = 10 * time.Minute
	// stubborn is how many renewals fail in a row before it is told that the
	// token ends, although the next one may still come.
	stubborn = 3

	maxReached = "its max TTL is reached"
)

// watcher keeps a token from ending, and tells the log in good time where it
// cannot. It is used by one goroutine.
type watcher struct {
	server *server
	policy *httpguard.Policy
	log    *slog.Logger
	token  string

	ends    time.Time
	told    stage
	renewal time.Time // the next one; zero: none, or none any more
	capped  bool      // the last renewal could not give what it usually does
	failed  int       // renewals in a row
	pause   time.Duration
	reason  string // why the end moves no further
}

// stage is how near the end is.
type stage int

const (
	far stage = iota
	day
	hour
	over
)

// run returns when the token has ended, when it turns out that it never does,
// or that nothing can be found out about it, or with ctx.
func (w *watcher) run(ctx context.Context) {
	found, err := w.find(ctx)
	if err != nil || found.ends.IsZero() {
		return
	}
	w.ends = found.ends
	if found.renewable {
		w.plan()
	} else {
		w.giveUp(ctx, "it is not renewable")
	}
	for ctx.Err() == nil {
		at := w.stage()
		if at == over || at > w.told && w.final() {
			w.tell(ctx, at)
		}
		switch {
		case at == over, !sleep(ctx, time.Until(w.wake())):
			return
		case !w.renewal.IsZero() && !time.Now().Before(w.renewal):
			w.renew(ctx)
		default:
			w.check(ctx)
		}
	}
}

// find asks about the token until there is an answer.
func (w *watcher) find(ctx context.Context) (life, error) {
	for pause := time.Second; ; pause = min(2*pause, mostPause) {
		found, err := w.ask(ctx, lookupSelf)
		if err == nil || ctx.Err() != nil {
			return found, err
		}
		w.log.DebugContext(ctx, "nothing is known about the end of the vault token", "host", w.server.name(), "error", err.Error())
		asked, again := fault.Transient(err)
		if !again || !sleep(ctx, max(pause, asked)) {
			return life{}, err
		}
	}
}

// check asks again before it is told that the token ends: somebody else may have
// renewed it. Then it is not told once more of the day or the hour that may be
// left anew.
func (w *watcher) check(ctx context.Context) {
	found, err := w.ask(ctx, lookupSelf)
	switch {
	case errors.Is(err, fault.Unauthenticated):
		w.ends = time.Now()
	case err == nil && found.ends.Sub(w.ends) > 2*time.Second: // what Vault tells is rounded
		w.ends = found.ends
		w.told = w.stage()
	}
}

func (w *watcher) renew(ctx context.Context) {
	got, err := w.ask(ctx, renewSelf)
	_, again := fault.Transient(err)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		moved := got.ends.Sub(w.ends) >= time.Second
		w.ends, w.capped, w.failed, w.reason = got.ends, got.capped, 0, ""
		if got.capped {
			w.reason = maxReached
		}
		if !moved || !got.renewable {
			w.giveUp(ctx, maxReached)
			return
		}
		w.told = far
		w.plan()
		w.log.DebugContext(ctx, "vault token renewed", "host", w.server.name(), "ends", stamp(w.ends))
	case errors.Is(err, fault.Unauthenticated):
		w.ends = time.Now()
	case again:
		w.log.DebugContext(ctx, "vault token not renewed", "host", w.server.name(), "ends", stamp(w.ends), "error", err.Error())
		w.postpone(err)
	default:
		w.giveUp(ctx, err.Error())
	}
}

// plan sets the time of the next renewal.
func (w *watcher) plan() {
	left := max(time.Until(w.ends), 0)
	w.renewal = time.Now().Add(left*2/3 - rand.N(left/10+1))
}

// giveUp leaves it at telling that the token ends.
func (w *watcher) giveUp(ctx context.Context, reason string) {
	w.renewal, w.reason = time.Time{}, reason
	w.log.InfoContext(ctx, "the vault token is not renewed any more", "host", w.server.name(), "ends", stamp(w.ends), "reason", reason)
}

// postpone puts the next renewal off after one that failed.
func (w *watcher) postpone(err error) {
	left := time.Until(w.ends)
	if w.failed++; w.failed == 1 {
		w.pause = min(firstPause, left/10)
	} else {
		w.pause = min(2*w.pause, mostPause, left/2)
	}
	w.pause = max(w.pause, 100*time.Millisecond)
	asked, _ := fault.Transient(err)
	w.reason = err.Error()
	w.renewal = time.Now().Add(max(w.pause-rand.N(w.pause/4), asked))
}

// final reports whether the token ends as things are.
func (w *watcher) final() bool { return w.renewal.IsZero() || w.capped || w.failed >= stubborn }

func (w *watcher) stage() stage {
	switch left := time.Until(w.ends); {
	case left <= 0:
		return over
	case left <= time.Hour:
		return hour
	case left <= 24*time.Hour:
		return day
	}
	return far
}

// wake returns when there is something to do again.
func (w *watcher) wake() time.Time {
	at := w.ends
	if w.final() {
		switch w.stage() {
		case far:
			at = w.ends.Add(-24 * time.Hour)
		case day:
			at = w.ends.Add(-time.Hour)
		}
	}
	if !w.renewal.IsZero() && w.renewal.Before(at) {
		return w.renewal
	}
	return at
}

func (w *watcher) tell(ctx context.Context, at stage) {
	w.told = at
	text := map[stage]string{
		day:  "the vault token ends within a day",
		hour: "the vault token ends within an hour",
		over: "the vault token has ended",
	}[at]
	attrs := []any{"host", w.server.name(), "ends", stamp(w.ends)}
	if w.reason != "" {
		attrs = append(attrs, "reason", w.reason)
	}
	w.log.WarnContext(ctx, text, attrs...)
}

// life is what Vault says about a token; a zero end is none.
type life struct {
	ends      time.Time
	renewable bool
	capped    bool // by the max TTL
}

// The calls that a token makes about itself.
const (
	lookupSelf = "lookup-self"
	renewSelf  = "renew-self"
)

// ask makes one of those calls.
func (w *watcher) ask(ctx context.Context, call string) (life, error) {
	if err := w.policy.Check(w.server.endpoint); err != nil {
		return life{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	start := time.Now()
	var got answer
	var err error
	if self := w.server.with(w.token, &got).Auth().Token(); call == renewSelf {
		_, err = self.RenewSelfWithContext(ctx, 0)
	} else {
		_, err = self.LookupSelfWithContext(ctx)
	}
	if err = w.server.missed(got, err); err == nil {
		err = w.server.refusedSelf(call, got)
	}
	if err != nil {
		return life{}, err
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
		return life{}, fault.New(fault.Unavailable, "%s answered with JSON that is not Vault's", w.server.name()).Permanently()
	case call == renewSelf:
		return life{start.Add(time.Duration(reply.Auth.LeaseDuration) * time.Second), reply.Auth.Renewable,
			strings.Contains(strings.Join(reply.Warnings, " "), "max_ttl")}, nil
	case reply.Data.ExpireTime == nil:
		return life{}, nil
	}
	// The time that is left does not depend on the clocks, as the end does.
	return life{ends: start.Add(time.Duration(reply.Data.TTL) * time.Second), renewable: reply.Data.Renewable}, nil
}

// refusedSelf says why a token learns nothing about itself.
func (s *server) refusedSelf(call string, got answer) error {
	if err := s.foreign(got); err != nil {
		return err
	}
	said := spoken(got.body)
	switch {
	case got.status == http.StatusOK:
		return nil
	case passing(got.status):
		return s.unavailable(got)
	case unknownToken(got.status, said):
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

// stamp is a time for the log.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
