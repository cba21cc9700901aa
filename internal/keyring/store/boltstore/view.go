package boltstore

import (
	"cmp"
	"slices"
	"time"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/pages"
)

// view is the content of the file, as committed or as changed by a transaction.
type view struct {
	tree         func(bucket string) (tree, error)
	checkContext func() error // an error once the context of the call has ended
	now          time.Time
}

// tree is a bucket: a *pages.Bucket or a txTree.
type tree interface {
	Get(key []byte) (*pages.Entry, error)
	Ascend(from []byte, visit func(pages.Entry) (more bool, err error)) error
}

// get returns an entry, or nil.
func (v *view) get(bucket string, key []byte) (*pages.Entry, error) {
	t, err := v.tree(bucket)
	if err != nil {
		return nil, err
	}
	return t.Get(key)
}

// ascend calls visit with the entries of a bucket from a key on, until visit returns
// false or the context of the call ends.
func (v *view) ascend(bucket string, from []byte,
	visit func(pages.Entry) (more bool, err error)) error {
	t, err := v.tree(bucket)
	if err != nil {
		return err
	}
	n := 0
	return t.Ascend(from, func(e pages.Entry) (bool, error) {
		if n++; n%1000 == 0 {
			if err := v.checkContext(); err != nil {
				return false, err
			}
		}
		return visit(e)
	})
}

// meta returns the meta row. It returns an error if the file is not a keyring, or has
// another version.
func (v *view) meta() (metaRow, error) {
	e, err := v.get(metaBucket, []byte(metaKey))
	if err != nil {
		return metaRow{}, err
	}
	if e == nil {
		return metaRow{}, errNotKeyring
	}
	return parseMeta(*e)
}

func (v *view) keys() (*store.Keys, error) {
	meta, err := v.meta()
	if err != nil {
		return nil, err
	}
	keys := &store.Keys{Root: seal.Fingerprint(meta.Root), Now: v.now}
	err = v.ascend(keysBucket, nil, func(e pages.Entry) (bool, error) {
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

// key returns the key if it is in that state, and otherwise the given error.
func (v *view) key(id seal.KeyID, state store.State, otherwise error) (store.Key, error) {
	e, err := v.get(keysBucket, idKey(id))
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

// checkUnused returns ErrInUse if a record is under one of the keys.
func (v *view) checkUnused(ids ...seal.KeyID) error {
	if len(ids) == 0 {
		return nil
	}
	return v.ascend(recordsBucket, nil, func(e pages.Entry) (bool, error) {
		id, err := recordKey(e)
		if err == nil && slices.Contains(ids, id) {
			err = store.ErrInUse
		}
		return true, err
	})
}

// nextKey returns the lowest key above after.
func nextKey(after string) []byte { return append([]byte(after), 0) }

func (v *view) names(after string, limit int) (names []string, err error) {
	if limit < 1 {
		return nil, nil
	}
	err = v.ascend(recordsBucket, nextKey(after), func(e pages.Entry) (bool, error) {
		names = append(names, string(e.Key))
		return len(names) < limit, nil
	})
	return names, err
}

func (v *view) records(r store.Range) (records []store.Record, err error) {
	if r.Limit < 1 {
		return nil, nil
	}
	size := 0
	err = v.ascend(recordsBucket, nextKey(r.After), func(e pages.Entry) (bool, error) {
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

func (v *view) count() (map[seal.KeyID]int, error) {
	count := map[seal.KeyID]int{}
	err := v.ascend(recordsBucket, nil, func(e pages.Entry) (bool, error) {
		id, err := recordKey(e)
		count[id]++
		return true, err
	})
	return count, err
}

func (v *view) events(after int64, limit int) (events []store.Event, err error) {
	if limit < 1 || after+1 <= 0 && after > 0 {
		return nil, nil
	}
	err = v.ascend(eventsBucket, idKey(max(after, 0)+1), func(e pages.Entry) (bool, error) {
		event, err := parseEvent(e)
		events = append(events, event)
		return len(events) < limit, err
	})
	return events, err
}
