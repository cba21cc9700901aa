// Package pages reads a bbolt file page by page and trusts none of them. bbolt maps the
// file and follows whatever it finds: on a damaged file it may read from the older of
// its two states, skip entries, panic, fault, or recurse until the process dies. This
// package reads with system calls, which can fail safely, verifies each page before it
// uses it, and returns fault.Corrupt for a damaged one. Check verifies the whole file,
// after which bbolt can use it.
//
// The format is bbolt's, version 2, in the byte order of the machine. Pages must be laid
// out as bbolt writes them, which is stricter than what bbolt relies on: entries follow
// the table of elements and each other without a gap, so that a damaged count or length
// shows, and a branch holds exactly the first key of each child.
package pages

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"

	"github.com/seed74218947/secretref/internal/fault"
)

const (
	magic      = 0xED0CDAED
	version    = 2
	headerSize = 16 // of a page: id(8) flags(2) count(2) overflow(4)
	// magic(4) version(4) page size(4) flags(4) root(8) sequence(8) freelist(8) high(8) txid(8)
	// checksum(8)
	metaSize   = 64
	bucketSize = 16 // root(8) sequence(8)
	noFreelist = 1<<64 - 1

	minPageSize, maxPageSize = 1 << 10, 1 << 24 // bbolt supports no others

	// maxDepth is more than the depth of any tree whose branches have at least two
	// children. It bounds the stack, not the file.
	maxDepth = 64
)

var order = binary.NativeEndian

// File is one state of a bbolt file. The file must stay locked while it is read. It is
// not safe for concurrent use.
type File struct {
	r        io.ReaderAt
	size     int64
	pageSize int64
	root     uint64 // id of the root page of the tree of buckets
	freelist uint64 // id of the page, or noFreelist
	high     uint64 // the first page id beyond the end
	state    State
	buffers  [maxDepth][]byte // one page for each level of a descent
}

// State identifies a committed state of a file.
type State struct{ sums [2]uint64 }

// Open reads the meta pages. Both must be intact: if the newer one is damaged, bbolt
// falls back to the older one and so undoes a committed change.
func Open(r io.ReaderAt, size int64) (*File, error) {
	if size == 0 {
		return nil, corrupt("it is empty")
	}
	first, err := readMeta(r, 0, 0)
	if err != nil {
		return nil, err
	}
	second, err := readMeta(r, 1, int64(first.pageSize))
	if err != nil {
		return nil, err
	}
	newer, older := first, second
	if newer.txid < older.txid {
		newer, older = older, newer
	}
	// bbolt writes them in turn, so they are one transaction apart, or two after the first
	// commit to a copy made by bbolt (Tx.WriteTo).
	if distance := newer.txid - older.txid; first.pageSize != second.pageSize || distance < 1 ||
		distance > 2 {
		return nil, corrupt("its meta pages do not belong together")
	}
	f := &File{
		r: r, size: size, pageSize: int64(newer.pageSize),
		root: newer.root, freelist: newer.freelist, high: newer.high,
		state: State{[2]uint64{first.sum, second.sum}},
	}
	if f.high > uint64(size/f.pageSize) {
		return nil, corrupt("it is truncated: it has %d bytes instead of %d pages of %d", size, f.high,
			f.pageSize)
	}
	return f, nil
}

// HasMagic reports whether a file begins like a bbolt file. No transaction changes its
// beginning, so the file need not be locked.
func HasMagic(r io.ReaderAt) (bool, error) {
	var b [headerSize + 8]byte
	n, err := r.ReadAt(b[:], 0)
	if n < len(b) && !errors.Is(err, io.EOF) {
		return false, fault.New(fault.Unavailable, "it cannot be read").WithCause(err)
	}
	m := b[headerSize:]
	return n == len(b) && order.Uint32(m) == magic && order.Uint32(m[4:]) == version, nil
}

// State returns the state of the file.
func (f *File) State() State { return f.state }

type meta struct {
	pageSize                        uint32
	root, freelist, high, txid, sum uint64
}

func readMeta(r io.ReaderAt, id uint64, offset int64) (meta, error) {
	var b [headerSize + metaSize]byte
	if err := readAt(r, b[:], offset); err != nil {
		return meta{}, err
	}
	m := b[headerSize:]
	if id == 0 && (order.Uint32(m) != magic || order.Uint32(m[4:]) != version) {
		return meta{}, corrupt("it does not begin like a bbolt file")
	}
	h := fnv.New64a()
	_, _ = h.Write(m[:metaSize-8])
	got := meta{
		pageSize: order.Uint32(m[8:]), root: order.Uint64(m[16:]), freelist: order.Uint64(m[32:]),
		high: order.Uint64(m[40:]), txid: order.Uint64(m[48:]), sum: order.Uint64(m[56:]),
	}
	if got.sum != h.Sum64() || order.Uint32(m) != magic || order.Uint32(m[4:]) != version ||
		order.Uint64(b[:]) != id || order.Uint16(b[8:]) != flagMeta ||
		got.pageSize < minPageSize || got.pageSize > maxPageSize || got.pageSize&(got.pageSize-1) != 0 {
		return meta{}, corrupt("meta page %d is damaged", id)
	}
	return got, nil
}

