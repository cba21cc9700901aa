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

// sealer seals a text under a name, and opens what it has sealed. What either
// returns is new memory, except for those that say otherwise.
type sealer struct {
	name string
	seal func(text []byte) ([]byte, error)
	open func(box []byte) ([]byte, error)
}

// name is what the boxes are stored under, which is authenticated.
const boxName = "service-000001/password"

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

// BenchmarkOpen decrypts it again.
func BenchmarkOpen(b *testing.B) {
	each(b, func(b *testing.B, s sealer, text []byte) {
		box, err := s.seal(text)
		if err != nil {
			b.Fatal(err)
		}
		box = bytes.Clone(box)
		for b.Loop() {
			if got, err := s.open(box); err != nil || len(got) != len(text) {
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
					box, err := s.seal(text)
					if err != nil {
						b.Fatal(err)
					}
					if got, err := s.open(box); err != nil || !bytes.Equal(got, text) {
						b.Fatal("what was sealed does not open", err)
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
	name := []byte(boxName)
	space := make([]byte, 0, 65<<10)
	return []sealer{
		{"secretref",
			func(text []byte) ([]byte, error) { return key.Seal(boxName, text), nil },
			func(box []byte) ([]byte, error) { return key.Open(boxName, box) }},
		{"tink",
			func(text []byte) ([]byte, error) { return tink.Encrypt(text, name) },
			func(box []byte) ([]byte, error) { return tink.Decrypt(box, name) }},
		{"other-new-cipher",
			func(text []byte) ([]byte, error) { return newGCM().Seal(nil, nil, text, name), nil },
			func(box []byte) ([]byte, error) { return newGCM().Open(nil, nil, box, name) }},
		{"limit-gcm",
			func(text []byte) ([]byte, error) { return gcm.Seal(nil, nil, text, name), nil },
			func(box []byte) ([]byte, error) { return gcm.Open(nil, nil, box, name) }},
		{"other-gcm-reused-buffer",
			func(text []byte) ([]byte, error) { return gcm.Seal(space, nil, text, name), nil },
			func(box []byte) ([]byte, error) { return gcm.Open(space, nil, box, name) }},
	}
}
