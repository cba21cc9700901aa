package pages

import (
	"bytes"
	"sort"
)

// The flags of pages, and of the elements in leaves.
const (
	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	flagBucket = 0x01
)

const (
	// of a leaf: flags(4) position(4) key size(4) value size(4); of a branch: position(4) key
	// size(4) page(8)
	elementSize = 16
	maxKeySize  = 1 << 15
)

// page is a page of a tree, with the pages that it overflows into.
type page struct {
	f      *File // nil if all of the page is in buf
	id     uint64
	leaf   bool
	count  int
	offset int64 // in the file
	size   int64 // with the overflow
	used   int64
	buf    []byte // the first page, which has the page number
}

// page reads and verifies a page, using the buffer of depth. The elements of a leaf must
// have exactly the given flags. If first is not nil, the page must begin with that key.
// If upper is not nil, all keys must be below it.
func (f *File) page(id uint64, depth int, flags uint32, first, upper []byte) (*page, error) {
	p, pageFlags, err := f.read(id, depth)
	if err != nil {
		return nil, err
	}
	// bbolt has no empty pages; an empty bucket is inline
	if pageFlags == flagFreelist || p.count == 0 {
		return nil, corrupt("page %d does not belong to a tree", id)
	}
	if p.table() > f.pageSize { // only entries overflow
		return nil, corrupt("page %d is overfull", id)
	}
	if err := p.verifyTable(flags); err != nil {
		return nil, err
	}
	return p, p.verifyOrder(first, upper)
}

// read reads the first page of a tree page or freelist, and its flags.
func (f *File) read(id uint64, depth int) (*page, uint16, error) {
	if id >= f.high {
		return nil, 0, corrupt("page %d is in use but is beyond the end", id)
	}
	if f.buffers[depth] == nil {
		f.buffers[depth] = make([]byte, f.pageSize)
	}
	b := f.buffers[depth][:f.pageSize]
	p := &page{f: f, id: id, offset: int64(id) * f.pageSize, buf: b}
	if err := readAt(f.r, b, p.offset); err != nil {
		return nil, 0, err
	}
	flags, overflow := order.Uint16(b[8:]), uint64(order.Uint32(b[12:]))
	p.count = int(order.Uint16(b[10:]))
	p.leaf = flags == flagLeaf
	if order.Uint64(b) != id || flags != flagLeaf && flags != flagBranch && flags != flagFreelist {
		return nil, 0, corrupt("page %d has another number or kind", id)
	}
	if overflow >= f.high-id {
		return nil, 0, corrupt("page %d overflows the file", id)
	}
	p.size = int64(overflow+1) * f.pageSize
	return p, flags, nil
}

// newInline verifies and returns the page of an inline bucket.
func newInline(b []byte) (*page, error) {
	if len(b) < headerSize || order.Uint64(b) != 0 || order.Uint16(b[8:]) != flagLeaf ||
		order.Uint32(b[12:]) != 0 {
		return nil, corrupt("an inline bucket is damaged")
	}
	p := &page{leaf: true, count: int(order.Uint16(b[10:])), size: int64(len(b)), buf: b}
	if p.table() > p.size {
		return nil, corrupt("an inline bucket is truncated")
	}
	if err := p.verifyTable(0); err != nil {
		return nil, err
	}
	if p.used != p.size {
		return nil, corrupt("an inline bucket is longer than its entries")
	}
	return p, p.verifyOrder(nil, nil)
}

type element struct {
	flags              uint32
	start, key, length int64 // offset of the key in the page, and lengths of key and value
	child              uint64
}

func (p *page) element(i int) element {
	at := headerSize + elementSize*i
	b := p.buf[at:]
	if p.leaf {
		return element{order.Uint32(b), int64(at) + int64(order.Uint32(b[4:])),
			int64(order.Uint32(b[8:])), int64(order.Uint32(b[12:])), 0}
	}
	return element{0, int64(at) + int64(order.Uint32(b)), int64(order.Uint32(b[4:])), 0,
		order.Uint64(b[8:])}
}

