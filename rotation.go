package secretref

import (
	"context"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// A KeyState is the state of a data key.
type KeyState string

// The states of a data key.
const (
	KeyActive   = KeyState(store.Active)   // encrypts new secrets; there is exactly one active key
	KeyRetiring = KeyState(store.Retiring) // a rotation is moving its secrets to the active key
	KeyInactive = KeyState(store.Inactive) // encrypts no secret and can be deleted
)

// KeyInfo describes a data key.
type KeyInfo struct {
	ID    string // 16 hexadecimal digits
	State KeyState

	// The times at which the key was created, became active and ceased to be active,
	// in UTC by the clock of the store. A time is zero if it has not come yet.
	Created, Activated, Deactivated time.Time

	Secrets int // the number of secrets that are encrypted with the key

	// Encryptions is an upper bound of the number of encryptions with the key, which is
	// limited to 2^32. Encryptions are counted in blocks of 1024.
	Encryptions uint64
}

// Keys returns all data keys, the oldest first.
func (k *Keyring) Keys(ctx context.Context) ([]KeyInfo, error) {
	return k.keys(ctx, func(store.Key) bool { return true })
}

// Inactive returns the inactive data keys, the oldest first.
func (k *Keyring) Inactive(ctx context.Context) ([]KeyInfo, error) {
	return k.keys(ctx, func(key store.Key) bool { return key.State == store.Inactive })
}

func (k *Keyring) keys(ctx context.Context, wanted func(store.Key) bool) ([]KeyInfo, error) {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return nil, keyringError(err)
	}
	defer done()
	stored, err := k.open().keyring.Store().Load(ctx)
	if err != nil {
		return nil, keyringError(err)
	}
	counts, err := k.open().keyring.Store().Count(ctx)
	if err != nil {
		return nil, keyringError(err)
	}
	var infos []KeyInfo
	for _, key := range stored.Keys {
		if wanted(key) {
			infos = append(infos, toKeyInfo(key, counts[key.ID]))
		}
	}
	return infos, nil
}

func toKeyInfo(key store.Key, secrets int) KeyInfo {
	return KeyInfo{
		ID:          key.ID.String(),
		State:       KeyState(key.State),
		Created:     key.Created,
		Activated:   key.Activated,
		Deactivated: key.Deactivated,
		Secrets:     secrets,
		Encryptions: key.Encryptions,
	}
}

// A Rotation is the result of a rotation.
type Rotation struct {
	From, To string   // the ids of the old and the new key; empty if nothing was changed
	Moved    int      // the number of secrets that were encrypted again, with the key To
	Blocked  []string // the names of secrets that cannot be decrypted
}

// Rotate creates a new active key, encrypts every secret with it, and makes the old key
// inactive. Readers and writers continue meanwhile. Only one rotation runs at a time
// across all nodes; other calls return ErrRotationInProgress.
//
// If a secret cannot be decrypted, Rotate changes nothing, returns
// ErrRotationBlocked, and names the secret in Blocked. A rotation that ends early, for
// whatever reason, is recorded and loses nothing. The next call of Rotate completes it
// and does not start another one.
func (k *Keyring) Rotate(ctx context.Context) (Rotation, error) {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return Rotation{}, keyringError(err)
	}
	defer done()
	r, err := k.open().rotator.Rotate(ctx)
	return toRotation(r), keyringError(err)
}

// RotateIfOlder rotates if the active key was activated at least age ago, or if a
// rotation has to be completed. It returns false if there was nothing to do, or if
// another node is rotating, so that all nodes can call it on the same schedule.
func (k *Keyring) RotateIfOlder(ctx context.Context, age time.Duration) (Rotation, bool, error) {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return Rotation{}, false, keyringError(err)
	}
	defer done()
	r, rotated, err := k.open().rotator.IfOlder(ctx, age)
	return toRotation(r), rotated, keyringError(err)
}

// DeleteInactive deletes all inactive keys and returns them. A backup that was made
// earlier still contains them, and can be opened as a whole with the root key of that
// time. A single encrypted secret that was copied out of such a backup can no longer be
// decrypted.
//
// DeleteInactive returns ErrRotationBlocked if a secret is still encrypted with one of
// the keys. This can only happen if the database was modified by hand.
func (k *Keyring) DeleteInactive(ctx context.Context) ([]KeyInfo, error) {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return nil, keyringError(err)
	}
	defer done()
	deleted, err := k.open().rotator.DeleteInactive(ctx)
	var infos []KeyInfo
	for _, key := range deleted {
		infos = append(infos, toKeyInfo(key, 0))
	}
	return infos, keyringError(err)
}

// ChangeRootKey wraps all data keys with newRoot. The secrets are not encrypted again.
//
// A FileStore without KeyringOptions.RootKey replaces its root key file. In all other
// cases, open the keyring with newRoot as RootKey from then on. Nodes that keep running
// during the change must have been opened with newRoot as RootKey and the old key as
// PreviousRootKey.
//
// Errors: ErrRootKey, ErrRotationInProgress.
func (k *Keyring) ChangeRootKey(ctx context.Context, newRoot Secret) error {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return keyringError(err)
	}
	defer done()
	if newRoot.state() == unmarshaled {
		return keyringError(fault.New(fault.RootKey,
			"the new root key was unmarshaled and never resolved: call ResolveStruct first"))
	}
	return keyringError(k.open().rotator.ChangeRoot(ctx, newRoot.text()))
}

func toRotation(r rotate.Rotation) Rotation {
	p := Rotation{Moved: r.Moved, Blocked: r.Blocked}
	if r.To != 0 {
		p.From, p.To = r.From.String(), r.To.String()
	}
	return p
}
