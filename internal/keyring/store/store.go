// Package keystore says what a keyring needs of the place where its keys and
// records are kept. Its sub-packages are such places; storetest is the suite that
// each of them passes. A store knows nothing of cryptography: it keeps bytes,
// and sees to it that each of its calls happens whole or not at all, whatever
// other processes do at the same time and wherever this one is killed.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/seed74218947/secretref/internal/keyring/seal"
)

// State is where a key is in its life.
type State string

// The states. A keyring has exactly one active key, which seals; at most one
// retiring key, which a rotation is taking the records from; and any number of
// inactive ones, which no record needs.
const (
	Active   State = "active"
	Retiring State = "retiring"
	Inactive State = "inactive"
)

// Key is a stored data key.
type Key struct {
	ID      seal.KeyID
	State   State
	Wrapped []byte // sealed under the root key

	// Encryptions is how many seals were reserved for it, never fewer than were made.
	Encryptions uint64

	// When it was stored, began to seal and ceased to; zero if it has not. They
	// are set by the store, by the store's clock.
	Created, Activated, Deactivated time.Time
}

// Keys is all that a keyring has but its records and events.
type Keys struct {
	Root seal.Fingerprint // of the root key that all are wrapped with
	Keys []Key            // by Created, then ID
	Now  time.Time        // by the store's clock
}

// Active returns the active key, or nil.
func (k *Keys) Active() *Key { return k.find(Active) }

// Retiring returns the key that a recorded rotation takes the records from, or
// nil if none is recorded.
func (k *Keys) Retiring() *Key { return k.find(Retiring) }

func (k *Keys) find(s State) *Key {
	for i := range k.Keys {
		if k.Keys[i].State == s {
			return &k.Keys[i]
		}
	}
	return nil
}

// Record is a sealed text and the name it is stored under.
type Record struct {
	Name   string
	Key    seal.KeyID // as it was given to Put or Move
	Sealed []byte
}

// Swap replaces a record by one under another key.
type Swap struct {
	Name   string
	Head   []byte // the first seal.HeadSize bytes of the record to be replaced, or all of a shorter one
	Sealed []byte
}

// Range is a page of records.
type Range struct {
	Key   seal.KeyID // only records under this key; 0: all
	After string     // only names behind this one, bytewise
	Limit int        // at most so many records
	Bytes int        // no further record once the records hold so many bytes; at least one
}

// Event is a line of the audit log.
type Event struct {
	Seq     int64     // set by the store: ascending, in the order of the log
	Time    time.Time // set by the store, by its clock
	Actor   string
	Action  string
	Outcome string
	Keys    []seal.KeyID
	Detail  string
}

// What a store says beside the kinds of package fault.
var (
	// ErrEmpty: there is no keyring in the store yet.
	ErrEmpty = errors.New("keystore: there is no keyring yet")

	// ErrNotActive: the key is not, or no longer, the active one.
	ErrNotActive = errors.New("keystore: the key is not active")

	// ErrSpent: so many seals are not left.
	ErrKeyExhausted = errors.New("keystore: the key may not seal more often")

	// ErrChanged: keys or root key are not as the caller last saw them.
	ErrChanged = errors.New("keystore: the keys have changed meanwhile")

	// ErrInUse: records are still under the key.
	ErrInUse = errors.New("keystore: records are still under the key")
)

