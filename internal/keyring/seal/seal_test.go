package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
)

// vector is a known answer: another implementation wrapped the key and encrypted the
// record.
type vector struct{ Root, Fingerprint, ID, Wrapped, Name, Text, Record string }

func vectors(t testing.TB) []vector {
	raw, err := os.ReadFile("testdata/v1.json")
	require.NoError(t, err)
	var file struct {
		About   string
		Vectors []vector
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&file))
	require.Len(t, file.Vectors, 5)
	return file.Vectors
}

func unhex(t testing.TB, s string) []byte {
	raw, err := hex.DecodeString(s)
	require.NoError(t, err)
	return raw
}

// unwrapped returns the key of a vector.
func unwrapped(t testing.TB, v vector) *seal.Key {
	root, err := seal.ParseRoot(v.Root)
	require.NoError(t, err)
	id, err := seal.ParseKeyID(v.ID)
	require.NoError(t, err)
	key, err := root.Unwrap(id, unhex(t, v.Wrapped))
	require.NoError(t, err)
	return key
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		root, err := seal.ParseRoot(v.Root)
		require.NoError(t, err)
		assert.Equal(t, v.Fingerprint, root.Fingerprint().String())
		key := unwrapped(t, v)
		assert.Equal(t, v.ID, key.ID().String())
		id, err := seal.RecordKey(unhex(t, v.Record))
		require.NoError(t, err)
		assert.Equal(t, key.ID(), id)
		text, err := key.Open(v.Name, unhex(t, v.Record))
		require.NoError(t, err)
		assert.Equal(t, v.Text, base64.StdEncoding.EncodeToString(text))
	}
}

func TestOpen_damage(t *testing.T) {
	for _, v := range vectors(t) {
		key, record := unwrapped(t, v), unhex(t, v.Record)
		for i := range len(record) * 8 {
			bad := bytes.Clone(record)
			bad[i/8] ^= 1 << (i % 8)
			_, err := key.Open(v.Name, bad)
			require.ErrorIs(t, err, fault.Corrupt, "bit %d", i)
		}
		for n := range record {
			_, err := key.Open(v.Name, record[:n])
			require.ErrorIs(t, err, fault.Corrupt, "%d bytes", n)
		}
		_, err := key.Open(v.Name, append(record, 0))
		require.ErrorIs(t, err, fault.Corrupt)

		root, err := seal.ParseRoot(v.Root)
		require.NoError(t, err)
		wrapped := unhex(t, v.Wrapped)
		for i := range len(wrapped) * 8 {
			bad := bytes.Clone(wrapped)
			bad[i/8] ^= 1 << (i % 8)
			_, err := root.Unwrap(key.ID(), bad)
			if of := i / 8; 1 <= of && of <= 8 {
				require.ErrorIs(t, err, fault.RootKey, "bit %d: the fingerprint of another root key", i)
			} else {
				require.ErrorIs(t, err, fault.Corrupt, "bit %d", i)
			}
		}
		_, err = root.Unwrap(key.ID(), wrapped[:len(wrapped)-1])
		require.ErrorIs(t, err, fault.Corrupt)
	}
}

func TestSeal_allocations(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("FIPS mode may allocate")
	}
	key := seal.NewKey()
	for _, size := range []int{0, 32, 4 << 10, 64 << 10} {
		text := make([]byte, size)
		record := key.Seal("alice", text)
		opened, err := key.Open("alice", record)
		require.NoError(t, err)
		require.Equal(t, [2]int{len(record), len(opened)}, [2]int{cap(record), cap(opened)},
			"appending to the result must not overwrite memory")
		require.Equal(t, 1.0, testing.AllocsPerRun(10, func() { key.Seal("alice", text) }), size)
		require.Equal(t, 1.0, testing.AllocsPerRun(10, func() { _, _ = key.Open("alice", record) }), size)
	}
}

func TestOpen_otherNameOrKey(t *testing.T) {
	key, other := seal.NewKey(), seal.NewKey()
	record := key.Seal("alice", []byte("hunter2"))
	for _, name := range []string{"", "alic", "alicf", "alice\x00", "Alice"} {
		_, err := key.Open(name, record)
		require.ErrorIs(t, err, fault.Corrupt, name)
	}
	_, err := other.Open("alice", record)
	require.ErrorIs(t, err, fault.Corrupt)

	// The id of another key in the head does not make it a record under that key.
	forged := append(bytes.Clone(other.Seal("alice", nil)[:9]), record[9:]...)
	_, err = other.Open("alice", forged)
	require.ErrorIs(t, err, fault.Corrupt)

	newer := bytes.Clone(record)
	newer[0] = 2
	_, err = seal.RecordKey(newer)
	require.ErrorIs(t, err, fault.Corrupt)
	require.ErrorContains(t, err, "version 2")
}

