package boltstore

import (
	"cmp"
	"slices"
	"time"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/pages"
)

// keyring is what is in the file, as it was committed or as a transaction has
// changed it.
type keyring struct {
	tree  func(bucket string) (tree, error)
	ended func() error // not nil once the caller's context has ended
	now   time.Time
}

// tree is a bucket: *pages.Bucket, or one of a transaction.
type tree interface {
	Get(key []byte) (*pages.Entry, error)
	Ascend(from []byte, visit func(pages.Entry) (more bool, err error)) error
}

// get returns an entry, or nil.
func (k *keyring) get(bucket string, key []byte) (*pages.Entry, error) {
	t, err := k.tree(bucket)
	if err != nil {
		return nil, err
	}
	return t.Get(key)
}

// ascend shows the entries of a bucket from a key on, as long as the
// caller's context lasts.
func (k *keyring) ascend(bucket string, from []byte, visit func(pages.Entry) (more bool, err error)) error {
	t, err := k.tree(bucket)
	if err != nil {
		return err
	}
	n := 0
	return t.Ascend(from, func(e pages.Entry) (bool, error) {
		if n++; n%1000 == 0 {
			if err := k.ended(); err != nil {
				return false, err
			}
		}
		return visit(e)
	})
}

// meta returns the first row, and thereby knows that this is a keyring, and of
// the version it should be.
func (k *keyring) meta() (metaRow, error) {
	e, err := k.get(metaBucket, []byte(metaKey))
	if err != nil {
		return metaRow{}, err
	}
	if e == nil {
		return metaRow{}, errForeign
	}
	return parseMeta(*e)
}

func (k *keyring) keys() (*store.Keys, error) {
	meta, err := k.meta()
	if err != nil {
		return nil, err
	}
	keys := &store.Keys{Root: seal.Fingerprint(meta.Root), Now: k.now}
	err = k.ascend(keysBucket, nil, func(e pages.Entry) (bool, error) {
		key, err := parseKey(e)
		keys.Keys = append(keys.Keys, key)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(keys.Keys, func(a, b store.Key) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return keys, nil
}

// key returns the key if it is in that state, and otherwise the error.
func (k *keyring) key(id seal.KeyID, state store.State, otherwise error) (store.Key, error) {
	e, err := k.get(keysBucket, idKey(id))
	if err != nil {
		return store.Key{}, err
	}
	if e == nil {
		return store.Key{}, otherwise
	}
	key, err := parseKey(*e)
	if err == nil && key.State != state {
		err = otherwise
	}
	return key, err
}

// unused returns ErrInUse if a record is under one of the keys.
func (k *keyring) unused(ids ...seal.KeyID) error {
	if len(ids) == 0 {
		return nil
	}
	return k.ascend(recordsBucket, nil, func(e pages.Entry) (bool, error) {
		id, err := recordKey(e)
		if err == nil && slices.Contains(ids, id) {
			err = store.ErrInUse
		}
		return true, err
	})
}

// behind returns the lowest key above after.
func behind(after string) []byte { return append([]byte(after), 0) }

func (k *keyring) names(after string, limit int) (names []string, err error) {
	if limit < 1 {
		return nil, nil
	}
	err = k.ascend(recordsBucket, behind(after), func(e pages.Entry) (bool, error) {
		names = append(names, string(e.Key))
		return len(names) < limit, nil
	})
	return names, err
}

func (k *keyring) records(r store.Range) (records []store.Record, err error) {
	if r.Limit < 1 {
		return nil, nil
	}
	size := 0
	err = k.ascend(recordsBucket, behind(r.After), func(e pages.Entry) (bool, error) {
		if r.Key != 0 {
			if id, err := recordKey(e); err != nil || id != r.Key {
				return true, err
			}
		}
		id, record, _, err := parseRecord(e)
		if records == nil {
			records = make([]store.Record, 0, min(r.Limit, 1000)) // most pages are full
		}
		records = append(records, store.Record{Name: string(e.Key), Key: id, Sealed: record})
		size += e.Len() - recordHeadSize
		return len(records) < r.Limit && size < r.Bytes, err
	})
	return records, err
}

func (k *keyring) count() (map[seal.KeyID]int, error) {
	count := map[seal.KeyID]int{}
	err := k.ascend(recordsBucket, nil, func(e pages.Entry) (bool, error) {
		id, err := recordKey(e)
		count[id]++
		return true, err
	})
	return count, err
}

func (k *keyring) events(after int64, limit int) (events []store.Event, err error) {
	if limit < 1 || after+1 <= 0 && after > 0 {
		return nil, nil
	}
	err = k.ascend(eventsBucket, idKey(max(after, 0)+1), func(e pages.Entry) (bool, error) {
		event, err := parseEvent(e)
		events = append(events, event)
		return len(events) < limit, err
	})
	return events, err
}
