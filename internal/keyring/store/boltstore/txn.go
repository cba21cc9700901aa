package boltstore

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/pages"
)

// txn is a transaction that changes the keyring.
type txn struct {
	view
	bolt    *bbolt.Tx
	newMeta metaRow // stored at the end of the transaction
}

// txTree implements tree for a bucket of a transaction.
type txTree struct{ *bbolt.Bucket }

func (t txTree) Get(key []byte) (*pages.Entry, error) {
	v := t.Bucket.Get(key)
	if v == nil {
		return nil, nil
	}
	e := pages.NewEntry(key, v)
	return &e, nil
}

func (t txTree) Ascend(from []byte, visit func(pages.Entry) (bool, error)) error {
	c := t.Cursor()
	for key, v := c.Seek(from); key != nil; key, v = c.Next() {
		if more, err := visit(pages.NewEntry(key, v)); !more || err != nil {
			return err
		}
	}
	return nil
}

func (tx *txn) bucket(name string) (*bbolt.Bucket, error) {
	b := tx.bolt.Bucket([]byte(name))
	if b == nil {
		return nil, errNotKeyring
	}
	return b, nil
}

// put stores an entry.
func (tx *txn) put(bucket string, key, value []byte) error {
	b, err := tx.bucket(bucket)
	if err != nil {
		return err
	}
	if old := b.Get(key); old != nil {
		if err := tx.addDigest(bucket, pages.NewEntry(key, old), -1); err != nil {
			return err
		}
	}
	if err := tx.addDigest(bucket, pages.NewEntry(key, value), 1); err != nil {
		return err
	}
	return b.Put(key, value)
}

// remove deletes an entry, and reports whether there was one.
func (tx *txn) remove(bucket string, key []byte) (bool, error) {
	b, err := tx.bucket(bucket)
	if err != nil {
		return false, err
	}
	old := b.Get(key)
	if old == nil {
		return false, nil
	}
	if err := tx.addDigest(bucket, pages.NewEntry(key, old), -1); err != nil {
		return false, err
	}
	return true, b.Delete(key)
}

// addDigest updates the sum of digests for an entry that is added (n = 1) or removed
// (n = -1).
func (tx *txn) addDigest(bucket string, e pages.Entry, n int) error {
	d, err := digest(bucket, e)
	tx.newMeta.Sum += uint64(n) * d
	return err
}

func (tx *txn) putRow(bucket string, key []byte, row any) error {
	value, err := encodeRow(key, row)
	if err != nil {
		return err
	}
	return tx.put(bucket, key, value)
}

// putMeta stores the meta row.
func (tx *txn) putMeta() error { return tx.putRow(metaBucket, []byte(metaKey), tx.newMeta) }

func (tx *txn) putKey(k store.Key) error {
	return tx.putRow(keysBucket, idKey(k.ID), keyRow{k.State, k.Wrapped, k.Encryptions, k.Created,
		k.Activated, k.Deactivated})
}

// putActive stores a key as active from now on.
func (tx *txn) putActive(k store.Key) error {
	k.State, k.Created, k.Activated, k.Deactivated = store.Active, tx.now, tx.now, time.Time{}
	return tx.putKey(k)
}

// recordEvent appends to the audit log. The sequence number is derived from the last
// event and not from the sequence of the bucket, which has no checksum.
func (tx *txn) recordEvent(e store.Event) (store.Event, error) {
	b, err := tx.bucket(eventsBucket)
	if err != nil {
		return e, err
	}
	e.Seq, e.Time = 1, tx.now
	if last, _ := b.Cursor().Last(); len(last) == 8 {
		e.Seq = int64(binary.BigEndian.Uint64(last)) + 1
	}
	return e, tx.putRow(eventsBucket, idKey(e.Seq),
		eventRow{e.Time, e.Actor, e.Action, e.Outcome, e.Detail, e.Keys})
}

func (tx *txn) putRecord(name []byte, id seal.KeyID, record []byte) error {
	return tx.put(recordsBucket, name, encodeRecord(name, id, record))
}

