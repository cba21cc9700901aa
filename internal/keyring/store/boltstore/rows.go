package boltstore

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/pages"
)

// The buckets of the file. bbolt has checksums only for its meta pages, so each value
// contains its own, a CRC-32C.
const (
	metaBucket    = "meta"    // metaKey → row of metaRow
	keysBucket    = "keys"    // key id(8) → row of keyRow
	recordsBucket = "records" // name → sum of name and key id(4), sum of all(4), key id(8), record
	eventsBucket  = "events"  // seq(8) → row of eventRow

	metaKey = "keyring"
	schema  = 1
)

// A row is the checksum of its key and its JSON (4 bytes), and its JSON.
type (
	metaRow struct {
		Schema int
		Root   []byte
		Sum    uint64 // of the digests of all other entries
	}
	keyRow struct {
		State                           store.State
		Wrapped                         []byte
		Encryptions                     uint64
		Created, Activated, Deactivated time.Time
	}
	eventRow struct {
		Time                           time.Time
		Actor, Action, Outcome, Detail string
		Keys                           []seal.KeyID
	}
)

const (
	sumSize        = 4
	recordHeadSize = 2*sumSize + 8
)

func sum(parts ...[]byte) (s uint32) {
	castagnoli := crc32.MakeTable(crc32.Castagnoli) // the standard library builds it once
	for _, p := range parts {
		s = crc32.Update(s, castagnoli, p)
	}
	return s
}

// idKey returns the bucket key for the id of a data key or the number of an event.
func idKey[T ~uint64 | ~int64](id T) []byte {
	return binary.BigEndian.AppendUint64(nil,
		uint64(id))
}

func parseIDKey[T ~uint64 | ~int64](key []byte) (T, error) {
	if len(key) != 8 {
		return 0, corrupt("a row has an invalid key")
	}
	return T(binary.BigEndian.Uint64(key)), nil
}

func encodeRow(key []byte, row any) ([]byte, error) {
	text, err := json.Marshal(row)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, sum(key, text)), text...), nil
}

// rowText returns the JSON of a row after checking its checksum.
func rowText(e pages.Entry) ([]byte, error) {
	value, err := e.Value()
	if err != nil {
		return nil, err
	}
	if len(value) < sumSize || binary.BigEndian.Uint32(value) != sum(e.Key, value[sumSize:]) {
		return nil, corrupt("the checksum of a row is wrong")
	}
	return value[sumSize:], nil
}

func parseRow(e pages.Entry, row any) error {
	text, err := rowText(e)
	if err != nil {
		return err
	}
	if json.Unmarshal(text, row) != nil {
		return corrupt("a row cannot be decoded")
	}
	return nil
}

func parseMeta(e pages.Entry) (row metaRow, err error) {
	if err := parseRow(e, &row); err != nil {
		return row, err
	}
	if row.Schema > schema {
		return row, fault.New(fault.Unsupported,
			"the keyring was made by a newer program: it has version %d, and this program supports "+
				"version %d", row.Schema, schema)
	}
	if row.Schema < 1 || len(row.Root) != len(seal.Fingerprint{}) {
		return row, corrupt("its meta row is incomplete")
	}
	return row, nil
}

func parseKey(e pages.Entry) (k store.Key, err error) {
	var row keyRow
	if err := parseRow(e, &row); err != nil {
		return k, err
	}
	k = store.Key{
		State: row.State, Wrapped: row.Wrapped, Encryptions: row.Encryptions,
		Created: row.Created, Activated: row.Activated, Deactivated: row.Deactivated,
	}
	k.ID, err = parseIDKey[seal.KeyID](e.Key)
	return k, err
}

func parseEvent(e pages.Entry) (event store.Event, err error) {
	var row eventRow
	if err := parseRow(e, &row); err != nil {
		return event, err
	}
	event = store.Event{
		Time: row.Time, Actor: row.Actor, Action: row.Action, Outcome: row.Outcome, Keys: row.Keys,
		Detail: row.Detail,
	}
	event.Seq, err = parseIDKey[int64](e.Key)
	return event, err
}

// encodeRecord adds two checksums. The first one covers only name and key, so that a
// damaged record can still be named, deleted and replaced.
func encodeRecord(name []byte, id seal.KeyID, record []byte) []byte {
	v := make([]byte, recordHeadSize, recordHeadSize+len(record))
	key := v[2*sumSize:]
	binary.BigEndian.PutUint64(key, uint64(id))
	binary.BigEndian.PutUint32(v, sum(name, key))
	binary.BigEndian.PutUint32(v[sumSize:], sum(name, key, record))
	return append(v, record...)
}

// recordKey returns the id of the key that a record is under.
func recordKey(e pages.Entry) (seal.KeyID, error) {
	head, err := e.Head(recordHeadSize)
	if err != nil {
		return 0, err
	}
	if len(head) < recordHeadSize || binary.BigEndian.Uint32(head) != sum(e.Key, head[2*sumSize:]) {
		return 0, corrupt("the checksum of an entry is wrong")
	}
	return seal.KeyID(binary.BigEndian.Uint64(head[2*sumSize:])), nil
}

// parseRecord returns the id of the key that a record is under, and the record, or intact
// false if the record is damaged.
func parseRecord(e pages.Entry) (id seal.KeyID, record []byte, intact bool, err error) {
	if id, err = recordKey(e); err != nil {
		return 0, nil, false, err
	}
	v, err := e.Value()
	if err != nil {
		return 0, nil, false, err
	}
	if binary.BigEndian.Uint32(v[sumSize:]) != sum(e.Key, v[2*sumSize:]) {
		return id, nil, false, nil
	}
	return id, append([]byte{}, v[recordHeadSize:]...), true, nil
}

// digest checks what pages.Check cannot check of an entry, and returns a hash of it. The
// sum of these hashes shows whether the entries are the ones that were last committed:
// a page can be valid and yet belong to an older state of the file.
func digest(bucket string, e pages.Entry) (uint64, error) {
	switch bucket {
	case metaBucket:
		_, err := rowText(e)
		return 0, err
	case keysBucket, eventsBucket:
		text, err := rowText(e)
		return mix(uint64(bucket[0]), sum(e.Key, text), uint32(len(text))), err
	case recordsBucket:
		if _, err := recordKey(e); err != nil {
			return 0, err
		}
		head, err := e.Head(2 * sumSize)
		if err != nil {
			return 0, err
		}
		return mix(uint64(bucket[0]), binary.BigEndian.Uint32(head),
			binary.BigEndian.Uint32(head[sumSize:])), nil
	}
	return 0, corrupt("it contains a bucket that does not belong to a keyring")
}

// mix hashes the parts as SplitMix64 does.
func mix(x uint64, parts ...uint32) uint64 {
	for _, p := range parts {
		x += uint64(p) + 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}