func TestUnwrap(t *testing.T) {
	root, err := seal.ParseRoot(seal.NewRootText())
	require.NoError(t, err)
	other, err := seal.ParseRoot(seal.NewRootText())
	require.NoError(t, err)
	key := seal.NewKey()
	wrapped := root.Wrap(key)
	again, err := root.Unwrap(key.ID(), wrapped)
	require.NoError(t, err)
	text, err := again.Open("n", key.Seal("n", []byte("t")))
	require.NoError(t, err)
	assert.Equal(t, "t", string(text))

	_, err = other.Unwrap(key.ID(), wrapped)
	require.ErrorIs(t, err, fault.RootKey)
	_, err = root.Unwrap(key.ID()+1, wrapped)
	require.ErrorIs(t, err, fault.Corrupt)
}

func TestParseRoot(t *testing.T) {
	good := seal.NewRootText()
	for _, text := range []string{good, good + "\n", " " + good + "\r\n"} {
		_, err := seal.ParseRoot(text)
		require.NoError(t, err)
	}
	for _, text := range []string{"", "correct horse battery staple", strings.TrimRight(good, "="),
		good[:20] + "\n" + good[20:], good + good,
		base64.StdEncoding.EncodeToString(make([]byte,
			31)), base64.StdEncoding.EncodeToString(make([]byte, 33)), hex.EncodeToString(make([]byte, 32)),
		good[:42] + "B="} { // with excess bits
		_, err := seal.ParseRoot(text)
		require.ErrorIs(t, err, fault.RootKey, text)
		if len(text) > 8 {
			require.NotContains(t, err.Error(), text[:8])
		}
	}
	assert.NotEqual(t, seal.NewRootText(), seal.NewRootText())
}

func TestRoot_isNotPrinted(t *testing.T) {
	root, err := seal.ParseRoot(strings.Repeat("QUFB", 10) + "QUE=")
	require.NoError(t, err)
	key, err := root.Unwrap(1, func() []byte { // a key of 32 times A
		k := seal.NewKey()
		return root.Wrap(k)
	}())
	require.Error(t, err)
	require.Nil(t, key)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb, root), "41414141")
		assert.NotContains(t, fmt.Sprintf(verb, *root), "AAAA")
		assert.NotContains(t, fmt.Sprintf(verb, *root), "65 65 65")
	}
}

func FuzzSeal(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Name, []byte(v.Text), uint(7))
	}
	f.Fuzz(func(t *testing.T, name string, text []byte, bit uint) {
		key := seal.NewKey()
		record := key.Seal(name, text)
		require.Len(t, record, len(text)+seal.Overhead)
		again, err := key.Open(name, record)
		require.NoError(t, err)
		require.True(t, bytes.Equal(text, again))
		at := bit % uint(len(record)*8)
		record[at/8] ^= 1 << (at % 8)
		_, err = key.Open(name, record)
		require.ErrorIs(t, err, fault.Corrupt)
	})
}

// bare returns the cipher, which is benchmarked with the same associated data.
func bare(b *testing.B) cipher.AEAD {
	block, err := aes.NewCipher(make([]byte, 32))
	require.NoError(b, err)
	aead, err := cipher.NewGCMWithRandomNonce(block)
	require.NoError(b, err)
	return aead
}

var sizes = []int{32, 1 << 10, 64 << 10}

const name = "jdbc-password"

func BenchmarkSeal(b *testing.B) {
	for _, size := range sizes {
		text, aad := make([]byte, size), append(make([]byte, 9), name...)
		b.Run(fmt.Sprintf("bare/%d", size), func(b *testing.B) {
			aead := bare(b)
			for b.Loop() {
				aead.Seal(nil, nil, text, aad)
			}
		})
		b.Run(fmt.Sprintf("ours/%d", size), func(b *testing.B) {
			key := seal.NewKey()
			for b.Loop() {
				key.Seal(name, text)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, size := range sizes {
		text, aad := make([]byte, size), append(make([]byte, 9), name...)
		b.Run(fmt.Sprintf("bare/%d", size), func(b *testing.B) {
			aead := bare(b)
			record := aead.Seal(nil, nil, text, aad)
			for b.Loop() {
				_, _ = aead.Open(nil, nil, record, aad)
			}
		})
		b.Run(fmt.Sprintf("ours/%d", size), func(b *testing.B) {
			key := seal.NewKey()
			record := key.Seal(name, text)
			for b.Loop() {
				_, _ = key.Open(name, record)
			}
		})
	}
}
