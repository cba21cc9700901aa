// Package store defines what a keyring needs from the place that its data keys and
// records are stored in. Its sub-packages are such stores. A store does no
// cryptography: it keeps bytes, and executes each call completely or not at all,
// whatever other processes do at the same time and wherever this one is killed.
//
// To add a store on another engine:
//
//  1. Implement [Store] and [Lease] in a sub-package. For a database that speaks
//     the SQL of PostgreSQL or MySQL, another dialect of sqlstore may be enough.
//  2. Return the errors below where the interfaces say so, and otherwise errors of
//     package fault, as [Store] says.
//  3. Call storetest.Run and storetest.Concurrency in a test, and nothing else for
//     the contract of the interfaces. Each call of fresh returns an Opener for a
//     place without a keyring. The Stores that it opens stand for several
//     processes, so they must not share locks or caches.
//  4. Export a constructor in the root package, beside FileStore and SQLStore.
//
// The suite covers the whole contract, except for what only a failing engine shows:
// that a killed process leaves no partial change, that its lease ends within 15
// seconds, and that errors of the engine have the right kind. A store needs tests of
// its own for these; internal/e2e/sqlstore and boltstore have examples.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/ref"
)

// MaxName is the maximum length of the name of a record, in bytes.
const MaxName = ref.MaxName

// State is the state of a data key.
type State string

// The states. A keyring has exactly one active key, which encrypts; at most one
// retiring key, whose records a rotation is moving to the active one; and any
// number of inactive keys, which no record needs.
const (
	Active   State = "active"
	Retiring State = "retiring"
	Inactive State = "inactive"
)

// Key is a stored data key.
type Key struct {
	ID      seal.KeyID
	State   State
	Wrapped []byte // encrypted under the root key

	// Encryptions is how many encryptions were reserved under the key, an upper
	// bound of how many were made.
	Encryptions uint64

	// Created, Activated and Deactivated are set by the store, by its clock. They
	// are zero for what has not happened.
	Created, Activated, Deactivated time.Time
}

// Keys is the key table.
type Keys struct {
	Root seal.Fingerprint // of the root key that wraps all keys
	Keys []Key            // by Created, then ID
	Now  time.Time        // by the store's clock
}

// Active returns the active key, or nil.
func (k *Keys) Active() *Key { return k.find(Active) }

// Retiring returns the key that a rotation in progress moves the records from, or
// nil if no rotation is in progress.
func (k *Keys) Retiring() *Key { return k.find(Retiring) }

func (k *Keys) find(s State) *Key {
	for i := range k.Keys {
		if k.Keys[i].State == s {
			return &k.Keys[i]
		}
	}
	return nil
}

// Record is an encrypted secret and the name it is stored under.
type Record struct {
	Name   string
	Key    seal.KeyID // as given to Put or Move
	Sealed []byte
}

// Swap replaces a record by one under another key.
type Swap struct {
	Name   string
	Head   []byte // first seal.HeadSize bytes of the record to replace, or all of a shorter one
	Sealed []byte // the new record
}

// Range selects a page of records.
type Range struct {
	Key   seal.KeyID // only records under this key; if 0, under any
	After string     // only names after this one, bytewise
	Limit int        // at most this many records
	Bytes int        // the page ends with the record that reaches this size; it has at least one
}

// Event is an entry of the audit log.
type Event struct {
	Seq     int64     // set by the store; ascending, in the order of the log
	Time    time.Time // set by the store, by its clock
	Actor   string
	Action  string
	Outcome string
	Keys    []seal.KeyID
	Detail  string
}

// Errors of a store besides the kinds of package fault.
var (
	// ErrEmpty means that the store holds no keyring yet.
	ErrEmpty = errors.New("store: there is no keyring yet")

	// ErrNotActive means that the key is not the active one.
	ErrNotActive = errors.New("store: the key is not active")

	// ErrKeyExhausted means that the key does not have that many encryptions left.
	ErrKeyExhausted = errors.New("store: the key has too few encryptions left")

	// ErrChanged means that the keys or the root key are not the expected ones.
	ErrChanged = errors.New("store: the keys have changed")

	// ErrInUse means that there are records under the key.
	ErrInUse = errors.New("store: there are records under the key")
)

// AsCorrupt returns err, but fault.Corrupt for ErrEmpty: it is for a keyring that
// was open and has disappeared.
func AsCorrupt(err error) error {
	if errors.Is(err, ErrEmpty) {
		return fault.New(fault.Corrupt,
			"the keyring is no longer in its store: was the file or the database removed or replaced? "+
				"Restore a backup")
	}
	return err
}

