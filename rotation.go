package secretref

import (
	"context"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// A KeyState is where a key is in its life.
type KeyState string

// The states.
const (
	KeyActive   = KeyState(store.Active)   // seals what is stored; there is exactly one
	KeyRetiring = KeyState(store.Retiring) // a rotation takes the secrets from it
	KeyInactive = KeyState(store.Inactive) // no secret needs it; it can be deleted
)

// KeyInfo tells about a key.
type KeyInfo struct {
	ID    string // 16 hexadecimal digits
	State KeyState

	// When it was made, began to seal and ceased to, by the store's clock,
	// in UTC; zero if it has not.
	Created, Activated, Deactivated time.Time

	Secrets     int    // how many secrets are sealed with it
	Encryptions uint64 // at most how often it has sealed, of 2^32 times; counted in blocks of 1024
}

// Keys returns all keys, the oldest first.
func (k *Keyring) Keys(ctx context.Context) ([]KeyInfo, error) {
	return k.keys(ctx, func(store.Key) bool { return true })
}

// Inactive returns the inactive keys, the oldest first.
func (k *Keyring) Inactive(ctx context.Context) ([]KeyInfo, error) {
	return k.keys(ctx, func(key store.Key) bool { return key.State == store.Inactive })
}

func (k *Keyring) keys(ctx context.Context, wanted func(store.Key) bool) ([]KeyInfo, error) {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return nil, keyringError(err)
	}
	defer done()
	stored, err := k.open().ring.Store().Load(ctx)
	if err != nil {
		return nil, keyringError(err)
	}
	boxes, err := k.open().ring.Store().Count(ctx)
	if err != nil {
		return nil, keyringError(err)
	}
	var infos []KeyInfo
	for _, key := range stored.Keys {
		if wanted(key) {
			infos = append(infos, toKeyInfo(key, boxes[key.ID]))
		}
	}
	return infos, nil
}

func toKeyInfo(key store.Key, boxes int) KeyInfo {
	return KeyInfo{key.ID.String(), KeyState(key.State), key.Created, key.Activated, key.Deactivated, boxes, key.Encryptions}
}

// A Rotation tells what a rotation did.
type Rotation struct {
	From, To string   // the ids of the keys; empty if nothing was changed
	Moved    int      // how many secrets were sealed anew with the key To
	Blocked  []string // the names of secrets that cannot be opened
}

// Rotate makes a new key the active one, seals every secret with it, and makes
// the old one inactive. Readers and writers go on meanwhile. Only one rotation
// runs at a time, on one of all nodes: the others get ErrRotationInProgress.
//
// If a secret cannot be opened nothing is changed: ErrRotationBlocked, and
// Blocked names it. A rotation that ends early, for whatever reason, is
// recorded and loses nothing; the next Rotate finishes it, and does no more.
func (k *Keyring) Rotate(ctx context.Context) (Rotation, error) {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return Rotation{}, keyringError(err)
	}
	defer done()
	r, err := k.open().rotator.Rotate(ctx)
	return toRotation(r), keyringError(err)
}

// RotateIfOlder rotates if the active key was activated at least age ago, or if
// a rotation has to be finished. It returns false if there was nothing to do,
// also since another node is rotating, so that all nodes may call it on the
// same schedule.
func (k *Keyring) RotateIfOlder(ctx context.Context, age time.Duration) (Rotation, bool, error) {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return Rotation{}, false, keyringError(err)
	}
	defer done()
	r, rotated, err := k.open().rotator.IfOlder(ctx, age)
	return toRotation(r), rotated, keyringError(err)
}

// DeleteInactive deletes all inactive keys and returns them. A backup made
// earlier still has them, and opens as a whole with the root key of its time; a
// single sealed secret copied out of it does not open any more. It is
// ErrRotationBlocked if a secret is still sealed with one of them, which takes
// a hand in the database.
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

// ChangeRootKey wraps all keys with newRoot. The secrets stay as they are. A
// FileStore without RootKey replaces its file; otherwise newRoot is the
// RootKey to open the keyring with from now on, and nodes that run on need to
// have been opened with it as RootKey and the old one as PreviousRootKey.
// Errors: ErrRootKey, ErrRotationInProgress.
func (k *Keyring) ChangeRootKey(ctx context.Context, newRoot Secret) error {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return keyringError(err)
	}
	defer done()
	if newRoot.state() == unmarshalled {
		return keyringError(fault.New(fault.RootKey, "the new root key was unmarshalled and never resolved: call ResolveStruct first"))
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
