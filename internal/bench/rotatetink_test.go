package bench

import (
	"strconv"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// rotateTink rotates with tink-go: it sets a new primary key and re-encrypts ciphertexts, which the
// caller has to store, here in memory.
func rotateTink(b *testing.B) {
	for _, n := range rotationSizes {
		b.Run(strconv.Itoa(n)+"/other-tink", func(b *testing.B) {
			ring := tinkRing{keyset.NewManager()}
			before := ring.rotate(b)
			records := make([][]byte, n)
			for i := range records {
				records[i] = tinkSeal(b, before, i, []byte(secretText(i)))
			}
			for b.Loop() {
				after := ring.rotate(b)
				for i, sealed := range records {
					records[i] = tinkSeal(b, after, i, tinkOpen(b, after, i, sealed))
				}
			}
			for i, sealed := range records {
				if got := string(tinkOpen(b, ring.aead(b), i, sealed)); got != secretText(i) {
					b.Fatalf("%q", got)
				}
			}
		})
	}
}

type tinkRing struct{ *keyset.Manager }

// rotate adds a key and makes it the primary one.
func (r tinkRing) rotate(b *testing.B) tink.AEAD {
	id, err := r.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		b.Fatal(err)
	}
	if err := r.SetPrimary(id); err != nil {
		b.Fatal(err)
	}
	return r.aead(b)
}

func (r tinkRing) aead(b *testing.B) tink.AEAD {
	handle, err := r.Handle()
	if err != nil {
		b.Fatal(err)
	}
	a, err := aead.New(handle)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

func tinkSeal(b *testing.B, a tink.AEAD, i int, text []byte) []byte {
	sealed, err := a.Encrypt(text, []byte(secretName(i)))
	if err != nil {
		b.Fatal(err)
	}
	return sealed
}

func tinkOpen(b *testing.B, a tink.AEAD, i int, sealed []byte) []byte {
	text, err := a.Decrypt(sealed, []byte(secretName(i)))
	if err != nil {
		b.Fatal(err)
	}
	return text
}