// Store holds one keyring. It is safe for concurrent use by several goroutines and
// several processes.
//
// Errors other than the ones above wrap a kind: fault.NotFound where a method says
// so; fault.Corrupt for damage; fault.Unavailable for what may pass, such as a
// database that is down, or the end of ctx, which is then the cause; fault.Denied
// for missing permissions; fault.Unsupported for places that cannot be used.
//
// The caller owns slices that it passes and that it receives.
type Store interface {
	// Create makes the keyring with its first key, which becomes active, and stores
	// e. If there is a keyring already it returns false and changes nothing.
	// Concurrent calls are safe: one of them creates the keyring.
	Create(ctx context.Context, root seal.Fingerprint, first Key, e Event) (created bool, err error)

	// Load returns the key table, or ErrEmpty.
	Load(ctx context.Context) (*Keys, error)

	// ReserveEncryptions adds n to the encryptions of a key. It returns
	// ErrNotActive, or ErrKeyExhausted if the sum would exceed seal.MaxEncryptions.
	ReserveEncryptions(ctx context.Context, id seal.KeyID, n uint64) error

	// Get returns the record stored under name, or fault.NotFound.
	Get(ctx context.Context, name string) ([]byte, error)

	// Put stores a record that is encrypted under the key id. It replaces a record
	// of that name. In the same transaction it first claims the key: until the
	// transaction ends, no rotation can deactivate the key. It returns ErrNotActive
	// if the key is not active.
	Put(ctx context.Context, id seal.KeyID, name string, record []byte) error

	// Delete removes the record stored under name, even a damaged one, or returns
	// fault.NotFound.
	Delete(ctx context.Context, name string) error

	// Names returns up to limit names after the given one, in bytewise order.
	Names(ctx context.Context, after string, limit int) ([]string, error)

	// Records returns a page of records in bytewise order of their names. An empty
	// page is the end.
	Records(ctx context.Context, r Range) ([]Record, error)

	// Count returns the number of records under each key that has any.
	Count(ctx context.Context) (map[seal.KeyID]int, error)

	// DeleteInactive removes all inactive keys and stores e with their ids, even if
	// there are none. It locks the keys and then checks that no record is under
	// them; otherwise it returns ErrInUse and changes nothing.
	DeleteInactive(ctx context.Context, e Event) ([]Key, error)

	// RecordEvent appends e to the audit log and returns it as stored.
	RecordEvent(ctx context.Context, e Event) (Event, error)

	// Events returns up to limit events with a Seq above after, by Seq.
	Events(ctx context.Context, after int64, limit int) ([]Event, error)

	// Acquire takes the lease, which is the right to change keys. It does not wait:
	// it returns fault.RotationInProgress if another caller has the lease. It also
	// works before Create. If its process is killed, a lease ends at once or within
	// 15 seconds.
	Acquire(ctx context.Context) (Lease, error)

	// Close releases what the store itself opened.
	Close() error
}

// Lease is the right to change keys. In its own transaction, each call first checks
// that the lease is still held, and extends it. If another caller has taken it, the
// error is fault.RotationInProgress and nothing has changed. A Lease is not safe
// for concurrent use.
type Lease interface {
	// Renew extends the lease and does nothing else.
	Renew(ctx context.Context) error

	// Activate stores next, with its Encryptions, as the active key. The key that
	// was active becomes retiring, which records the rotation. It returns ErrChanged
	// if root is not the stored fingerprint, if from is not the active key, if next
	// exists, or if a key is already retiring. It waits for every Put that has
	// claimed from; later ones fail.
	Activate(ctx context.Context, root seal.Fingerprint, from seal.KeyID, next Key, e Event) error

	// Move replaces each record that is under the key from and still begins with its
	// Head, and puts it under the key to. It skips the others and returns how many it
	// replaced, or ErrNotActive if to is not the active key.
	Move(ctx context.Context, from, to seal.KeyID, swaps []Swap) (int, error)

	// Retire makes a retiring key inactive, which ends the rotation. It returns
	// ErrInUse if a record is under the key, and ErrChanged if it is not retiring.
	Retire(ctx context.Context, id seal.KeyID, e Event) error

	// Rewrap replaces the wrapped form of all keys and the stored fingerprint. It
	// returns ErrChanged unless the stored fingerprint is from and wrapped has
	// exactly the stored ids.
	Rewrap(ctx context.Context, from, to seal.Fingerprint, wrapped map[seal.KeyID][]byte,
		e Event) error

	// Release gives the lease back. It also works after ctx has ended, and returns
	// within about a second.
	Release(ctx context.Context)
}

// Pages calls visit with each page of a range.
func Pages(ctx context.Context, store Store, r Range, visit func([]Record) error) error {
	for {
		page, err := store.Records(ctx, r)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := visit(page); err != nil {
			return err
		}
		r.After = page[len(page)-1].Name
	}
}
