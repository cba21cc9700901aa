package bench

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/seed74218947/secretref/internal/keyring/seal"
)

// sealer encrypts and decrypts a text under a name. Both return new memory, except for the sealer
// with a reused buffer.
type sealer struct {
	name string
	seal func(text []byte) ([]byte, error)
	open func(sealed []byte) ([]byte, error)
}

// recordName is the name of a record, which is authenticated.
const recordName = "service-000001/password"

// BenchmarkSeal encrypts with AES-256-GCM.
func BenchmarkSeal(b *testing.B) {
	each(b, func(b *testing.B, s sealer, text []byte) {
		for b.Loop() {
			if _, err := s.seal(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOpen decrypts with AES-256-GCM.
func BenchmarkOpen(b *testing.B) {
	each(b, func(b *testing.B, s sealer, text []byte) {
		sealed, err := s.seal(text)
		if err != nil {
			b.Fatal(err)
		}
		sealed = bytes.Clone(sealed)
		for b.Loop() {
			if got, err := s.open(sealed); err != nil || len(got) != len(text) {
				b.Fatal(err)
			}
		}
	})
}

func each(b *testing.B, run func(*testing.B, sealer, []byte)) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"32B", 32}, {"1KiB", 1 << 10}, {"64KiB", 64 << 10}} {
		b.Run(size.name, func(b *testing.B) {
			text := make([]byte, size.bytes)
			_, _ = rand.Read(text)
			for _, s := range sealers(b) {
				b.Run(s.name, func(b *testing.B) {
					sealed, err := s.seal(text)
					if err != nil {
						b.Fatal(err)
					}
					if got, err := s.open(sealed); err != nil || !bytes.Equal(got, text) {
						b.Fatal("cannot decrypt", err)
					}
					b.ReportAllocs()
					b.SetBytes(int64(size.bytes))
					run(b, s, text)
				})
			}
		})
	}
}

func sealers(b *testing.B) []sealer {
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	key := seal.NewKey()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	must(err)
	tink, err := aead.New(handle)
	must(err)

	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	newGCM := func() cipher.AEAD {
		block, err := aes.NewCipher(raw)
		must(err)
		gcm, err := cipher.NewGCMWithRandomNonce(block)
		must(err)
		return gcm
	}
	gcm := newGCM()
	name := []byte(recordName)
	space := make([]byte, 0, 65<<10)
	return []sealer{
		{"secretref",
			func(text []byte) ([]byte, error) { return key.Seal(recordName, text), nil },
			func(sealed []byte) ([]byte, error) { return key.Open(recordName, sealed) }},
		{"tink",
			func(text []byte) ([]byte, error) { return tink.Encrypt(text, name) },
			func(sealed []byte) ([]byte, error) { return tink.Decrypt(sealed, name) }},
		{"other-new-cipher",
			func(text []byte) ([]byte, error) { return newGCM().Seal(nil, nil, text, name), nil },
			func(sealed []byte) ([]byte, error) { return newGCM().Open(nil, nil, sealed, name) }},
		{"limit-gcm",
			func(text []byte) ([]byte, error) { return gcm.Seal(nil, nil, text, name), nil },
			func(sealed []byte) ([]byte, error) { return gcm.Open(nil, nil, sealed, name) }},
		{"other-gcm-reused-buffer",
			func(text []byte) ([]byte, error) { return gcm.Seal(space, nil, text, name), nil },
			func(sealed []byte) ([]byte, error) { return gcm.Open(space, nil, sealed, name) }},
	}
}