// initialize creates the keyring in an empty file.
func (tx *txn) initialize(root seal.Fingerprint, first store.Key, e store.Event) error {
	for _, name := range []string{metaBucket, keysBucket, recordsBucket, eventsBucket} {
		if _, err := tx.bolt.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	tx.newMeta = metaRow{Schema: schema, Root: root[:]}
	if err := tx.putActive(first); err != nil {
		return err
	}
	_, err := tx.recordEvent(e)
	return err
}

func (tx *txn) reserve(id seal.KeyID, n uint64) error {
	k, err := tx.key(id, store.Active, store.ErrNotActive)
	if err != nil {
		return err
	}
	if k.Encryptions > seal.MaxEncryptions || n > seal.MaxEncryptions-k.Encryptions {
		return store.ErrKeyExhausted
	}
	k.Encryptions += n
	return tx.putKey(k)
}

func (tx *txn) deleteInactive(e store.Event) (deleted []store.Key, err error) {
	keys, err := tx.keys()
	if err != nil {
		return nil, err
	}
	e.Keys = nil
	for _, k := range keys.Keys {
		if k.State == store.Inactive {
			deleted = append(deleted, k)
			e.Keys = append(e.Keys, k.ID)
		}
	}
	if err := tx.checkUnused(e.Keys...); err != nil {
		return nil, err
	}
	for _, id := range e.Keys {
		if _, err := tx.remove(keysBucket, idKey(id)); err != nil {
			return nil, err
		}
	}
	_, err = tx.recordEvent(e)
	return deleted, err
}

func (tx *txn) activate(root seal.Fingerprint, from seal.KeyID, next store.Key,
	e store.Event) error {
	keys, err := tx.keys()
	if err != nil {
		return err
	}
	old := keys.Active()
	if keys.Root != root || old == nil || old.ID != from || keys.Retiring() != nil {
		return store.ErrChanged
	}
	for _, k := range keys.Keys {
		if k.ID == next.ID {
			return store.ErrChanged // do not replace it
		}
	}
	old.State, old.Deactivated = store.Retiring, tx.now
	if err := tx.putKey(*old); err != nil {
		return err
	}
	if err := tx.putActive(next); err != nil {
		return err
	}
	_, err = tx.recordEvent(e)
	return err
}

// move first finds the records, in one pass from the first name to the last, and then
// replaces them, since a bucket must not change during a pass.
func (tx *txn) move(from, to seal.KeyID, swaps []store.Swap) (moved int, err error) {
	if _, err := tx.key(to, store.Active, store.ErrNotActive); err != nil || len(swaps) == 0 {
		return 0, err
	}
	swaps = slices.SortedFunc(slices.Values(swaps),
		func(a, b store.Swap) int { return strings.Compare(a.Name, b.Name) })
	next, matched := 0, 0
	err = tx.ascend(recordsBucket, []byte(swaps[0].Name), func(e pages.Entry) (bool, error) {
		for next < len(swaps) && swaps[next].Name < string(e.Key) {
			next++
		}
		if next == len(swaps) {
			return false, nil
		}
		if swaps[next].Name != string(e.Key) {
			return true, nil
		}
		same, err := tx.matchesHead(e, from, swaps[next].Head)
		if err == nil && same {
			err = tx.addDigest(recordsBucket, e, -1)
			swaps[matched] = swaps[next]
			matched++
		}
		next++
		return next < len(swaps), err
	})
	if err != nil {
		return 0, err
	}
	b, err := tx.bucket(recordsBucket)
	if err != nil {
		return 0, err
	}
	for _, s := range swaps[:matched] {
		name := []byte(s.Name)
		value := encodeRecord(name, to, s.Sealed)
		if err := tx.addDigest(recordsBucket, pages.NewEntry(name, value), 1); err != nil {
			return 0, err
		}
		if err := b.Put(name, value); err != nil {
			return 0, err
		}
	}
	return matched, nil
}

// matchesHead reports whether a record is under the key and begins with head.
func (tx *txn) matchesHead(e pages.Entry, from seal.KeyID, head []byte) (bool, error) {
	id, err := recordKey(e)
	if err != nil || id != from {
		return false, err
	}
	start, err := e.Head(recordHeadSize + seal.HeadSize)
	if err != nil {
		return false, err
	}
	return bytes.Equal(start[recordHeadSize:], head), nil
}

func (tx *txn) retire(id seal.KeyID, e store.Event) error {
	k, err := tx.key(id, store.Retiring, store.ErrChanged)
	if err != nil {
		return err
	}
	if err := tx.checkUnused(id); err != nil {
		return err
	}
	k.State = store.Inactive
	if err := tx.putKey(k); err != nil {
		return err
	}
	_, err = tx.recordEvent(e)
	return err
}

func (tx *txn) rewrap(from, to seal.Fingerprint, wrapped map[seal.KeyID][]byte,
	e store.Event) error {
	keys, err := tx.keys()
	if err != nil {
		return err
	}
	if keys.Root != from || len(keys.Keys) != len(wrapped) {
		return store.ErrChanged
	}
	for _, k := range keys.Keys {
		w, ok := wrapped[k.ID]
		if !ok {
			return store.ErrChanged
		}
		k.Wrapped = w
		if err := tx.putKey(k); err != nil {
			return err
		}
	}
	tx.newMeta.Root = to[:]
	_, err = tx.recordEvent(e)
	return err
}
