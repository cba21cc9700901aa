package secretref

import (
	"context"
	"iter"
	"time"

	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// WithActor returns a context that says who acts, for the audit log.
func WithActor(ctx context.Context, actor string) context.Context {
	return keyring.WithActor(ctx, actor)
}

// An AuditEvent is a line of the audit log.
type AuditEvent struct {
	Time    time.Time // in UTC
	Actor   string    // who: see [WithActor] and [Keyring.Handler]; may be empty
	Action  string    // "create", "rotate", "delete-inactive" or "change-root"
	Outcome string    // "started", "done", "refused" or "failed"; started and no more: it was killed
	Keys    []string  // the ids of the keys that it is about
	Detail  string    // for people
}

func toAuditEvent(e store.Event) AuditEvent {
	p := AuditEvent{Time: e.Time, Actor: e.Actor, Action: e.Action, Outcome: e.Outcome, Detail: e.Detail}
	for _, id := range e.Keys {
		p.Keys = append(p.Keys, id.String())
	}
	return p
}

// AuditLog yields the audit log, the oldest event first: every change of keys,
// and those that were refused or failed. It ends after yielding an error.
func (k *Keyring) AuditLog(ctx context.Context) iter.Seq2[AuditEvent, error] {
	const page = 500
	return func(yield func(AuditEvent, error) bool) {
		for after := int64(0); ; {
			events, err := k.events(ctx, after, page)
			if err != nil {
				yield(AuditEvent{}, keyringError(err))
				return
			}
			for _, e := range events {
				if !yield(toAuditEvent(e), nil) {
					return
				}
				after = e.Seq
			}
			if len(events) < page {
				return
			}
		}
	}
}

func (k *Keyring) events(ctx context.Context, after int64, limit int) ([]store.Event, error) {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return k.open().ring.Store().Events(ctx, after, limit)
}
