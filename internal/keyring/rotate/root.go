package rotate

import (
	"context"
	"strings"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// undoTimeout limits how long undoStage tries to find out which root key is in use.
const undoTimeout = 5 * time.Second

// ChangeRoot wraps all keys under another root key.
func (r *Rotator) ChangeRoot(ctx context.Context, text string) error {
	next, err := seal.ParseRoot(text)
	if err != nil {
		return r.recordFailure(ctx, keyring.ChangeRoot, nil, err)
	}
	return r.withLease(ctx, keyring.ChangeRoot, func(l *lockedRotation) error {
		return l.changeRoot(ctx, strings.TrimSpace(text), next)
	})
}

// changeRoot stores the new root key before the data keys are wrapped with it, and
// makes it the current one afterwards.
func (l *lockedRotation) changeRoot(ctx context.Context, text string, next *seal.Root) error {
	if err := l.Reload(ctx); err != nil {
		return err
	}
	root := l.Root()
	if root.Fingerprint() == next.Fingerprint() {
		return nil
	}
	stored, err := l.Store().Load(ctx)
	if err != nil {
		return store.AsCorrupt(err)
	}
	wrapped := make(map[seal.KeyID][]byte, len(stored.Keys))
	for _, k := range stored.Keys {
		key, err := root.Unwrap(k.ID, k.Wrapped)
		if err != nil {
			return err
		}
		wrapped[k.ID] = next.Wrap(key)
		l.keys = append(l.keys, k.ID)
	}
	// A root key that was staged earlier may be the one in use, and its only copy.
	if err := l.Roots().Commit(root.Fingerprint()); err != nil {
		return err
	}
	if err := l.Roots().Stage(text, next); err != nil {
		return err
	}
	e := l.event(ctx, keyring.ChangeRoot, keyring.Done, "from the root key of fingerprint %s to %s",
		root.Fingerprint(), next.Fingerprint())
	if err := l.lease.Rewrap(ctx, root.Fingerprint(), next.Fingerprint(), wrapped, e); err != nil {
		if rewrapped := l.undoStage(ctx, root); !rewrapped {
			return changedError(err)
		}
	}
	l.began = true
	l.Notify(ctx, e)
	if err := l.Roots().Commit(next.Fingerprint()); err != nil {
		return fault.New(fault.Unavailable,
			"the keys are wrapped with the new root key, but its file could not be renamed: "+
				"keep both files; opening the keyring tries again").WithCause(err)
	}
	return l.Reload(ctx)
}

// undoStage removes the new root key if the store still uses root, and reports
// whether the keys were rewrapped in spite of the error. If the store does not
// answer, both root keys stay, and opening the keyring finds the right one.
func (l *lockedRotation) undoStage(ctx context.Context, root *seal.Root) (rewrapped bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	stored, err := l.Store().Load(ctx)
	if err != nil {
		return false
	}
	if stored.Root != root.Fingerprint() {
		return true
	}
	_ = l.Roots().Commit(stored.Root) // an additional root key does no harm
	return false
}
