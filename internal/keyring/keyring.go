// Package ring keeps texts in a store, sealed: it knows which key encryptions, finds
// the key that opens a record, and counts the seals. Package rotate changes the
// keys.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/semaphore"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

const (
	// MaxName is the longest name of a secret, in bytes.
	MaxName = 1024

	// block is how many seals are reserved at a time: what a process has not
	// used when it ends is lost of 2^32.
	block = 1024

	// most is how often a call starts anew because the keys have changed under
	// it, which takes a rotation each time.
	most = 100
)

// Settings say what a Ring works on.
type Settings struct {
	Store store.Store

	// Roots are the root keys that may have wrapped the keys; the first wraps
	// those of a new keyring.
	Roots RootKeys

	// Audit is told of every event that was recorded. It may be nil.
	Audit func(context.Context, store.Event)

	Log *slog.Logger
}

// Keyring is safe for concurrent use.
type Keyring struct {
	store store.Store
	roots RootKeys
	audit func(context.Context, store.Event)
	log   *slog.Logger

	loading *semaphore.Weighted // held by whoever replaces known

	mu    sync.RWMutex
	known *keys

	reserving *semaphore.Weighted // held by whoever reserves seals
	left      seals               // under mu
}

// keys is what the store held when it was last asked.
type keys struct {
	root   *seal.Root
	active seal.KeyID
	byID   map[seal.KeyID]*key
}

// key is a key that is unwrapped when it is first needed, so that a damaged one
// stops only what needs it.
type key struct {
	wrapped []byte
	unwrap  func() (*seal.Key, error)
}

// seals are those reserved for a key and not yet made.
type seals struct {
	key seal.KeyID
	n   uint64
}

// Open returns the Ring in the store, which it makes if there is none.
func Open(ctx context.Context, s Settings) (*Keyring, error) {
	r := &Keyring{store: s.Store, roots: s.Roots, audit: s.Audit, log: s.Log,
		loading: semaphore.NewWeighted(1), reserving: semaphore.NewWeighted(1)}
	r.roots.Recover(ctx, r.store)
	known, err := r.load(ctx, nil)
	if errors.Is(err, store.ErrEmpty) {
		if err = r.create(ctx); err == nil {
			known, err = r.load(ctx, nil)
		}
	}
	if err != nil {
		return nil, err
	}
	r.known = known
	return r, nil
}

