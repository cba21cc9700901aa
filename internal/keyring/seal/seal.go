// Package seal is the cryptography of a keyring: it encrypts secrets into records
// under data keys, and wraps data keys under a root key. It uses AES-256-GCM of the
// standard library, and works in FIPS 140-3 mode.
//
// Format version 1, frozen by known-answer vectors:
//
//	record      = version(1) key id(8, big endian) nonce(12) ciphertext tag(16)
//	wrapped key = version(1) fingerprint of the root key(8) nonce(12) key(32) tag(16)
//
// The associated data of a record are its version, its key id and the name it is
// stored under; those of a wrapped key are its version, its fingerprint and its id.
// The fingerprint is the beginning of SHA-256 over a label and the root key.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/seed74218947/secretref/internal/fault"
)

const (
	version     = 1
	keySize     = 32
	nonceSize   = 12
	tagSize     = 16
	headSize    = 1 + 8
	wrappedSize = headSize + nonceSize + keySize + tagSize

	// Overhead is the length of a record minus the length of its text.
	Overhead = headSize + nonceSize + tagSize

	// HeadSize is the length of the version, key id and nonce at the beginning of a
	// record, which no two records share.
	HeadSize = headSize + nonceSize

	// MaxEncryptions is the maximum number of encryptions under one key: NIST
	// SP 800-38D, section 8.3, for random nonces.
	MaxEncryptions = 1 << 32

	// MaxText is the maximum length of the text in a record, in bytes.
	MaxText = 1 << 20
)

// KeyID identifies a data key. No key has the id zero.
type KeyID uint64

// String returns 16 hexadecimal digits.
func (k KeyID) String() string { return fmt.Sprintf("%016x", uint64(k)) }

// ParseKeyID parses the result of String. The error is fault.Corrupt.
func ParseKeyID(s string) (KeyID, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 8 {
		return 0, fault.New(fault.Corrupt, "a key id is not 16 hexadecimal digits")
	}
	return KeyID(binary.BigEndian.Uint64(raw)), nil
}

// Fingerprint identifies a root key without revealing anything about it.
type Fingerprint [8]byte

// String returns 16 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Key is a data key. It is safe for concurrent use.
type Key struct {
	id   KeyID
	head [headSize]byte

	// These are closures because printers of test libraries follow pointers in fields.
	raw  func() []byte
	aead func() cipher.AEAD
}

// NewKey returns a random key with a random id.
func NewKey() *Key {
	random := make([]byte, 8+keySize)
	for {
		_, _ = rand.Read(random) // never fails: crypto/rand ends the program instead
		if id := KeyID(binary.BigEndian.Uint64(random)); id != 0 {
			return newKey(id, random[8:])
		}
	}
}

func newKey(id KeyID, raw []byte) *Key {
	k := &Key{id: id, raw: func() []byte { return raw }, aead: newAEAD(raw)}
	k.head[0] = version
	binary.BigEndian.PutUint64(k.head[1:], uint64(id))
	return k
}

// newAEAD panics if raw is not 32 bytes long.
func newAEAD(raw []byte) func() cipher.AEAD {
	block, err := aes.NewCipher(raw)
	if err != nil {
		panic("seal: the key is not 32 bytes long")
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("seal: AES has no GCM")
	}
	return func() cipher.AEAD { return aead }
}

// ID returns the key's id.
func (k *Key) ID() KeyID { return k.id }

// Seal encrypts text into a record to be stored under name.
func (k *Key) Seal(name string, text []byte) []byte {
	record, associated := k.space(headSize, len(text)+Overhead, name)
	*(*[headSize]byte)(record) = k.head
	return k.aead().Seal(record, nil, text, associated)
}

// Open decrypts a record that k sealed under name. Every error is fault.Corrupt and
// gives no cause, since AES-GCM cannot tell one.
func (k *Key) Open(name string, record []byte) ([]byte, error) {
	if len(record) < Overhead || [headSize]byte(record) != k.head {
		return nil, fault.New(fault.Corrupt,
			"the record is damaged, or is not encrypted under key %s", k.id)
	}
	text, associated := k.space(0, len(record)-Overhead, name)
	text, err := k.aead().Open(text, nil, record[headSize:], associated)
	if err != nil {
		return nil, fault.New(fault.Corrupt,
			"the record cannot be decrypted: it is damaged, or was stored under another name")
	}
	return text, nil
}

