package keyring

import "context"

// What the audit log records.
const (
	Create         = "create"
	Rotate         = "rotate"
	DeleteInactive = "delete-inactive"
	ChangeRoot     = "change-root"
)

// How it ended. Something that was started and neither done, refused nor failed
// was killed.
const (
	Started = "started"
	Done    = "done"
	Refused = "refused"
	Failed  = "failed"
)

type actorKey struct{}

// WithActor returns a context that says who acts.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// Actor returns who acts, or "".
func Actor(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return actor
}
