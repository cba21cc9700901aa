package pages_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore/pages"
)

func TestCheck_damage(t *testing.T) {
	intact := newImage(t)
	require.NoError(t, intact.check(t.Context()))
	const branch, leaf, freelist = 1, 2, 16
	root := func(m image) uint64 { return intact.find(t, branch)[0] } // of "tree": the only branch
	child := func(m image, i int) []byte { return m.page(root(m))[16+16*i+8:] }
	first := func(flags uint16) uint64 { return intact.find(t, flags)[0] }
	top := order.Uint64(intact.meta()[16:])
	// leaves of "tree"
	leafOf := func(i int) uint64 { return order.Uint64(intact.page(root(intact))[16+16*i+8:]) }
	long := func() uint64 {
		b, err := intact.open(t).Bucket("long")
		require.NoError(t, err)
		require.NotZero(t, order.Uint32(intact.page(b.Root())[12:]))
		return b.Root()
	}()
	inline := bytes.Index(intact.page(top), []byte("small")) + len("small") // bucket header
	header := bytes.Index(intact.page(top), []byte("tree")) + len("tree")
	free := intact.page(first(freelist))

	for what, damage := range map[string]func(m image){
		"a branch that is its own child":   func(m image) { order.PutUint64(child(m, 1), root(m)) },
		"a branch with the top as a child": func(m image) { order.PutUint64(child(m, 1), top) },
		"a child with two parents":         func(m image) { order.PutUint64(child(m, 1), leafOf(2)) },
		"a child of another tree":          func(m image) { order.PutUint64(child(m, 1), long) },
		"a child that is the list of free": func(m image) {
			order.PutUint64(child(m, 1),
				first(freelist))
		},
		"a child that is a meta page": func(m image) { order.PutUint64(child(m, 1), 1) },
		"a child that is free": func(m image) {
			order.PutUint64(child(m, 1),
				order.Uint64(free[16:]))
		},
		"a child outside":     func(m image) { order.PutUint64(child(m, 1), m.high()) },
		"a child far outside": func(m image) { order.PutUint64(child(m, 1), 1<<63+5) },
		"two children exchanged": func(m image) {
			order.PutUint64(child(m, 1),
				leafOf(2))
			order.PutUint64(child(m, 2), leafOf(1))
		},
		"two branches in a circle": func(m image) { circle(m, root(m), leafOf(0)) },
		// the odd numbers are not stored
		"a branch whose key is not its child's": func(m image) { key(m, root(m), 1, branch)[5]-- },
		"a leaf with one entry less":            func(m image) { m.page(leafOf(1))[10]-- },
		"a leaf with one entry more":            func(m image) { m.page(leafOf(1))[10]++ },
		"a leaf without entries":                func(m image) { order.PutUint16(m.page(leafOf(1))[10:], 0) },
		"a leaf with all entries": func(m image) {
			order.PutUint16(m.page(leafOf(1))[10:],
				0xffff)
		},
		"a branch with one entry less": func(m image) { m.page(root(m))[10]-- },
		"a branch with one entry more": func(m image) { m.page(root(m))[10]++ },
		"a branch without entries":     func(m image) { order.PutUint16(m.page(root(m))[10:], 0) },
		"a leaf that says it is a branch": func(m image) {
			order.PutUint16(m.page(leafOf(1))[8:],
				branch)
		},
		"a leaf that says it is a list": func(m image) {
			order.PutUint16(m.page(leafOf(1))[8:],
				freelist)
		},
		"a leaf that says it is both": func(m image) {
			order.PutUint16(m.page(leafOf(1))[8:],
				branch|leaf)
		},
		"a branch that says it is a leaf": func(m image) {
			order.PutUint16(m.page(root(m))[8:],
				leaf)
		},
		"a page under another number":       func(m image) { m.page(leafOf(1))[0]++ },
		"a page that overflows for nothing": func(m image) { m.page(leafOf(1))[12]++ },
		"a page that overflows the file": func(m image) {
			order.PutUint32(m.page(leafOf(1))[12:],
				1<<32-1)
		},
		"a long page that is too short": func(m image) { order.PutUint32(m.page(long)[12:], 0) },
		"a long page that is too long": func(m image) {
			order.PutUint32(m.page(long)[12:],
				order.Uint32(m.page(long)[12:])+1)
		},
		"an entry that is a bucket":      func(m image) { m.page(leafOf(1))[16] ^= 1 },
		"an entry with unknown flags":    func(m image) { m.page(leafOf(1))[16] ^= 2 },
		"an entry with a longer key":     func(m image) { m.page(leafOf(1))[16+8]++ },
		"an entry with a shorter value":  func(m image) { m.page(leafOf(1))[16+12]-- },
		"an entry elsewhere":             func(m image) { m.page(leafOf(1))[16+4]++ },
		"an entry with its border moved": func(m image) { e := m.page(leafOf(1))[16:]; e[8]--; e[12]++ },
		"an entry without a key":         func(m image) { e := m.page(leafOf(1))[16:]; e[12] += e[8]; e[8] = 0 },
		"a first entry without a key":    func(m image) { e := m.page(long)[16:]; e[12] += e[8]; e[8] = 0 },
		"a last entry that is too long": func(m image) {
			order.PutUint32(m.page(leafOf(1))[16+
				16*(count(m, leafOf(1))-1)+12:], 4000)
		},
		"a last entry of gigabytes": func(m image) {
			order.PutUint32(m.page(leafOf(1))[16+
				16*(count(m, leafOf(1))-1)+12:], 1<<32-1)
		},
		"keys that are equal": func(m image) {
			copy(key(m, leafOf(1), 4, leaf),
				key(m, leafOf(1), 3, leaf))
		},
		"keys that are out of order":     func(m image) { key(m, leafOf(1), 4, leaf)[3] = '~' },
		"a first key below its branch's": func(m image) { key(m, leafOf(1), 0, leaf)[5]-- },
		"a last key of the next leaf": func(m image) {
			copy(key(m, leafOf(1),
				count(m, leafOf(1))-1, leaf), key(m, leafOf(2), 0, leaf))
		},
		"a top entry that is no bucket": func(m image) { m.page(top)[16] ^= 1 },
		"a bucket that begins nowhere": func(m image) {
			order.PutUint64(m.page(top)[header:],
				m.high())
		},
		"a bucket that begins with meta":  func(m image) { order.PutUint64(m.page(top)[header:], 1) },
		"a bucket that says it is inline": func(m image) { order.PutUint64(m.page(top)[header:], 0) },
		"an inline bucket that is elsewhere": func(m image) {
			order.PutUint64(m.page(top)[inline:],
				leafOf(0))
		},
		// the last one: a byte longer
		"a bucket of no known kind":          func(m image) { m.page(top)[16+16*2+12]++ },
		"an inline page with a number":       func(m image) { m.page(top)[inline+16]++ },
		"an inline page with a branch":       func(m image) { m.page(top)[inline+16+8] = branch },
		"an inline page with one entry less": func(m image) { m.page(top)[inline+16+10]-- },
		"an inline page without entries":     func(m image) { m.page(top)[inline+16+10] = 0 },
		"an inline page with too many":       func(m image) { m.page(top)[inline+16+11] = 0xff },
		"an inline page that overflows":      func(m image) { m.page(top)[inline+16+12]++ },
		"a list with a page that is in use":  func(m image) { order.PutUint64(m.page(first(freelist))[16:], leafOf(0)) },
		"a list with a page twice": func(m image) {
			copy(m.page(first(freelist))[24:32],
				free[16:24])
		},
		"a list with one page less": func(m image) { m.page(first(freelist))[10]-- },
		"a list with one page more": func(m image) { m.page(first(freelist))[10]++ },
		"a list with a page outside": func(m image) {
			order.PutUint64(m.page(first(freelist))[16+
				8*(count(m, first(freelist))-1):], m.high())
		},
		"a list that is longer than its page": func(m image) { order.PutUint16(m.page(first(freelist))[10:], 0xfffe) },
		"a list that overflows the file":      func(m image) { order.PutUint32(m.page(first(freelist))[12:], 1<<32-1) },
		"a list with all pages": func(m image) {
			p := m.page(first(freelist))
			ids := m.high() - 2
			order.PutUint16(p[10:], uint16(ids))
			for i := range ids {
				order.PutUint64(p[16+8*i:], i+2)
			}
		},
		"a list of far too many pages": func(m image) {
			order.PutUint16(m.page(first(freelist))[10:], 0xffff)
			order.PutUint64(m.page(first(freelist))[16:], 1<<60)
		},
		"a list that is a leaf":        func(m image) { set(m.meta(), 32, leafOf(0)) },
		"a list outside":               func(m image) { set(m.meta(), 32, m.high()) },
		"a top outside":                func(m image) { set(m.meta(), 16, m.high()) },
		"a top that is a meta page":    func(m image) { set(m.meta(), 16, 0) },
		"a page that is not accounted": func(m image) { set(m.meta(), 40, m.high()+1) },
		"fewer pages than there are":   func(m image) { set(m.meta(), 40, m.high()-1) },
		"more pages than bytes":        func(m image) { set(m.meta(), 40, uint64(len(m)/size)+1) },
		"far more pages than bytes":    func(m image) { set(m.meta(), 40, 1<<60) },
		"another page size": func(m image) {
			order.PutUint32(m.meta()[8:],
				size/2)
			set(m.meta(), 40, m.high())
		},
		"no page size": func(m image) {
			order.PutUint32(m.meta()[8:], 0)
			set(m.meta(),
				40, m.high())
		},
		"page sizes that differ": func(m image) {
			order.PutUint32(m.older()[8:],
				2*size)
			set(m.older(), 40, m.high())
		},
		"an odd page size": func(m image) {
			order.PutUint32(m.meta()[8:],
				size+1)
			set(m.meta(), 40, m.high())
		},
		"meta pages far apart": func(m image) {
			set(m.meta(), 48,
				order.Uint64(m.meta()[48:])+2)
		},
		"meta pages of the same time": func(m image) {
			set(m.meta(), 48,
				order.Uint64(m.meta()[48:])-1)
		},
		"meta pages exchanged": func(m image) {
			a := slices.Clone(m[:size])
			copy(m,
				m[size:2*size])
			copy(m[size:], a)
		},
		"the newer meta page damaged":    func(m image) { m.meta()[63]++ },
		"the first meta page damaged":    func(m image) { m[16+60] ^= 1 },
		"the second meta page damaged":   func(m image) { m[size+16+60] ^= 1 },
		"the second meta page zeroed":    func(m image) { clear(m[size : 2*size]) },
		"a magic number of another kind": func(m image) { copy(m[16:], "SQLi") },
	} {
		t.Run(what, func(t *testing.T) {
			m := slices.Clone(intact)
			damage(m)
			require.False(t, bytes.Equal(intact, m), "nothing was changed")
			err := m.check(t.Context())
			require.ErrorIs(t, err, fault.Corrupt)
			assert.NotContains(t, err.Error(), "key0")

			// Reading without Check must at least terminate.
			f, err := pages.Open(bytes.NewReader(m), int64(len(m)))
			if err != nil {
				return
			}
			for _, name := range []string{"small", "long", "tree"} {
				b, err := f.Bucket(name)
				if err != nil || b == nil {
					continue
				}
				for i := 0; i < 600; i += 5 {
					if e, err := b.Get(fmt.Appendf(nil, "key%03d", i)); err == nil && e != nil {
						_, _ = e.Value()
					} else if err != nil {
						require.ErrorIs(t, err, fault.Corrupt)
					}
				}
				n := 0
				_ = b.Ascend(nil, func(pages.Entry) (bool, error) { n++; return n < 10_000, nil })
				require.Less(t, n, 10_000)
			}
		})
	}
}

