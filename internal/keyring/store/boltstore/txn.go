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

// change is the keyring within a transaction that writes.
type change struct {
	keyring
	tx    *bbolt.Tx
	first metaRow // to be stored when all else has been
}

// txTree is a bucket within a transaction.
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

func (c *change) bucket(name string) (*bbolt.Bucket, error) {
	b := c.tx.Bucket([]byte(name))
	if b == nil {
		return nil, errForeign
	}
	return b, nil
}

// put stores an entry.
func (c *change) put(bucket string, key, value []byte) error {
	b, err := c.bucket(bucket)
	if err != nil {
		return err
	}
	if old := b.Get(key); old != nil {
		if err := c.account(bucket, pages.NewEntry(key, old), -1); err != nil {
			return err
		}
	}
	if err := c.account(bucket, pages.NewEntry(key, value), 1); err != nil {
		return err
	}
	return b.Put(key, value)
}

// remove deletes an entry, and reports whether there was one.
func (c *change) remove(bucket string, key []byte) (bool, error) {
	b, err := c.bucket(bucket)
	if err != nil {
		return false, err
	}
	old := b.Get(key)
	if old == nil {
		return false, nil
	}
	if err := c.account(bucket, pages.NewEntry(key, old), -1); err != nil {
		return false, err
	}
	return true, b.Delete(key)
}

// account keeps the sum of digests when an entry comes, 1, or goes, -1.
func (c *change) account(bucket string, e pages.Entry, n int) error {
	d, err := digest(bucket, e)
	c.first.Sum += uint64(n) * d
	return err
}

func (c *change) putRow(bucket string, key []byte, row any) error {
	value, err := encodeRow(key, row)
	if err != nil {
		return err
	}
	return c.put(bucket, key, value)
}

// finish stores the first row.
func (c *change) finish() error { return c.putRow(metaBucket, []byte(metaKey), c.first) }

func (c *change) putKey(k store.Key) error {
	return c.putRow(keysBucket, idKey(k.ID), keyRow{k.State, k.Wrapped, k.Encryptions, k.Created, k.Activated, k.Deactivated})
}

// putActive stores a key that is active from now on.
func (c *change) putActive(k store.Key) error {
	k.State, k.Created, k.Activated, k.Deactivated = store.Active, c.now, c.now, time.Time{}
	return c.putKey(k)
}

// record appends to the log. The number comes from the last event and not from
// the bucket's own sequence, which no checksum guards.
func (c *change) recordEvent(e store.Event) (store.Event, error) {
	b, err := c.bucket(eventsBucket)
	if err != nil {
		return e, err
	}
	e.Seq, e.Time = 1, c.now
	if last, _ := b.Cursor().Last(); len(last) == 8 {
		e.Seq = int64(binary.BigEndian.Uint64(last)) + 1
	}
	return e, c.putRow(eventsBucket, idKey(e.Seq), eventRow{e.Time, e.Actor, e.Action, e.Outcome, e.Detail, e.Keys})
}

func (c *change) putRecord(name []byte, id seal.KeyID, record []byte) error {
	return c.put(recordsBucket, name, encodeRecord(name, id, record))
}

