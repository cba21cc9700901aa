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
	elementSize = 16 // of a leaf: flags(4) position(4) key size(4) value size(4); of a branch: position(4) key size(4) page(8)
	maxKeySize  = 1 << 15
)

// page is a page of a tree with the pages it overflows into, proved to be in
// itself as it should be.
type page struct {
	f      *File // nil: all of it is in buf
	id     uint64
	leaf   bool
	count  int
	offset int64 // in the file
	size   int64 // with the overflow
	used   int64
	buf    []byte // its first page, which is the one that has a number
}

// page reads the page id into the buffer of depth. Its elements must have
// exactly the given flags if it is a leaf. If first is not nil it is the key
// that the page begins with; upper, if not nil, is above all its keys.
func (f *File) page(id uint64, depth int, flags uint32, first, upper []byte) (*page, error) {
	p, is, err := f.read(id, depth)
	if err != nil {
		return nil, err
	}
	if is == flagFreelist || p.count == 0 { // bbolt keeps no empty pages, and an empty bucket within another's page
		return nil, corrupt("page %d is not part of a tree", id)
	}
	if p.table() > f.pageSize { // only entries overflow
		return nil, corrupt("page %d holds more than fits", id)
	}
	if err := p.prove(flags); err != nil {
		return nil, err
	}
	return p, p.ordered(first, upper)
}

// read reads the first of the pages of a tree or freelist, and its flags.
func (f *File) read(id uint64, depth int) (*page, uint16, error) {
	if id >= f.high {
		return nil, 0, corrupt("page %d is used and should not be", id)
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
		return nil, 0, corrupt("page %d is another one", id)
	}
	if overflow >= f.high-id {
		return nil, 0, corrupt("page %d is longer than the file", id)
	}
	p.size = int64(overflow+1) * f.pageSize
	return p, flags, nil
}

// newInline returns the page of a bucket that is kept within its own entry.
func newInline(b []byte) (*page, error) {
	if len(b) < headerSize || order.Uint64(b) != 0 || order.Uint16(b[8:]) != flagLeaf || order.Uint32(b[12:]) != 0 {
		return nil, corrupt("a bucket within a page is damaged")
	}
	p := &page{leaf: true, count: int(order.Uint16(b[10:])), size: int64(len(b)), buf: b}
	if p.table() > p.size {
		return nil, corrupt("a bucket within a page is cut off")
	}
	if err := p.prove(0); err != nil {
		return nil, err
	}
	if p.used != p.size {
		return nil, corrupt("a bucket within a page is longer than what it holds")
	}
	return p, p.ordered(nil, nil)
}

type element struct {
	flags              uint32
	start, key, length int64 // where the key starts in the page, its size, and that of the value
	child              uint64
}

func (p *page) element(i int) element {
	at := headerSize + elementSize*i
	b := p.buf[at:]
	if p.leaf {
		return element{order.Uint32(b), int64(at) + int64(order.Uint32(b[4:])), int64(order.Uint32(b[8:])), int64(order.Uint32(b[12:])), 0}
	}
	return element{0, int64(at) + int64(order.Uint32(b)), int64(order.Uint32(b[4:])), 0, order.Uint64(b[8:])}
}

// table returns where the table of elements ends.
func (p *page) table() int64 { return headerSize + elementSize*int64(p.count) }

// prove goes through the table: each entry begins where the one before ends.
func (p *page) prove(flags uint32) error {
	p.used = p.table()
	for i := range p.count {
		e := p.element(i)
		if e.start != p.used || e.key < 1 || e.key > maxKeySize || p.leaf && e.flags != flags {
			return corrupt("page %d has a damaged entry", p.id)
		}
		p.used += e.key + e.length
	}
	if p.used > p.size {
		return corrupt("page %d holds more than fits", p.id)
	}
	return nil
}

// ordered goes through the keys.
func (p *page) ordered(first, upper []byte) error {
	var last []byte
	for i := range p.count {
		key, err := p.key(i)
		if err != nil {
			return err
		}
		if i == 0 && first != nil && !bytes.Equal(first, key) || i > 0 && bytes.Compare(last, key) >= 0 {
			return corrupt("page %d is out of order", p.id)
		}
		last = key
	}
	if upper != nil && p.count > 0 && bytes.Compare(last, upper) >= 0 {
		return corrupt("page %d reaches into the next one", p.id)
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

// child returns the page that element i of a branch points to, the key that it
// begins with and the one that is above all of its keys.
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

// bytes returns a part of the page, which may not be in buf.
func (p *page) bytes(start, n int64) ([]byte, error) {
	if start+n <= int64(len(p.buf)) {
		return p.buf[start : start+n : start+n], nil
	}
	if p.f == nil || start+n > p.size {
		return nil, corrupt("page %d is cut off", p.id)
	}
	b := make([]byte, n)
	return b, readAt(p.f.r, b, p.offset+start)
}

// Entry is a key and its value.
type Entry struct {
	Key           []byte
	p             *page
	value         []byte // if p is nil
	loose         bool   // found through a page without a number
	start, length int64
}

// NewEntry returns an entry that is in memory.
func NewEntry(key, value []byte) Entry {
	return Entry{Key: key, value: value, length: int64(len(value))}
}

// Len returns the length of the value.
func (e Entry) Len() int { return int(e.length) }

// Head returns the first n bytes of the value, or all if it has fewer.
func (e Entry) Head(n int) ([]byte, error) {
	n = int(min(int64(n), e.length))
	if e.p == nil {
		return e.value[:n], nil
	}
	return e.p.bytes(e.start, int64(n))
}

// Anchored reports whether an entry that Get returned, as far as the first n
// bytes of its value, and all that led to it are on pages that have a number.
// Pages that others overflow into have none: they may be in order and yet be
// others, which only Check and what is known of the entries can tell.
func (e Entry) Anchored(n int) bool {
	return !e.loose && (e.p == nil || e.start+min(int64(n), e.length) <= int64(len(e.p.buf)))
}

// Value returns the value.
func (e Entry) Value() ([]byte, error) { return e.Head(int(e.length)) }
