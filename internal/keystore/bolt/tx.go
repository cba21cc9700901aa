package bolt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keystore"
	"github.com/seed74218947/secretref/internal/seal"
)

// state is the keyring within a transaction.
type state struct {
	meta, keys, boxes, events *bbolt.Bucket
	now                       time.Time
}

func open(tx *bbolt.Tx) (*state, error) {
	st := &state{
		meta: tx.Bucket(metaBucket), keys: tx.Bucket(keysBucket),
		boxes: tx.Bucket(boxesBucket), events: tx.Bucket(eventsBucket),
		now: time.Now().UTC().Round(0),
	}
	if st.meta == nil || st.keys == nil || st.boxes == nil || st.events == nil {
		return nil, fault.New(fault.Corrupt, "this is not a keyring")
	}
	return st, nil
}

func create(tx *bbolt.Tx, root seal.Fingerprint, first keystore.Key, e keystore.Event) error {
	for _, name := range [][]byte{metaBucket, keysBucket, boxesBucket, eventsBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	st, err := open(tx)
	if err != nil {
		return err
	}
	first.State, first.Created, first.Activated, first.Deactivated = keystore.Active, st.now, st.now, time.Time{}
	if err := st.putRoot(root); err != nil {
		return err
	}
	if err := st.putKey(first); err != nil {
		return err
	}
	_, err = st.record(e)
	return err
}

func (st *state) root() (seal.Fingerprint, error) {
	var row metaRow
	if err := parseJSON(metaKey, st.meta.Get(metaKey), &row); err != nil {
		return seal.Fingerprint{}, err
	}
	if row.Schema != schema {
		return seal.Fingerprint{}, fault.New(fault.Unsupported, "the keyring was made by a newer program")
	}
	if len(row.Root) != len(seal.Fingerprint{}) {
		return seal.Fingerprint{}, damaged("the fingerprint is cut off")
	}
	return seal.Fingerprint(row.Root), nil
}

func (st *state) putRoot(root seal.Fingerprint) error {
	return putJSON(st.meta, metaKey, metaRow{schema, root[:]})
}

func (st *state) all() (*keystore.Keys, error) {
	root, err := st.root()
	if err != nil {
		return nil, err
	}
	keys := &keystore.Keys{Root: root, Now: st.now}
	err = st.keys.ForEach(func(k, v []byte) error {
		key, err := parseKey(k, v)
		keys.Keys = append(keys.Keys, key)
		return err
	})
	slices.SortFunc(keys.Keys, func(a, b keystore.Key) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return keys, err
}

func parseKey(k, v []byte) (keystore.Key, error) {
	var row keyRow
	if err := parseJSON(k, v, &row); err != nil {
		return keystore.Key{}, err
	}
	if len(k) != 8 {
		return keystore.Key{}, damaged("a key id is cut off")
	}
	return keystore.Key{ID: seal.KeyID(binary.BigEndian.Uint64(k)), State: row.State, Wrapped: row.Wrapped, Seals: row.Seals,
		Created: row.Created, Activated: row.Activated, Deactivated: row.Deactivated}, nil
}

// key returns the key, or nil.
func (st *state) key(id seal.KeyID) (*keystore.Key, error) {
	v := st.keys.Get(idKey(id))
	if v == nil {
		return nil, nil
	}
	k, err := parseKey(idKey(id), v)
	return &k, err
}

// in returns the key if it is in the given state, and otherwise the error.
func (st *state) in(id seal.KeyID, want keystore.State, otherwise error) (*keystore.Key, error) {
	k, err := st.key(id)
	if err != nil {
		return nil, err
	}
	if k == nil || k.State != want {
		return nil, otherwise
	}
	return k, nil
}

func (st *state) putKey(k keystore.Key) error {
	return putJSON(st.keys, idKey(k.ID), keyRow{k.State, k.Wrapped, k.Seals, k.Created, k.Activated, k.Deactivated})
}

func (st *state) record(e keystore.Event) (keystore.Event, error) {
	e.Seq, e.Time = 1, st.now
	if last, _ := st.events.Cursor().Last(); last != nil {
		e.Seq = int64(binary.BigEndian.Uint64(last)) + 1
	}
	return e, putJSON(st.events, idKey(e.Seq), eventRow{e.Time, e.Actor, e.Action, e.Outcome, e.Detail, e.Keys})
}

func (st *state) putBox(name []byte, id seal.KeyID, box []byte) error {
	return st.boxes.Put(name, summed(name, idKey(id), box))
}

func (st *state) inUse(ids ...seal.KeyID) error {
	return st.boxes.ForEach(func(k, v []byte) error {
		id, _, err := parseBox(k, v)
		if err == nil && slices.Contains(ids, id) {
			return keystore.ErrInUse
		}
		return err
	})
}

func (st *state) move(from, to seal.KeyID, swaps []keystore.Swap) (moved int, err error) {
	if _, err := st.in(to, keystore.Active, keystore.ErrNotActive); err != nil {
		return 0, err
	}
	for _, s := range swaps {
		name := []byte(s.Name)
		v := st.boxes.Get(name)
		if v == nil {
			continue
		}
		id, box, err := parseBox(name, v)
		if err != nil {
			return 0, err
		}
		if id == from && bytes.Equal(box[:min(len(box), seal.HeadSize)], s.Head) {
			if err := st.putBox(name, to, s.Box); err != nil {
				return 0, err
			}
			moved++
		}
	}
	return moved, nil
}