// initialize makes a keyring of an empty file.
func (c *change) initialize(root seal.Fingerprint, first store.Key, e store.Event) error {
	for _, name := range []string{metaBucket, keysBucket, recordsBucket, eventsBucket} {
		if _, err := c.tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	c.first = metaRow{Schema: schema, Root: root[:]}
	if err := c.putActive(first); err != nil {
		return err
	}
	_, err := c.recordEvent(e)
	return err
}

func (c *change) reserve(id seal.KeyID, n uint64) error {
	k, err := c.key(id, store.Active, store.ErrNotActive)
	if err != nil {
		return err
	}
	if k.Encryptions > seal.MaxEncryptions || n > seal.MaxEncryptions-k.Encryptions {
		return store.ErrKeyExhausted
	}
	k.Encryptions += n
	return c.putKey(k)
}

func (c *change) deleteInactive(e store.Event) (gone []store.Key, err error) {
	keys, err := c.keys()
	if err != nil {
		return nil, err
	}
	e.Keys = nil
	for _, k := range keys.Keys {
		if k.State == store.Inactive {
			gone = append(gone, k)
			e.Keys = append(e.Keys, k.ID)
		}
	}
	if err := c.unused(e.Keys...); err != nil {
		return nil, err
	}
	for _, id := range e.Keys {
		if _, err := c.remove(keysBucket, idKey(id)); err != nil {
			return nil, err
		}
	}
	_, err = c.recordEvent(e)
	return gone, err
}

func (c *change) activate(root seal.Fingerprint, from seal.KeyID, next store.Key, e store.Event) error {
	keys, err := c.keys()
	if err != nil {
		return err
	}
	old := keys.Active()
	if keys.Root != root || old == nil || old.ID != from || keys.Retiring() != nil {
		return store.ErrChanged
	}
	for _, k := range keys.Keys {
		if k.ID == next.ID {
			return store.ErrChanged // it would be replaced
		}
	}
	old.State, old.Deactivated = store.Retiring, c.now
	if err := c.putKey(*old); err != nil {
		return err
	}
	if err := c.putActive(next); err != nil {
		return err
	}
	_, err = c.recordEvent(e)
	return err
}

// move finds the records in one go through those from the first name to the last,
// and then replaces them: nothing may change while it goes.
func (c *change) move(from, to seal.KeyID, swaps []store.Swap) (moved int, err error) {
	if _, err := c.key(to, store.Active, store.ErrNotActive); err != nil || len(swaps) == 0 {
		return 0, err
	}
	swaps = slices.SortedFunc(slices.Values(swaps), func(a, b store.Swap) int { return strings.Compare(a.Name, b.Name) })
	next, fit := 0, 0
	err = c.ascend(recordsBucket, []byte(swaps[0].Name), func(e pages.Entry) (bool, error) {
		for next < len(swaps) && swaps[next].Name < string(e.Key) {
			next++
		}
		if next == len(swaps) {
			return false, nil
		}
		if swaps[next].Name != string(e.Key) {
			return true, nil
		}
		same, err := c.unchanged(e, from, swaps[next].Head)
		if err == nil && same {
			err = c.account(recordsBucket, e, -1)
			swaps[fit] = swaps[next]
			fit++
		}
		next++
		return next < len(swaps), err
	})
	if err != nil {
		return 0, err
	}
	b, err := c.bucket(recordsBucket)
	if err != nil {
		return 0, err
	}
	for _, s := range swaps[:fit] {
		name := []byte(s.Name)
		value := encodeRecord(name, to, s.Sealed)
		if err := c.account(recordsBucket, pages.NewEntry(name, value), 1); err != nil {
			return 0, err
		}
		if err := b.Put(name, value); err != nil {
			return 0, err
		}
	}
	return fit, nil
}

// unchanged reports whether a record is under the key and begins with head.
func (c *change) unchanged(e pages.Entry, from seal.KeyID, head []byte) (bool, error) {
	id, err := recordKey(e)
	if err != nil || id != from {
		return false, err
	}
	begin, err := e.Head(recordHeadSize + seal.HeadSize)
	if err != nil {
		return false, err
	}
	return bytes.Equal(begin[recordHeadSize:], head), nil
}

func (c *change) retire(id seal.KeyID, e store.Event) error {
	k, err := c.key(id, store.Retiring, store.ErrChanged)
	if err != nil {
		return err
	}
	if err := c.unused(id); err != nil {
		return err
	}
	k.State = store.Inactive
	if err := c.putKey(k); err != nil {
		return err
	}
	_, err = c.recordEvent(e)
	return err
}

func (c *change) rewrap(from, to seal.Fingerprint, wrapped map[seal.KeyID][]byte, e store.Event) error {
	keys, err := c.keys()
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
		if err := c.putKey(k); err != nil {
			return err
		}
	}
	c.first.Root = to[:]
	_, err = c.recordEvent(e)
	return err
}
