package keyring

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

const (
	// encryptionBlock is how many encryptions are reserved at a time. A process
	// that ends wastes the rest of its block, of 2^32.
	encryptionBlock = 1024

	// maxKeyChanges limits how often Put starts over because the active key
	// changed. Each change takes a rotation.
	maxKeyChanges = 100

	// maxPageRecords and maxPageBytes bound the memory that Verify needs.
	maxPageRecords = 1000
	maxPageBytes   = 4 << 20

	// maxListedNames limits how many names an error lists.
	maxListedNames = 20
)

// CheckName returns fault.Syntax if name cannot be the name of a secret.
func CheckName(name string) error {
	switch {
	case name == "":
		return fault.New(fault.Syntax, "the name of a stored secret is empty")
	case len(name) > store.MaxName:
		return fault.New(fault.Syntax, "the name of a stored secret has %d bytes; the maximum is %d",
			len(name), store.MaxName)
	case !utf8.ValidString(name):
		return fault.New(fault.Syntax, "the name of a stored secret is not valid UTF-8")
	}
	return nil
}

// Put encrypts text and stores it under name. It replaces an existing secret.
func (k *Keyring) Put(ctx context.Context, name string, text []byte) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if len(text) > seal.MaxText {
		return fault.New(fault.Syntax, "the secret has %d bytes; the maximum is %d (1 MiB)", len(text),
			seal.MaxText)
	}
	for range maxKeyChanges {
		keys := k.current()
		key, err := k.ReserveKey(ctx, keys.active, 1)
		if err == nil {
			err = k.store.Put(ctx, key.ID(), name, key.Seal(name, text))
		}
		if !errors.Is(err, store.ErrNotActive) {
			return err
		}
		if err := k.reload(ctx, keys); err != nil {
			return err
		}
	}
	return fault.New(fault.Unavailable,
		"the active key changed %d times while the secret was being stored", maxKeyChanges)
}

// ReserveKey returns the key with the id after reserving n encryptions under it.
// It returns store.ErrNotActive if the key is not active, and fault.KeyExhausted
// if the key has no n encryptions left.
func (k *Keyring) ReserveKey(ctx context.Context, id seal.KeyID, n uint64) (*seal.Key, error) {
	key, err := k.Key(ctx, id)
	if err != nil {
		return nil, err
	}
	if k.takeReserved(id, n) {
		return key, nil
	}
	if err := k.reserving.Acquire(ctx, 1); err != nil {
		return nil, contextError(err)
	}
	defer k.reserving.Release(1)
	if k.takeReserved(id, n) {
		return key, nil
	}
	reserved := max(n, encryptionBlock)
	err = k.store.ReserveEncryptions(ctx, id, reserved)
	if errors.Is(err, store.ErrKeyExhausted) && n < encryptionBlock {
		reserved = n
		err = k.store.ReserveEncryptions(ctx, id, reserved)
	}
	if errors.Is(err, store.ErrKeyExhausted) {
		return nil, fault.New(fault.KeyExhausted,
			"key %s has reached its limit of 2^32 encryptions: rotate the keys", id)
	}
	if err != nil {
		return nil, err
	}
	k.AddReserved(id, reserved)
	k.takeReserved(id, n)
	return key, nil
}

// AddReserved adds n encryptions that the store has reserved for the key.
func (k *Keyring) AddReserved(id seal.KeyID, n uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reserved.key != id {
		k.reserved = reservation{key: id}
	}
	k.reserved.n += n
}

// takeReserved uses n of the reserved encryptions, if that many are left.
func (k *Keyring) takeReserved(id seal.KeyID, n uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reserved.key != id || k.reserved.n < n {
		return false
	}
	k.reserved.n -= n
	return true
}

// Get returns the secret stored under name, or fault.NotFound.
func (k *Keyring) Get(ctx context.Context, name string) ([]byte, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	var previous []byte
	for {
		record, err := k.store.Get(ctx, name)
		if err != nil {
			return nil, err
		}
		text, err := k.OpenRecord(ctx, name, record)
		// Between reading the record and looking up its key, a rotation may have
		// replaced the record and its key may have been deleted. Read it again
		// until it is the same twice.
		if err == nil || !errors.Is(err, fault.Corrupt) || string(record) == string(previous) {
			return text, err
		}
		previous = record
	}
}

// OpenRecord decrypts a record that is stored under name.
func (k *Keyring) OpenRecord(ctx context.Context, name string, record []byte) ([]byte, error) {
	id, err := seal.RecordKey(record)
	if err != nil {
		return nil, err
	}
	key, err := k.Key(ctx, id)
	if err != nil {
		return nil, err
	}
	return key.Open(name, record)
}

// OpenStored is OpenRecord for a row of the store. It also checks that the row is
// under the key that the record names, because keys are deleted by the key of the
// row.
func (k *Keyring) OpenStored(ctx context.Context, r store.Record) ([]byte, error) {
	if id, err := seal.RecordKey(r.Sealed); err == nil && id != r.Key {
		return nil, fault.New(fault.Corrupt,
			"the record is stored under key %s but is encrypted under key %s", r.Key, id)
	}
	return k.OpenRecord(ctx, r.Name, r.Sealed)
}

// Delete removes the secret stored under name, or returns fault.NotFound. Unlike
// for Put the name need not be valid UTF-8, so that a secret with a damaged name
// can be deleted.
func (k *Keyring) Delete(ctx context.Context, name string) error {
	if len(name) == 0 || len(name) > store.MaxName {
		return CheckName(name)
	}
	return k.store.Delete(ctx, name)
}

// Verify decrypts every record. The error is fault.Corrupt and names the records
// that cannot be decrypted and the keys that cannot be unwrapped.
func (k *Keyring) Verify(ctx context.Context) error {
	if err := k.Reload(ctx); err != nil {
		return err
	}
	var failures []error
	for id, key := range k.current().byID {
		if _, err := key.unwrap(); err != nil {
			failures = append(failures, fault.New(fault.Corrupt, "key %s cannot be unwrapped",
				id).WithCause(err))
		}
	}
	var damaged []string
	pages := store.Range{Limit: maxPageRecords, Bytes: maxPageBytes}
	err := store.Pages(ctx, k.store, pages, func(page []store.Record) error {
		for _, r := range page {
			if err := k.verifyRecord(ctx, r); errors.Is(err, fault.Corrupt) {
				damaged = append(damaged, r.Name)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if damaged != nil {
		failures = append(failures, fault.New(fault.Corrupt, "%s", ListUnopened(damaged)))
	}
	return errors.Join(append(failures, err)...)
}

// verifyRecord decrypts a record. If that fails it reads the record again, since a
// rotation and a deletion of its key may have happened in between.
func (k *Keyring) verifyRecord(ctx context.Context, r store.Record) error {
	_, err := k.OpenStored(ctx, r)
	id, headErr := seal.RecordKey(r.Sealed)
	if !errors.Is(err, fault.Corrupt) || headErr == nil && id != r.Key {
		return err
	}
	_, err = k.Get(ctx, r.Name)
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	if errors.Is(err, fault.Syntax) {
		return fault.New(fault.Corrupt, "the name %q is damaged", r.Name)
	}
	return err
}

// ListUnopened returns text that says how many secrets cannot be decrypted, and
// names the first of them.
func ListUnopened(names []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of the stored secrets cannot be decrypted: ", len(names))
	for i, name := range names {
		if i == maxListedNames {
			fmt.Fprintf(&b, " and %d more", len(names)-maxListedNames)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", name)
	}
	return b.String()
}
