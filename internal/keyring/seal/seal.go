// Package seal is the cryptography of a keyring: it seals texts into records
// under data keys, and wraps data keys under a root key. All of it is
// AES-256-GCM of the standard library, and works in FIPS 140-3 mode.
//
// Format version 1, frozen by known-answer vectors:
//
//	record         = version(1) key id(8, big endian) nonce(12) ciphertext tag(16)
//	wrapped key = version(1) fingerprint of the root(8) nonce(12) key(32) tag(16)
//
// A record authenticates its version, its key id and the name it is stored under.
// A wrapped key authenticates its version, its fingerprint and its id. The
// fingerprint is the start of SHA-256 over a label and the root key.
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

	// Overhead is by how much a record is longer than its text.
	Overhead = headSize + nonceSize + tagSize

	// HeadSize is the length of a record's beginning that no other record shares: its
	// version, key id and nonce.
	HeadSize = headSize + nonceSize

	// MaxEncryptions is how often one key may seal: NIST SP 800-38D, section 8.3, for
	// random nonces.
	MaxEncryptions = 1 << 32

	// MaxText is the longest text that a record holds, in bytes.
	MaxText = 1 << 20
)

// KeyID identifies a data key. The zero KeyID is none.
type KeyID uint64

// String returns 16 hexadecimal digits.
func (id KeyID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// ParseKeyID reads what String wrote.
func ParseKeyID(s string) (KeyID, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 8 {
		return 0, fault.New(fault.Corrupt, "a key id is not 16 hexadecimal digits")
	}
	return KeyID(binary.BigEndian.Uint64(raw)), nil
}

// Fingerprint tells root keys apart without saying anything about them.
type Fingerprint [8]byte

// String returns 16 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Key is a data key, ready to seal and open. It is safe for concurrent use.
type Key struct {
	id   KeyID
	head [headSize]byte

	// Closures, since printers of test libraries follow pointers into fields.
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

// newAEAD cannot fail for a key of 32 bytes.
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

// Seal returns the record that holds text under name.
func (k *Key) Seal(name string, text []byte) []byte {
	record, associated := k.space(headSize, len(text)+Overhead, name)
	*(*[headSize]byte)(record) = k.head
	return k.aead().Seal(record, nil, text, associated)
}

// Open returns the text of a record that k sealed under name. Every error is
// fault.Corrupt; it does not say what is wrong, since that cannot be known.
func (k *Key) Open(name string, record []byte) ([]byte, error) {
	if len(record) < Overhead || [headSize]byte(record) != k.head {
		return nil, fault.New(fault.Corrupt, "the record is damaged or was not sealed with key %s", k.id)
	}
	text, associated := k.space(0, len(record)-Overhead, name)
	text, err := k.aead().Open(text, nil, record[headSize:], associated)
	if err != nil {
		return nil, fault.New(fault.Corrupt, "the record does not open: it is damaged, or was sealed under another name")
	}
	return text, nil
}

// space returns room for size bytes, of which the first n are in use, and what
// a record authenticates beside its text: both in one allocation.
func (k *Key) space(n, size int, name string) (room, associated []byte) {
	all := make([]byte, size+headSize+len(name))
	associated = all[size:]
	*(*[headSize]byte)(associated) = k.head // an array, whose size is known: no call of memmove
	copy(associated[headSize:], name)
	return all[:n:size], associated
}

// RecordKey returns the id of the key that a record was sealed with. The error is
// fault.Corrupt.
func RecordKey(record []byte) (KeyID, error) {
	switch {
	case len(record) < Overhead:
		return 0, fault.New(fault.Corrupt, "the record is cut off after %d bytes", len(record))
	case record[0] != version:
		return 0, fault.New(fault.Corrupt, "the record has the format version %d, which this program does not know: it is damaged, or was sealed by a newer one", record[0])
	}
	return KeyID(binary.BigEndian.Uint64(record[1:])), nil
}

// Root is a root key: it wraps data keys. It is safe for concurrent use.
type Root struct {
	head [headSize]byte
	aead func() cipher.AEAD // a closure, as in Key
}

// NewRootText returns the text of a random root key.
func NewRootText() string {
	raw := make([]byte, keySize)
	_, _ = rand.Read(raw)
	return base64.StdEncoding.EncodeToString(raw)
}

// ParseRoot reads a root key, base64 of 32 bytes. White space around it is
// ignored, since a file ends in a newline. The error is fault.RootKey and
// quotes nothing.
func ParseRoot(text string) (*Root, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.Trim(text, " \t\r\n"))
	switch {
	case err != nil || strings.ContainsAny(strings.Trim(text, " \t\r\n"), "\r\n"):
		return nil, fault.New(fault.RootKey, "a root key is base64 of 32 random bytes, and this is not base64; passphrases are not accepted")
	case len(raw) != keySize:
		return nil, fault.New(fault.RootKey, "a root key is base64 of 32 random bytes, and this has %d", len(raw))
	}
	r := &Root{aead: newAEAD(raw)}
	sum := sha256.Sum256(append([]byte("secretref root key fingerprint v1\x00"), raw...))
	r.head[0] = version
	copy(r.head[1:], sum[:])
	return r, nil
}

// Fingerprint returns the fingerprint of r.
func (r *Root) Fingerprint() Fingerprint { return Fingerprint(r.head[1:]) }

// Wrap returns k, sealed under r.
func (r *Root) Wrap(k *Key) []byte {
	wrapped := append(make([]byte, 0, wrappedSize), r.head[:]...)
	return r.aead().Seal(wrapped, nil, k.raw(), r.associated(k.id))
}

// Unwrap returns the key that was wrapped under r. The error is fault.RootKey
// if another root wrapped it, and fault.Corrupt if it is damaged.
func (r *Root) Unwrap(id KeyID, wrapped []byte) (*Key, error) {
	switch {
	case len(wrapped) != wrappedSize:
		return nil, fault.New(fault.Corrupt, "the wrapped key %s has %d bytes, not %d", id, len(wrapped), wrappedSize)
	case wrapped[0] != version:
		return nil, fault.New(fault.Corrupt, "the wrapped key %s has the format version %d, which this program does not know", id, wrapped[0])
	case [headSize]byte(wrapped) != r.head:
		return nil, fault.New(fault.RootKey, "key %s was wrapped with the root key of fingerprint %s, and this is %s", id, Fingerprint(wrapped[1:headSize]), r.Fingerprint())
	}
	raw, err := r.aead().Open(nil, nil, wrapped[headSize:], r.associated(id))
	if err != nil {
		return nil, fault.New(fault.Corrupt, "the wrapped key %s is damaged: the root key is the right one and does not open it", id)
	}
	return newKey(id, raw), nil
}

// associated is what a wrapped key authenticates beside itself.
func (r *Root) associated(id KeyID) []byte {
	label := append([]byte("secretref wrapped key v1\x00"), r.head[:]...)
	return binary.BigEndian.AppendUint64(label, uint64(id))
}
