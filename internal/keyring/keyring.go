// Package keyring stores named secrets, encrypted under data keys. It knows which
// key encrypts, finds the key that decrypts a record, and counts encryptions.
// Package rotate changes the keys.
package keyring

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// createPollInterval is how often Open looks whether another process has finished
// creating the keyring.
const createPollInterval = 10 * time.Millisecond

// RootKeys supplies the root keys, which wrap data keys. Package rootkey has
// implementations.
type RootKeys interface {
	// All returns the root keys that may have wrapped the data keys. It may return
	// some of them along with an error that says what is missing.
	All(ctx context.Context) ([]*seal.Root, error)

	// Initial returns the root key for a new keyring.
	Initial(ctx context.Context) (*seal.Root, error)

	// Recover finishes an interrupted change of the root key.
	Recover(ctx context.Context, store store.Store)

	// Stage stores the text of the next root key beside the current one, before
	// the data keys are wrapped with it. Commit has to be called first.
	Stage(text string, root *seal.Root) error

	// Commit makes the root key with the fingerprint, which wraps the data keys,
	// the only one. The caller must hold the lease.
	Commit(f seal.Fingerprint) error
}

// Settings configure a Keyring.
type Settings struct {
	Store store.Store

	// Roots are the root keys that may have wrapped the data keys.
	Roots RootKeys

	// Audit, if not nil, is called after each audit event has been stored.
	Audit func(context.Context, store.Event)

	Log *slog.Logger
}

// Keyring is safe for concurrent use.
type Keyring struct {
	store store.Store
	roots RootKeys
	audit func(context.Context, store.Event)
	log   *slog.Logger

	loading *semaphore.Weighted // guards loading and replacing cached

	mu     sync.RWMutex
	cached *keySet

	reserving *semaphore.Weighted // guards reserving encryptions in the store
	reserved  reservation         // under mu
}

// keySet is the key table as it was last loaded from the store.
type keySet struct {
	root   *seal.Root
	active seal.KeyID
	byID   map[seal.KeyID]*dataKey
}

// dataKey is unwrapped on first use, so that a damaged key affects only the
// records under it.
type dataKey struct {
	wrapped []byte
	unwrap  func() (*seal.Key, error)
}

// reservation counts the encryptions that the store has reserved for this process
// and that are not used yet.
type reservation struct {
	key seal.KeyID
	n   uint64
}

// Open returns the Keyring in the store. It creates the keyring if there is none.
func Open(ctx context.Context, s Settings) (*Keyring, error) {
	k := &Keyring{store: s.Store, roots: s.Roots, audit: s.Audit, log: s.Log,
		loading: semaphore.NewWeighted(1), reserving: semaphore.NewWeighted(1)}
	k.roots.Recover(ctx, k.store)
	keys, err := k.load(ctx, nil)
	if errors.Is(err, store.ErrEmpty) {
		if err = k.create(ctx); err == nil {
			keys, err = k.load(ctx, nil)
		}
	}
	if err != nil {
		return nil, err
	}
	k.cached = keys
	return k, nil
}

// create makes the keyring with its first key, or waits until another process has
// done so.
func (k *Keyring) create(ctx context.Context) error {
	lease, err := k.store.Acquire(ctx)
	for errors.Is(err, fault.RotationInProgress) {
		if _, err := k.store.Load(ctx); !errors.Is(err, store.ErrEmpty) {
			return err
		}
		select {
		case <-ctx.Done():
			return contextError(ctx.Err())
		case <-time.After(createPollInterval):
		}
		lease, err = k.store.Acquire(ctx)
	}
	if err != nil {
		return err
	}
	defer lease.Release(ctx)
	if _, err := k.store.Load(ctx); !errors.Is(err, store.ErrEmpty) {
		return err
	}
	root, err := k.roots.Initial(ctx)
	if err != nil {
		return err
	}
	first := seal.NewKey()
	wrapped := store.Key{ID: first.ID(), Wrapped: root.Wrap(first)}
	e := store.Event{Actor: Actor(ctx), Action: Create, Outcome: Done, Keys: []seal.KeyID{first.ID()}}
	created, err := k.store.Create(ctx, root.Fingerprint(), wrapped, e)
	if created {
		k.Notify(ctx, e)
	}
	return err
}

// load reads the key table. It takes over keys of previous that did not change,
// so that they need not be unwrapped again.
func (k *Keyring) load(ctx context.Context, previous *keySet) (*keySet, error) {
	stored, err := k.store.Load(ctx)
	if err != nil {
		return nil, err
	}
	root, err := k.findRoot(ctx, stored.Root)
	if err != nil {
		return nil, err
	}
	keys := &keySet{root: root, byID: make(map[seal.KeyID]*dataKey, len(stored.Keys))}
	if active := stored.Active(); active != nil {
		keys.active = active.ID
	}
	for _, s := range stored.Keys {
		if previous != nil {
			if old := previous.byID[s.ID]; old != nil && string(old.wrapped) == string(s.Wrapped) {
				keys.byID[s.ID] = old
				continue
			}
		}
		unwrap := sync.OnceValues(func() (*seal.Key, error) { return root.Unwrap(s.ID, s.Wrapped) })
		keys.byID[s.ID] = &dataKey{s.Wrapped, unwrap}
	}
	return keys, nil
}

// findRoot returns the root key with the fingerprint.
func (k *Keyring) findRoot(ctx context.Context, f seal.Fingerprint) (*seal.Root, error) {
	candidates, err := k.roots.All(ctx)
	var given []string
	for _, root := range candidates {
		if root.Fingerprint() == f {
			return root, nil
		}
		given = append(given, root.Fingerprint().String())
	}
	if err != nil {
		return nil, err
	}
	return nil, fault.New(fault.RootKey,
		"the data keys are wrapped with the root key of fingerprint %s, "+
			"but the root key given has fingerprint %s: was the root key changed, or does it belong to "+
			"another keyring?",
		f, strings.Join(given, " and "))
}

// Reload loads the key table again.
func (k *Keyring) Reload(ctx context.Context) error { return k.reload(ctx, k.current()) }

// reload replaces the stale key table, unless another call has already replaced
// it.
func (k *Keyring) reload(ctx context.Context, stale *keySet) error {
	if err := k.loading.Acquire(ctx, 1); err != nil {
		return contextError(err)
	}
	defer k.loading.Release(1)
	if k.current() != stale {
		return nil
	}
	keys, err := k.load(ctx, stale)
	if err != nil {
		return store.AsCorrupt(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cached = keys
	return nil
}

func (k *Keyring) current() *keySet {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.cached
}

// Root returns the root key that currently wraps the data keys.
func (k *Keyring) Root() *seal.Root { return k.current().root }

// Roots returns the source of the root keys.
func (k *Keyring) Roots() RootKeys { return k.roots }

// Store returns the store that the keyring is in.
func (k *Keyring) Store() store.Store { return k.store }

// Key returns the data key with the id. The error is fault.Corrupt if the keyring
// has no such key.
func (k *Keyring) Key(ctx context.Context, id seal.KeyID) (*seal.Key, error) {
	keys := k.current()
	key := keys.byID[id]
	if key == nil {
		if err := k.reload(ctx, keys); err != nil {
			return nil, err
		}
		if key = k.current().byID[id]; key == nil {
			return nil, fault.New(fault.Corrupt,
				"the record is encrypted under key %s, which is not in the keyring", id)
		}
	}
	return key.unwrap()
}

func contextError(err error) error {
	return fault.New(fault.Unavailable, "the context ended while the keyring was busy").WithCause(err)
}