func TestCheck_wrongEnd(t *testing.T) {
	intact := newImage(t)
	for high := range intact.high() {
		m := slices.Clone(intact)
		set(m.meta(), 40, high)
		require.ErrorIs(t, m.check(t.Context()), fault.Corrupt, "%d pages", high)
	}
}

// Pages beyond the end, left by an unfinished change, do not belong to the file.
func TestCheck_pageBeyondEnd(t *testing.T) {
	m := newImage(t)
	branch := m.find(t, 1)[0]
	child := m.page(branch)[16+8:]
	m = append(m, make([]byte, 300*size)...)
	id := uint64(len(m)/size - 1)
	copy(m.page(id), m.page(order.Uint64(child)))
	order.PutUint64(m.page(id), id)
	order.PutUint64(m.page(branch)[16+8:], id)
	require.ErrorIs(t, m.check(t.Context()), fault.Corrupt)
}

func TestCheck_valid(t *testing.T) {
	t.Run("a file that is longer than needed", func(t *testing.T) {
		m := append(newImage(t), bytes.Repeat([]byte{0xff}, 12345)...)
		require.NoError(t, m.check(t.Context()))
	})
	t.Run("bytes behind the last entry", func(t *testing.T) {
		m := newImage(t)
		for _, id := range m.find(t, 2) {
			m.page(id)[size-1] ^= 0xff
			if order.Uint32(m.page(id)[12:]) != 0 { // the last byte belongs to an entry
				m.page(id)[size-1] ^= 0xff
			}
		}
		require.NoError(t, m.check(t.Context()))
	})
	t.Run("a file whose free pages are not listed", func(t *testing.T) {
		m := newImage(t)
		set(m.meta(), 32, 1<<64-1)
		require.NoError(t, m.check(t.Context()))
	})
	t.Run("a copy made by bbolt, and the next commits to it", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		require.NoError(t, os.WriteFile(path, newImage(t), 0o600))
		for range 4 {
			db, err := bbolt.Open(path, 0o600, nil)
			require.NoError(t, err)
			require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
				return tx.Bucket([]byte("small")).Put([]byte("one"), []byte("more"))
			}))
			copied := path + "+"
			require.NoError(t, db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(copied, 0o600) }))
			require.NoError(t, db.Close())
			path = copied
			for range 3 {
				m, err := os.ReadFile(copied)
				require.NoError(t, err)
				require.NoError(t, image(m).check(t.Context()))
				db, err := bbolt.Open(copied, 0o600, nil)
				require.NoError(t, err)
				require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
					return tx.Bucket([]byte("small")).Put([]byte("two"), []byte("more"))
				}))
				require.NoError(t, db.Close())
			}
		}
	})
	t.Run("more free pages than a page can count", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 1024, NoSync: true})
		require.NoError(t, err)
		require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("b"))
			require.NoError(t, err)
			return b.Put([]byte("k"), make([]byte, 70_000*1024))
		}))
		for range 2 {
			require.NoError(t,
				db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("b")).Put([]byte("k"), nil) }))
		}
		require.NoError(t, db.Close())
		f := open(t, path)
		require.NoError(t, f.Check(t.Context(), func(string, pages.Entry) error { return nil }))
	})
}

func TestCheck_contextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := newImage(t).check(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, fault.Unavailable)
}

type broken struct{ io.ReaderAt }

func (b broken) ReadAt(p []byte, at int64) (int, error) {
	if at >= 3*size {
		return 0, errors.New("input/output error")
	}
	return b.ReaderAt.ReadAt(p, at)
}

func TestCheck_readError(t *testing.T) {
	m := newImage(t)
	f, err := pages.Open(broken{bytes.NewReader(m)}, int64(len(m)))
	require.NoError(t, err)
	err = f.Check(t.Context(), func(string, pages.Entry) error { return nil })
	require.ErrorIs(t, err, fault.Unavailable)
	require.NotErrorIs(t, err, fault.Corrupt)
}
