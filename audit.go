package secretref

import (
	"context"
	"iter"
	"time"

	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// WithActor returns a context that names the actor of the changes made with it, for the
// audit log.
func WithActor(ctx context.Context, actor string) context.Context {
	return keyring.WithActor(ctx, actor)
}

// An AuditEvent is an entry of the audit log.
type AuditEvent struct {
	Time   time.Time // in UTC
	Actor  string    // see [WithActor] and [Keyring.Handler]; may be empty
	Action string    // "create", "rotate", "delete-inactive" or "change-root"

	// Outcome is "started", "done", "refused" or "failed". A "started" event without a
	// later outcome means that the process was killed.
	Outcome string

	Keys   []string // the ids of the keys concerned
	Detail string   // an explanation for people; its text may change
}

func toAuditEvent(e store.Event) AuditEvent {
	p := AuditEvent{Time: e.Time, Actor: e.Actor, Action: e.Action, Outcome: e.Outcome,
		Detail: e.Detail}
	for _, id := range e.Keys {
		p.Keys = append(p.Keys, id.String())
	}
	return p
}

// AuditLog yields the audit log, the oldest event first: every change of the keys, and
// every change that was refused or failed. It ends after yielding an error.
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
	return k.open().keyring.Store().Events(ctx, after, limit)
}