// table returns the offset of the end of the table of elements.
func (p *page) table() int64 { return headerSize + elementSize*int64(p.count) }

// verifyTable checks that each entry begins where the previous one ends.
func (p *page) verifyTable(flags uint32) error {
	p.used = p.table()
	for i := range p.count {
		e := p.element(i)
		if e.start != p.used || e.key < 1 || e.key > maxKeySize || p.leaf && e.flags != flags {
			return corrupt("page %d has a damaged entry", p.id)
		}
		p.used += e.key + e.length
	}
	if p.used > p.size {
		return corrupt("page %d is overfull", p.id)
	}
	return nil
}

// verifyOrder checks the order of the keys.
func (p *page) verifyOrder(first, upper []byte) error {
	var last []byte
	for i := range p.count {
		key, err := p.key(i)
		if err != nil {
			return err
		}
		if i == 0 && first != nil && !bytes.Equal(first, key) || i > 0 && bytes.Compare(last, key) >= 0 {
			return corrupt("the keys of page %d are out of order", p.id)
		}
		last = key
	}
	if upper != nil && p.count > 0 && bytes.Compare(last, upper) >= 0 {
		return corrupt("page %d has keys of the next page", p.id)
	}
	return nil
}

// search returns the first entry whose key is not below key.
func (p *page) search(key []byte) (i int, exact bool, err error) {
	i = sort.Search(p.count, func(i int) bool {
		k, e := p.key(i)
		if e != nil {
			err = e
		}
		c := bytes.Compare(k, key)
		exact = exact || c == 0
		return c >= 0
	})
	return i, exact, err
}

func (p *page) key(i int) ([]byte, error) {
	e := p.element(i)
	return p.bytes(e.start, e.key)
}

// child returns the id of child i of a branch, its first key, and an upper bound of its
// keys.
func (p *page) child(i int, last []byte) (id uint64, first, upper []byte, err error) {
	if first, err = p.key(i); err != nil {
		return 0, nil, nil, err
	}
	upper = last
	if i+1 < p.count {
		if upper, err = p.key(i + 1); err != nil {
			return 0, nil, nil, err
		}
	}
	return p.element(i).child, first, upper, nil
}

func (p *page) entry(i int) (Entry, error) {
	e := p.element(i)
	key, err := p.bytes(e.start, e.key)
	return Entry{Key: key, p: p, start: e.start + e.key, length: e.length}, err
}

// bytes returns a part of the page, and reads it if it is not in buf.
func (p *page) bytes(start, n int64) ([]byte, error) {
	if start+n <= int64(len(p.buf)) {
		return p.buf[start : start+n : start+n], nil
	}
	if p.f == nil || start+n > p.size {
		return nil, corrupt("page %d is truncated", p.id)
	}
	b := make([]byte, n)
	return b, readAt(p.f.r, b, p.offset+start)
}

// Entry is a key and its value.
type Entry struct {
	Key           []byte
	p             *page
	value         []byte // if p is nil
	loose         bool   // found through a page without a page number
	start, length int64
}

// NewEntry returns an entry in memory.
func NewEntry(key, value []byte) Entry {
	return Entry{Key: key, value: value, length: int64(len(value))}
}

// Len returns the length of the value.
func (e Entry) Len() int { return int(e.length) }

// Head returns the first n bytes of the value, or all of a shorter one.
func (e Entry) Head(n int) ([]byte, error) {
	n = int(min(int64(n), e.length))
	if e.p == nil {
		return e.value[:n], nil
	}
	return e.p.bytes(e.start, int64(n))
}

// Anchored reports whether an entry from Get, up to the first n bytes of its value, and
// the path to it are entirely on pages with a page number. Overflow pages have none: one
// may be valid and yet be the wrong page, which only Check together with checksums of
// the entries can find.
func (e Entry) Anchored(n int) bool {
	return !e.loose && (e.p == nil || e.start+min(int64(n), e.length) <= int64(len(e.p.buf)))
}

// Value returns the value.
func (e Entry) Value() ([]byte, error) { return e.Head(int(e.length)) }