// Bucket is a named tree of entries.
type Bucket struct {
	f      *File
	root   uint64
	inline []byte // the only page of a small bucket, which has no root page
	loose  bool   // found on a page without a page number
}

// Bucket returns the bucket of that name, or nil.
func (f *File) Bucket(name string) (*Bucket, error) {
	top := &Bucket{f: f, root: f.root}
	e, err := top.find([]byte(name), flagBucket)
	if e == nil || err != nil {
		return nil, err
	}
	return f.bucket(*e)
}

// bucket returns the bucket in an entry of the top tree.
func (f *File) bucket(e Entry) (*Bucket, error) {
	head, err := e.Head(bucketSize)
	if err != nil {
		return nil, err
	}
	if len(head) < bucketSize {
		return nil, corrupt("a bucket is truncated")
	}
	b := &Bucket{f: f, root: order.Uint64(head), loose: !e.Anchored(e.Len())}
	if b.root != 0 {
		if e.Len() > bucketSize {
			return nil, corrupt("a bucket is both inline and on a page of its own")
		}
		return b, nil
	}
	value, err := e.Value()
	if err != nil {
		return nil, err
	}
	b.inline = append([]byte{}, value[bucketSize:]...) // the buffer will be reused
	return b, nil
}

// Get returns the entry of that key, or nil. It verifies the pages on the path to it, so
// that an entry it finds is right. Only Check can verify that there is no such entry.
// The entry is valid until the next call on the File.
func (b *Bucket) Get(key []byte) (*Entry, error) { return b.find(key, 0) }

func (b *Bucket) find(key []byte, flags uint32) (*Entry, error) {
	var first, upper []byte
	id := b.root
	for depth := range maxDepth {
		p, err := b.page(id, depth, flags, first, upper)
		if err != nil {
			return nil, err
		}
		i, exact, err := p.search(key)
		if err != nil {
			return nil, err
		}
		if p.leaf {
			if !exact {
				return nil, nil
			}
			e, err := p.entry(i)
			e.loose = b.loose
			return &e, err
		}
		if !exact && i > 0 {
			i--
		}
		if id, first, upper, err = p.child(i, upper); err != nil {
			return nil, err
		}
	}
	return nil, corrupt("a tree is too deep")
}

// Ascend calls visit with the entries from the key on, in order, until visit returns
// false or an error. An entry is valid until visit returns. Only Check can verify that no
// entry is missing.
func (b *Bucket) Ascend(from []byte, visit func(Entry) (more bool, err error)) error {
	w := walk{b: b, visit: visit}
	_, err := w.tree(b.root, 0, nil, nil, from)
	return err
}

// page returns a page of the bucket's tree.
func (b *Bucket) page(id uint64, depth int, flags uint32, first, upper []byte) (*page, error) {
	if b.root == 0 {
		return newInline(b.inline)
	}
	return b.f.page(id, depth, flags, first, upper)
}

// walk visits a tree in order.
type walk struct {
	b     *Bucket
	base  int // level of the tree's root among the buffers of the file
	flags uint32
	claim func(*page) error // if not nil, is called first with each page
	visit func(Entry) (more bool, err error)
}

func (w *walk) tree(id uint64, depth int, first, upper, from []byte) (more bool, err error) {
	if w.base+depth >= maxDepth {
		return false, corrupt("a tree is too deep")
	}
	p, err := w.b.page(id, w.base+depth, w.flags, first, upper)
	if err != nil {
		return false, err
	}
	if w.claim != nil && w.b.root != 0 {
		if err := w.claim(p); err != nil {
			return false, err
		}
	}
	i, exact, err := p.search(from)
	if err != nil {
		return false, err
	}
	if !p.leaf && !exact && i > 0 {
		i--
	}
	for more = true; more && i < p.count; i++ {
		if p.leaf {
			e, err := p.entry(i)
			if err != nil {
				return false, err
			}
			if more, err = w.visit(e); err != nil {
				return false, err
			}
			continue
		}
		id, first, upper, err := p.child(i, upper)
		if err != nil {
			return false, err
		}
		if more, err = w.tree(id, depth+1, first, upper, from); err != nil {
			return false, err
		}
	}
	return more, nil
}

// readAt fills b. A file that ends too early is damaged; an error from reading it is not
// damage.
func readAt(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case errors.Is(err, io.EOF):
		return corrupt("it is truncated")
	}
	return fault.New(fault.Unavailable, "it cannot be read").WithCause(err)
}

func corrupt(format string, args ...any) error { return fault.New(fault.Corrupt, format, args...) }