// create makes the keyring with its first key, or waits until somebody else has
// done so.
func (r *Keyring) create(ctx context.Context) error {
	lease, err := r.store.Acquire(ctx)
	for errors.Is(err, fault.RotationInProgress) {
		if _, err := r.store.Load(ctx); !errors.Is(err, store.ErrEmpty) {
			return err
		}
		select {
		case <-ctx.Done():
			return ended(ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
		lease, err = r.store.Acquire(ctx)
	}
	if err != nil {
		return err
	}
	defer lease.Release(ctx)
	if _, err := r.store.Load(ctx); !errors.Is(err, store.ErrEmpty) {
		return err
	}
	root, err := r.roots.Initial(ctx)
	if err != nil {
		return err
	}
	first := seal.NewKey()
	e := store.Event{Actor: Actor(ctx), Action: Create, Outcome: Done, Keys: []seal.KeyID{first.ID()}}
	created, err := r.store.Create(ctx, root.Fingerprint(), store.Key{ID: first.ID(), Wrapped: root.Wrap(first)}, e)
	if created {
		r.Notify(ctx, e)
	}
	return err
}

// load asks the store for the keys. Those of before need not be unwrapped
// again.
func (r *Keyring) load(ctx context.Context, before *keys) (*keys, error) {
	stored, err := r.store.Load(ctx)
	if err != nil {
		return nil, err
	}
	root, err := r.root(ctx, stored.Root)
	if err != nil {
		return nil, err
	}
	now := &keys{root: root, byID: make(map[seal.KeyID]*key, len(stored.Keys))}
	if active := stored.Active(); active != nil {
		now.active = active.ID
	}
	for _, k := range stored.Keys {
		if before != nil {
			if old := before.byID[k.ID]; old != nil && string(old.wrapped) == string(k.Wrapped) {
				now.byID[k.ID] = old
				continue
			}
		}
		now.byID[k.ID] = &key{k.Wrapped, sync.OnceValues(func() (*seal.Key, error) { return root.Unwrap(k.ID, k.Wrapped) })}
	}
	return now, nil
}

// root returns the root key with the fingerprint.
func (r *Keyring) root(ctx context.Context, f seal.Fingerprint) (*seal.Root, error) {
	candidates, err := r.roots.All(ctx)
	var have []string
	for _, root := range candidates {
		if root.Fingerprint() == f {
			return root, nil
		}
		have = append(have, root.Fingerprint().String())
	}
	if err != nil {
		return nil, err
	}
	return nil, fault.New(fault.RootKey, "the keys are wrapped with the root key of fingerprint %s, and given is %s: was the root key changed, or is this another keyring's?",
		f, strings.Join(have, " and "))
}

// Reload asks the store for the keys again.
func (r *Keyring) Reload(ctx context.Context) error { return r.reload(ctx, r.current()) }

// reload replaces the keys that turned out to be stale, unless somebody else
// has done so.
func (r *Keyring) reload(ctx context.Context, stale *keys) error {
	if err := r.loading.Acquire(ctx, 1); err != nil {
		return ended(err)
	}
	defer r.loading.Release(1)
	if r.current() != stale {
		return nil
	}
	now, err := r.load(ctx, stale)
	if errors.Is(err, store.ErrEmpty) {
		err = fault.New(fault.Corrupt, "the keyring is no longer in its store: was the database replaced?")
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = now
	return nil
}

func (r *Keyring) current() *keys {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.known
}

// Root returns the root key that wraps keys now.
func (r *Keyring) Root() *seal.Root { return r.current().root }

// Store returns where the keys are.
func (r *Keyring) Store() store.Store { return r.store }

// Roots returns where the root keys come from.
func (r *Keyring) Roots() RootKeys { return r.roots }

// Key returns the key with the id; the error is fault.Corrupt if there is none.
func (r *Keyring) Key(ctx context.Context, id seal.KeyID) (*seal.Key, error) {
	known := r.current()
	k := known.byID[id]
	if k == nil {
		if err := r.reload(ctx, known); err != nil {
			return nil, err
		}
		if k = r.current().byID[id]; k == nil {
			return nil, fault.New(fault.Corrupt, "the record was sealed with key %s, which is not in the keyring", id)
		}
	}
	return k.unwrap()
}

// CheckName refuses what cannot be the name of a secret, with fault.Syntax.
func CheckName(name string) error {
	switch {
	case name == "":
		return fault.New(fault.Syntax, "the name of a stored secret is empty")
	case len(name) > MaxName:
		return fault.New(fault.Syntax, "the name of a stored secret has %d bytes, and may have %d", len(name), MaxName)
	case !utf8.ValidString(name):
		return fault.New(fault.Syntax, "the name of a stored secret is not valid UTF-8")
	}
	return nil
}

// Put stores text under name, in the place of any other.
func (r *Keyring) Put(ctx context.Context, name string, text []byte) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if len(text) > seal.MaxText {
		return fault.New(fault.Syntax, "the secret has %d bytes, and may have %d (1 MiB)", len(text), seal.MaxText)
	}
	for range most {
		known := r.current()
		k, err := r.Sealer(ctx, known.active, 1)
		if err == nil {
			err = r.store.Put(ctx, k.ID(), name, k.Seal(name, text))
		}
		if !errors.Is(err, store.ErrNotActive) {
			return err
		}
		if err := r.reload(ctx, known); err != nil {
			return err
		}
	}
	return fault.New(fault.Unavailable, "the keys changed %d times while the secret was being stored", most)
}

// Sealer returns the key with the id after having reserved n seals for it. It
// returns store.ErrNotActive if the key may not seal any more.
func (r *Keyring) Sealer(ctx context.Context, id seal.KeyID, n uint64) (*seal.Key, error) {
	k, err := r.Key(ctx, id)
	if err != nil {
		return nil, err
	}
	if r.take(id, n) {
		return k, nil
	}
	if err := r.reserving.Acquire(ctx, 1); err != nil {
		return nil, ended(err)
	}
	defer r.reserving.Release(1)
	if r.take(id, n) {
		return k, nil
	}
	reserved := max(n, block)
	err = r.store.ReserveEncryptions(ctx, id, reserved)
	if errors.Is(err, store.ErrKeyExhausted) && n < block {
		reserved = n
		err = r.store.ReserveEncryptions(ctx, id, reserved)
	}
	if errors.Is(err, store.ErrKeyExhausted) {
		return nil, fault.New(fault.Unavailable, "key %s has sealed as often as it may (2^32 times): rotate the keys", id).Permanently()
	}
	if err != nil {
		return nil, err
	}
	r.Reserved(id, reserved)
	r.take(id, n)
	return k, nil
}

// Reserved adds to the seals that may be made with a key.
func (r *Keyring) Reserved(id seal.KeyID, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left.key != id {
		r.left = seals{key: id}
	}
	r.left.n += n
}

// take uses n of the reserved encryptions, if so many are left.
func (r *Keyring) take(id seal.KeyID, n uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left.key != id || r.left.n < n {
		return false
	}
	r.left.n -= n
	return true
}

// Get returns the text stored under name, or fault.NotFound.
func (r *Keyring) Get(ctx context.Context, name string) ([]byte, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	var seen []byte
	for {
		record, err := r.store.Get(ctx, name)
		if err != nil {
			return nil, err
		}
		text, err := r.OpenRecord(ctx, name, record)
		// A rotation and a deletion of its old key can pass between reading a
		// record and looking for its key. The record is another one then.
		if err == nil || !errors.Is(err, fault.Corrupt) || string(record) == string(seen) {
			return text, err
		}
		seen = record
	}
}

// OpenRecord returns the text of a record that is stored under name.
func (r *Keyring) OpenRecord(ctx context.Context, name string, record []byte) ([]byte, error) {
	id, err := seal.RecordKey(record)
	if err != nil {
		return nil, err
	}
	k, err := r.Key(ctx, id)
	if err != nil {
		return nil, err
	}
	return k.Open(name, record)
}

// OpenStored is OpenRecord for a row of the store, which must be under the key that
// its record names: what deletes keys goes by the row.
func (r *Keyring) OpenStored(ctx context.Context, b store.Record) ([]byte, error) {
	if id, err := seal.RecordKey(b.Sealed); err == nil && id != b.Key {
		return nil, fault.New(fault.Corrupt, "the record is stored under key %s and was sealed with %s", b.Key, id)
	}
	return r.OpenRecord(ctx, b.Name, b.Sealed)
}

// Delete removes the secret stored under name, or returns fault.NotFound.
func (r *Keyring) Delete(ctx context.Context, name string) error {
	if len(name) == 0 || len(name) > MaxName {
		return CheckName(name)
	}
	return r.store.Delete(ctx, name) // a damaged name may be any bytes
}

// Verify opens every record. The error is fault.Corrupt and names those that do
// not open, and keys that cannot be unwrapped.
func (r *Keyring) Verify(ctx context.Context) error {
	if err := r.Reload(ctx); err != nil {
		return err
	}
	var bad []error
	for id, k := range r.current().byID {
		if _, err := k.unwrap(); err != nil {
			bad = append(bad, fault.New(fault.Corrupt, "key %s cannot be unwrapped", id).WithCause(err))
		}
	}
	var damaged []string
	err := store.Pages(ctx, r.store, store.Range{Limit: 1000, Bytes: 4 << 20}, func(page []store.Record) error {
		for _, b := range page {
			if err := r.opens(ctx, b); errors.Is(err, fault.Corrupt) {
				damaged = append(damaged, b.Name)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if damaged != nil {
		bad = append(bad, fault.New(fault.Corrupt, "%s", Unopened(damaged)))
	}
	return errors.Join(append(bad, err)...)
}

// opens tries to open a record. One that does not open is read again: a rotation
// and a deletion of its key may have passed.
func (r *Keyring) opens(ctx context.Context, b store.Record) error {
	_, err := r.OpenStored(ctx, b)
	if id, headErr := seal.RecordKey(b.Sealed); !errors.Is(err, fault.Corrupt) || headErr == nil && id != b.Key {
		return err
	}
	_, err = r.Get(ctx, b.Name)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if errors.Is(err, fault.Syntax) {
		return fault.New(fault.Corrupt, "the name %q is damaged", b.Name)
	}
	return err
}

// Unopened names records that do not open, in so far as there is room.
func Unopened(names []string) string {
	const room = 20
	var b strings.Builder
	fmt.Fprintf(&b, "of the secrets %d cannot be opened: ", len(names))
	for i, name := range names {
		if i == room {
			fmt.Fprintf(&b, " and %d more", len(names)-room)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", name)
	}
	return b.String()
}

// Notify hands an event that was recorded to who wants to be told.
func (r *Keyring) Notify(ctx context.Context, e store.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	r.log.InfoContext(ctx, "keyring", "action", e.Action, "outcome", e.Outcome, "actor", e.Actor, "keys", names(e.Keys), "detail", e.Detail)
	if r.audit != nil {
		r.audit(ctx, e)
	}
}

// RecordFailure writes an event of something that did not happen, which no transaction
// of its own could write. That it could not be written is logged.
func (r *Keyring) RecordFailure(ctx context.Context, e store.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	stored, err := r.store.RecordEvent(ctx, e)
	if err != nil {
		r.log.ErrorContext(ctx, "keyring: the audit log could not be written", "error", err.Error())
		stored = e
	}
	r.Notify(ctx, stored)
}

func names(ids []seal.KeyID) []string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return texts
}

// ended says that ctx ended.
func ended(err error) error {
	return fault.New(fault.Unavailable, "the context ended while the keyring was busy").WithCause(err)
}
