package bolt

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"time"

	"go.etcd.io/bbolt"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keystore"
	"github.com/seed74218947/secretref/internal/seal"
)

// The buckets. Each value in them begins with a checksum of its key and the
// rest of it.
var (
	metaBucket   = []byte("meta")   // metaKey: metaRow
	keysBucket   = []byte("keys")   // key id: keyRow
	boxesBucket  = []byte("boxes")  // name: key id, box
	eventsBucket = []byte("events") // seq: eventRow
	metaKey      = []byte("keyring")
)

const schema = 1

type metaRow struct {
	Schema int
	Root   []byte
}

type keyRow struct {
	State                           keystore.State
	Wrapped                         []byte
	Seals                           uint64
	Created, Activated, Deactivated time.Time
}

type eventRow struct {
	Time                           time.Time
	Actor, Action, Outcome, Detail string
	Keys                           []seal.KeyID
}

const sumSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// summed returns the value to be stored under key for the parts of it.
func summed(key []byte, parts ...[]byte) []byte {
	value := make([]byte, sumSize)
	for _, p := range parts {
		value = append(value, p...)
	}
	binary.BigEndian.PutUint32(value, sum(key, value[sumSize:]))
	return value
}

// checked returns what summed was given. It belongs to the transaction.
func checked(key, value []byte) ([]byte, error) {
	if len(value) < sumSize || binary.BigEndian.Uint32(value) != sum(key, value[sumSize:]) {
		return nil, damaged("an entry does not have its checksum")
	}
	return value[sumSize:], nil
}

func damaged(what string) error { return fault.New(fault.Corrupt, "%s: restore a backup", what) }

func idKey[T ~uint64 | ~int64](id T) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

func putJSON(b *bbolt.Bucket, key []byte, row any) error {
	text, err := json.Marshal(row)
	if err != nil {
		return err
	}
	return b.Put(key, summed(key, text))
}

func parseJSON(key, value []byte, row any) error {
	text, err := checked(key, value)
	if err != nil {
		return err
	}
	if json.Unmarshal(text, row) != nil {
		return damaged("an entry cannot be read")
	}
	return nil
}

func parseBox(name, value []byte) (seal.KeyID, []byte, error) {
	value, err := checked(name, value)
	if err != nil {
		return 0, nil, err
	}
	if len(value) < 8 {
		return 0, nil, damaged("a box is cut off")
	}
	return seal.KeyID(binary.BigEndian.Uint64(value)), value[8:], nil
}
