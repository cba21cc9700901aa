package pages_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/pages"
)

const size = 4096

var order = binary.NativeEndian

// image is a file in memory. It has an inline bucket "small", a bucket "long" whose entries
// overflow, a bucket "tree" of two levels, and some free pages.
type image []byte

func newImage(t *testing.T) image {
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: size, NoSync: true})
	require.NoError(t, err)
	for round := range 3 {
		require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
			for _, name := range []string{"small", "long", "tree"} {
				_, err := tx.CreateBucketIfNotExists([]byte(name))
				require.NoError(t, err)
			}
			for i := range 5 {
				require.NoError(t, tx.Bucket([]byte("small")).Put(fmt.Appendf(nil, "key%d", i),
					[]byte("value")))
			}
			for i := range 3 {
				require.NoError(t,
					tx.Bucket([]byte("long")).Put(fmt.Appendf(nil, "key%d", i), make([]byte, 3000+round)))
			}
			for i := range 300 {
				require.NoError(t, tx.Bucket([]byte("tree")).Put(fmt.Appendf(nil, "key%03d", i*2),
					bytes.Repeat([]byte{byte(i)}, 40)))
			}
			return nil
		}))
	}
	require.NoError(t, db.Close())
	m, err := os.ReadFile(path)
	require.NoError(t, err)
	return m
}

func (m image) page(id uint64) []byte { return m[id*size:][:size] }

// meta returns the newer meta page, without its header.
func (m image) meta() []byte {
	a, b := m[16:], m[size+16:]
	if order.Uint64(a[48:]) > order.Uint64(b[48:]) {
		return a
	}
	return b
}

// older returns the other meta page.
func (m image) older() []byte {
	if a := m[16:]; &a[0] != &m.meta()[0] {
		return a
	}
	return m[size+16:]
}

// set changes a field of a meta page and its checksum.
func set(meta []byte, at int, value uint64) {
	order.PutUint64(meta[at:], value)
	h := fnv.New64a()
	_, _ = h.Write(meta[:56])
	order.PutUint64(meta[56:], h.Sum64())
}

func (m image) high() uint64 { return order.Uint64(m.meta()[40:]) }

// find returns the pages with those flags that are in use.
func (m image) find(t *testing.T, flags uint16) (ids []uint64) {
	f := m.open(t)
	used := map[uint64]bool{order.Uint64(m.meta()[16:]): true, order.Uint64(m.meta()[32:]): true}
	for _, name := range []string{"long", "tree"} {
		b, err := f.Bucket(name)
		require.NoError(t, err)
		m.collect(b.Root(), used)
	}
	for id := range m.high() {
		if used[id] && order.Uint16(m.page(id)[8:]) == flags {
			ids = append(ids, id)
		}
	}
	require.NotEmpty(t, ids)
	return ids
}

func (m image) collect(id uint64, used map[uint64]bool) {
	used[id] = true
	if p := m.page(id); order.Uint16(p[8:]) == 1 {
		for i := range int(order.Uint16(p[10:])) {
			m.collect(order.Uint64(p[16+16*i+8:]), used)
		}
	}
}

func (m image) open(t *testing.T) *pages.File {
	f, err := pages.Open(bytes.NewReader(m), int64(len(m)))
	require.NoError(t, err)
	return f
}

// check opens and checks the image.
func (m image) check(ctx context.Context) error {
	f, err := pages.Open(bytes.NewReader(m), int64(len(m)))
	if err != nil {
		return err
	}
	return f.Check(ctx, func(string, pages.Entry) error { return nil })
}

// compose writes a branch page.
func compose(p []byte, id uint64, keys []string, children []uint64) {
	clear(p)
	order.PutUint64(p, id)
	order.PutUint16(p[8:], 1)
	order.PutUint16(p[10:], uint16(len(keys)))
	at := 16 + 16*len(keys)
	for i, key := range keys {
		e := p[16+16*i:]
		order.PutUint32(e, uint32(at-16-16*i))
		order.PutUint32(e[4:], uint32(len(key)))
		order.PutUint64(e[8:], children[i])
		at += copy(p[at:], key)
	}
}

func count(m image, id uint64) int { return int(order.Uint16(m.page(id)[10:])) }

// key returns the key of an element, in place.
func key(m image, id uint64, i int, flags uint16) []byte {
	at := 16 + 16*i
	e := m.page(id)[at:]
	if flags == 2 {
		e = e[4:]
	}
	start := at + int(order.Uint32(e))
	return m.page(id)[start:][:order.Uint32(e[4:])]
}

// circle makes two branches, each of which is the only child of the other.
func circle(m image, a, b uint64) {
	compose(m.page(a), a, []string{"key000"}, []uint64{b})
	compose(m.page(b), b, []string{"key000"}, []uint64{a})
}