// space allocates a buffer of length n and capacity size, and the associated data of
// a record, both in one allocation.
func (k *Key) space(n, size int, name string) (buffer, associated []byte) {
	all := make([]byte, size+headSize+len(name))
	associated = all[size:]
	*(*[headSize]byte)(associated) = k.head // copying an array of known size needs no call of memmove
	copy(associated[headSize:], name)
	return all[:n:size], associated
}

// RecordKey returns the id of the key that a record is encrypted under. The error is
// fault.Corrupt.
func RecordKey(record []byte) (KeyID, error) {
	switch {
	case len(record) < Overhead:
		return 0, fault.New(fault.Corrupt, "the record is truncated: it has %d bytes", len(record))
	case record[0] != version:
		return 0, fault.New(fault.Corrupt,
			"the record has format version %d, which this program does not support: "+
				"it is damaged, or was written by a newer program", record[0])
	}
	return KeyID(binary.BigEndian.Uint64(record[1:])), nil
}

// Root is a root key: it wraps data keys. It is safe for concurrent use.
type Root struct {
	head [headSize]byte
	aead func() cipher.AEAD // a closure for the same reason as in Key
}

// NewRootText returns the text of a random root key.
func NewRootText() string {
	raw := make([]byte, keySize)
	_, _ = rand.Read(raw)
	return base64.StdEncoding.EncodeToString(raw)
}

// ParseRoot parses a root key, base64 of 32 bytes. It ignores surrounding white
// space, since a file ends in a newline. The error is fault.RootKey and does not
// quote text.
func ParseRoot(text string) (*Root, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.Trim(text, " \t\r\n"))
	switch {
	case err != nil || strings.ContainsAny(strings.Trim(text, " \t\r\n"), "\r\n"):
		return nil, fault.New(fault.RootKey,
			"a root key is base64 of 32 random bytes, but this is not base64; passphrases are not accepted")
	case len(raw) != keySize:
		return nil, fault.New(fault.RootKey, "a root key is base64 of 32 random bytes, but this has %d",
			len(raw))
	}
	r := &Root{aead: newAEAD(raw)}
	sum := sha256.Sum256(append([]byte("secretref root key fingerprint v1\x00"), raw...))
	r.head[0] = version
	copy(r.head[1:], sum[:])
	return r, nil
}

// Fingerprint returns the fingerprint of r.
func (r *Root) Fingerprint() Fingerprint { return Fingerprint(r.head[1:]) }

// Wrap encrypts k under r.
func (r *Root) Wrap(k *Key) []byte {
	wrapped := append(make([]byte, 0, wrappedSize), r.head[:]...)
	return r.aead().Seal(wrapped, nil, k.raw(), r.associated(k.id))
}

// Unwrap decrypts the key with the id. The error is fault.RootKey if it is wrapped by
// another root key, and fault.Corrupt if it is damaged.
func (r *Root) Unwrap(id KeyID, wrapped []byte) (*Key, error) {
	switch {
	case len(wrapped) != wrappedSize:
		return nil, fault.New(fault.Corrupt, "the wrapped key %s has %d bytes, want %d", id, len(wrapped),
			wrappedSize)
	case wrapped[0] != version:
		return nil, fault.New(fault.Corrupt,
			"the wrapped key %s has format version %d, which this program does not support", id, wrapped[0])
	case [headSize]byte(wrapped) != r.head:
		return nil, fault.New(fault.RootKey,
			"key %s is wrapped with the root key of fingerprint %s, not %s",
			id, Fingerprint(wrapped[1:headSize]), r.Fingerprint())
	}
	raw, err := r.aead().Open(nil, nil, wrapped[headSize:], r.associated(id))
	if err != nil {
		return nil, fault.New(fault.Corrupt,
			"the wrapped key %s is damaged: its root key cannot decrypt it", id)
	}
	return newKey(id, raw), nil
}

// associated returns the associated data of a wrapped key.
func (r *Root) associated(id KeyID) []byte {
	label := append([]byte("secretref wrapped key v1\x00"), r.head[:]...)
	return binary.BigEndian.AppendUint64(label, uint64(id))
}
