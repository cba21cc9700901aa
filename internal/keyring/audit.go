package keyring

import (
	"context"
	"time"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// The actions that the audit log records.
const (
	Create         = "create"
	Rotate         = "rotate"
	DeleteInactive = "delete-inactive"
	ChangeRoot     = "change-root"
)

// The outcomes of an action. If a started action has no later outcome, its process
// was killed.
const (
	Started = "started"
	Done    = "done"
	Refused = "refused"
	Failed  = "failed"
)

// auditTimeout limits how long RecordFailure tries to store its event.
const auditTimeout = 5 * time.Second

type actorKey struct{}

// WithActor returns a context that carries the actor's name for the audit log.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// Actor returns the actor's name, or "" if the context has none.
func Actor(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return actor
}

// Notify logs an event that was stored, and passes it to the audit callback.
func (k *Keyring) Notify(ctx context.Context, e store.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	k.log.InfoContext(ctx, "keyring", "action", e.Action, "outcome", e.Outcome, "actor", e.Actor,
		"keys", keyNames(e.Keys), "detail", e.Detail)
	if k.audit != nil {
		k.audit(ctx, e)
	}
}

// RecordFailure stores the event of an action that failed, and so has no
// transaction of its own to store it. If the event cannot be stored, that is
// logged.
func (k *Keyring) RecordFailure(ctx context.Context, e store.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	stored, err := k.store.RecordEvent(ctx, e)
	if err != nil {
		k.log.ErrorContext(ctx, "keyring: the audit log could not be written", "error", err.Error())
		stored = e
	}
	k.Notify(ctx, stored)
}

func keyNames(ids []seal.KeyID) []string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	return names
}