// Store keeps one keyring. It is safe for concurrent use, within the process
// and among processes. Where its errors are none of the above they wrap a kind:
// fault.NotFound where a method says so; fault.Corrupt for damage;
// fault.Unavailable for what may pass (a database that is down, the end of ctx,
// which then is the cause); fault.Denied for missing permissions;
// fault.Unsupported for places that cannot be used. Slices given and returned
// belong to the caller.
type Store interface {
	// Create makes the keyring with its first key, which becomes active, and
	// records e. It returns false, and changes nothing, if there is a keyring
	// already; many may try at the same time.
	Create(ctx context.Context, root seal.Fingerprint, first Key, e Event) (created bool, err error)

	// Load returns the keys, or ErrEmpty.
	Load(ctx context.Context) (*Keys, error)

	// ReserveEncryptions adds n to the seals of a key, or returns ErrNotActive, or ErrSpent
	// if the sum would be above seal.MaxEncryptions.
	ReserveEncryptions(ctx context.Context, id seal.KeyID, n uint64) error

	// Get returns the record stored under name, or fault.NotFound.
	Get(ctx context.Context, name string) ([]byte, error)

	// Put stores a record sealed with the key id, in the place of any other under
	// that name. In the same transaction it first claims the key: no rotation
	// can take the active state from it until the transaction has ended. It
	// returns ErrNotActive if the key is not active.
	Put(ctx context.Context, id seal.KeyID, name string, record []byte) error

	// Delete removes the record stored under name, whatever its condition, or
	// returns fault.NotFound.
	Delete(ctx context.Context, name string) error

	// Names returns up to limit names behind after, in bytewise order.
	Names(ctx context.Context, after string, limit int) ([]string, error)

	// Records returns a page of records in bytewise order of their names. An empty
	// page means that there are no more.
	Records(ctx context.Context, r Range) ([]Record, error)

	// Count returns how many records there are under each key that has any.
	Count(ctx context.Context) (map[seal.KeyID]int, error)

	// DeleteInactive removes all inactive keys and records e with their ids,
	// also if there are none. It returns ErrInUse, and changes nothing, if a record
	// is under one of them: that is proved while they are locked.
	DeleteInactive(ctx context.Context, e Event) ([]Key, error)

	// RecordEvent appends e to the audit log and returns it as it was stored.
	RecordEvent(ctx context.Context, e Event) (Event, error)

	// Events returns up to limit events with a Seq above after, in its order.
	Events(ctx context.Context, after int64, limit int) ([]Event, error)

	// Acquire makes the caller the one that may change keys. It does not wait:
	// fault.RotationInProgress if somebody else is. It works before Create, too.
	// What the lease holds back ends by itself when its process is killed: at
	// once, or within 15 seconds.
	Acquire(ctx context.Context) (Lease, error)

	// Close releases what the store itself opened.
	Close() error
}

// Lease is the right to change keys. Each call first proves, in its own
// transaction, that the right is still held, and prolongs it; if somebody else
// has it by now the error is fault.RotationInProgress and nothing has changed.
// A Lease is not safe for concurrent use.
type Lease interface {
	// Renew prolongs the right and does nothing else.
	Renew(ctx context.Context) error

	// Activate stores next, with its Seals, as the active key; the key that was
	// active becomes retiring, which records the rotation. It returns ErrChanged
	// if root is not the stored fingerprint, if from is not the active key, or
	// if a key is retiring already. It waits for every Put that has claimed
	// from; after it none can.
	Activate(ctx context.Context, root seal.Fingerprint, from seal.KeyID, next Key, e Event) error

	// Move replaces each record that is under the key from and still begins with
	// its Head, puts it under the key to, and leaves out the others. It returns
	// how many it replaced, or ErrNotActive if to is not the active key.
	Move(ctx context.Context, from, to seal.KeyID, swaps []Swap) (int, error)

	// Retire makes a retiring key inactive, which ends the rotation. It returns
	// ErrInUse if a record is under it, and ErrChanged if it is not retiring.
	Retire(ctx context.Context, id seal.KeyID, e Event) error

	// Rewrap replaces the wrapped form of all keys and the stored fingerprint.
	// It returns ErrChanged unless the stored one is from and wrapped has
	// exactly the stored ids.
	Rewrap(ctx context.Context, from, to seal.Fingerprint, wrapped map[seal.KeyID][]byte, e Event) error

	// Release gives the right back. It works also when ctx has ended, within a
	// second or so.
	Release(ctx context.Context)
}

// Pages gives the records of a range to visit, page by page.
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
