// Package rotate changes the keys of a keyring: it replaces the active key and moves
// all records to the new one, deletes keys that no record needs, and wraps the keys
// under another root key. Wherever it is killed nothing is lost, and the next
// rotation finishes the one in progress.
package rotate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

const (
	// maxPageRecords and maxPageBytes bound what one transaction moves. So they bound
	// how long others wait for it and, with up to three pages in memory, the memory
	// that a rotation needs.
	maxPageRecords = 1000
	maxPageBytes   = 4 << 20

	// headroom is how many encryptions are reserved under the new key beyond those of
	// the rotation itself.
	headroom = 1024

	// renewAfter is how old a lease may become while nothing is written. It expires
	// after 15 seconds.
	renewAfter = 3 * time.Second

	// maxClockSkew is how far in the future the active key may have been activated. A
	// key from further ahead is rotated, since its age cannot be trusted.
	maxClockSkew = time.Hour
)

// Rotation is the result of a rotation.
type Rotation struct {
	From, To seal.KeyID
	Moved    int      // number of records
	Blocked  []string // names of the records that cannot be decrypted
}

// Rotator is safe for concurrent use.
type Rotator struct {
	Keyring *keyring.Keyring

	// Progress, if not nil, is called with the number of records moved so far.
	Progress func(done, total int)

	// Stop, when closed, ends a rotation between two transactions.
	Stop <-chan struct{}

	pageRecords int // records per transaction; if 0, maxPageRecords
}

// Rotate makes a new active key and moves all records to it, or finishes the
// rotation in progress. It returns fault.RotationInProgress if another process is
// changing keys, and fault.RotationBlocked if records cannot be decrypted.
func (r *Rotator) Rotate(ctx context.Context) (Rotation, error) {
	var done Rotation
	err := r.withLease(ctx, keyring.Rotate, func(l *lockedRotation) error {
		var err error
		done, err = l.rotate(ctx, r.Progress)
		return err
	})
	return done, err
}

// IfOlder rotates if the active key was activated at least age ago, or if a rotation
// was interrupted. If another node is rotating now, it
// does nothing.
func (r *Rotator) IfOlder(ctx context.Context, age time.Duration) (done Rotation, rotated bool,
	err error) {
	if due, err := r.isDue(ctx, age); err != nil || !due {
		return Rotation{}, false, err
	}
	lease, err := r.Keyring.Store().Acquire(ctx)
	if errors.Is(err, fault.RotationInProgress) {
		return Rotation{}, false, nil
	}
	if err != nil {
		return Rotation{}, false, r.recordFailure(ctx, keyring.Rotate, nil, err)
	}
	err = r.runLocked(ctx, lease, keyring.Rotate, func(l *lockedRotation) error {
		// Another node may have rotated just before this one got the lease.
		due, err := r.isDue(ctx, age)
		if err != nil || !due {
			return err
		}
		rotated = true
		done, err = l.rotate(ctx, r.Progress)
		return err
	})
	return done, rotated && err == nil, err
}

func (r *Rotator) isDue(ctx context.Context, age time.Duration) (bool, error) {
	keys, err := r.Keyring.Store().Load(ctx)
	if err != nil {
		return false, store.AsCorrupt(err)
	}
	active := keys.Active()
	if active == nil {
		return true, nil
	}
	elapsed := keys.Now.Sub(active.Activated)
	return keys.Retiring() != nil || elapsed >= age || elapsed < -maxClockSkew, nil
}

// DeleteInactive deletes all inactive keys and returns them.
func (r *Rotator) DeleteInactive(ctx context.Context) ([]store.Key, error) {
	e := store.Event{Actor: keyring.Actor(ctx), Action: keyring.DeleteInactive, Outcome: keyring.Done}
	deleted, err := r.Keyring.Store().DeleteInactive(ctx, e)
	if errors.Is(err, store.ErrInUse) {
		err = fault.New(fault.RotationBlocked,
			"a secret is still stored under an inactive key: rotate, which moves it to the active key")
	}
	if err != nil {
		return nil, r.recordFailure(ctx, keyring.DeleteInactive, nil, err)
	}
	for _, k := range deleted {
		e.Keys = append(e.Keys, k.ID)
	}
	r.Keyring.Notify(ctx, e)
	return deleted, nil
}

// withLease runs work while it holds the lease, and records its failure.
func (r *Rotator) withLease(ctx context.Context, action string,
	work func(*lockedRotation) error) error {
	lease, err := r.Keyring.Store().Acquire(ctx)
	if err != nil {
		return r.recordFailure(ctx, action, nil, err)
	}
	return r.runLocked(ctx, lease, action, work)
}

// runLocked runs work under the lease, releases it, and records a failure.
func (r *Rotator) runLocked(ctx context.Context, lease store.Lease, action string,
	work func(*lockedRotation) error) error {
	defer lease.Release(ctx)
	l := &lockedRotation{Keyring: r.Keyring, lease: lease, renewed: time.Now(), stop: r.Stop,
		pageRecords: cmp.Or(r.pageRecords, maxPageRecords)}
	return r.recordFailure(ctx, action, l, work(l))
}

// recordFailure records err, unless it is nil, in the audit log, and returns it.
func (r *Rotator) recordFailure(ctx context.Context, action string, l *lockedRotation,
	err error) error {
	if err == nil {
		return nil
	}
	e := store.Event{Actor: keyring.Actor(ctx), Action: action, Outcome: keyring.Failed,
		Detail: err.Error()}
	for _, kind := range []error{fault.RotationInProgress, fault.RotationBlocked, fault.RootKey} {
		if errors.Is(err, kind) {
			e.Outcome = keyring.Refused
		}
	}
	if l != nil {
		e.Keys = l.keys
		if l.began {
			e.Outcome = keyring.Failed
		}
	}
	r.Keyring.RecordFailure(ctx, e)
	return err
}

// lockedRotation is a change of the keys under the lease.
type lockedRotation struct {
	*keyring.Keyring
	lease       store.Lease
	renewed     time.Time
	stop        <-chan struct{}
	pageRecords int

	// For the audit log.
	keys  []seal.KeyID // the keys concerned
	began bool         // something has been changed
	note  string
}

// checkpoint is called between two transactions. It returns an error if the work is
// to stop, and renews the lease when that is due.
func (l *lockedRotation) checkpoint(ctx context.Context) error {
	select {
	case <-l.stop:
		return fault.New(fault.Unavailable,
			"the keyring was closed; the next rotation continues from here").Permanently()
	case <-ctx.Done():
		return interrupted(ctx)
	default:
	}
	if time.Since(l.renewed) < renewAfter {
		return nil
	}
	l.renewed = time.Now()
	return l.lease.Renew(ctx)
}

func interrupted(ctx context.Context) error {
	return fault.New(fault.Unavailable,
		"the context ended; the next rotation continues from here").WithCause(ctx.Err())
}

// changedError returns fault.RotationInProgress for errors that mean that another
// process has changed the keys.
func changedError(err error) error {
	if errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrNotActive) {
		return fault.New(fault.RotationInProgress, "another process has changed the keys in the meantime")
	}
	return err
}

func (l *lockedRotation) event(ctx context.Context, action, outcome string, format string,
	args ...any) store.Event {
	return store.Event{Actor: keyring.Actor(ctx), Action: action, Outcome: outcome, Keys: l.keys,
		Detail: fmt.Sprintf(format, args...)}
}
