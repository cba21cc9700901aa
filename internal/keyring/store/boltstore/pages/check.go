package pages

import (
	"context"

	"github.com/seed74218947/secretref/internal/fault"
)

// Check verifies the whole file: every page below the high-water mark is free or belongs
// to exactly one tree, and every tree is in order. It calls visit with the entries of all
// buckets and returns its first error. It reads values only where visit does. Its memory
// does not grow with the number of entries.
func (f *File) Check(ctx context.Context, visit func(bucket string, e Entry) error) error {
	c := &pageSet{f: f, seen: make([]uint64, f.high/64+1)}
	_ = c.mark(0)
	_ = c.mark(1)
	claim := func(p *page) error {
		if err := checkContext(ctx); err != nil {
			return err
		}
		for id := p.id; id < p.id+uint64(p.size/f.pageSize); id++ {
			if !c.mark(id) {
				return corrupt("page %d is used twice", id)
			}
		}
		return nil
	}

	top := walk{b: &Bucket{f: f, root: f.root}, flags: flagBucket, claim: claim}
	top.visit = func(e Entry) (bool, error) {
		name := string(e.Key)
		b, err := f.bucket(e)
		if err != nil {
			return false, err
		}
		w := walk{b: b, base: maxDepth / 2, claim: claim}
		w.visit = func(e Entry) (bool, error) { return true, visit(name, e) }
		return w.tree(b.root, 0, nil, nil, nil)
	}
	if _, err := top.tree(f.root, 0, nil, nil, nil); err != nil {
		return err
	}
	// as some tools leave it; bbolt then frees all pages that no tree has
	if f.freelist == noFreelist {
		return nil
	}
	if err := c.markFree(claim); err != nil {
		return err
	}
	for id := range f.high {
		if c.seen[id/64]&(1<<(id%64)) == 0 {
			return corrupt("page %d belongs to no tree and is not free", id)
		}
	}
	return nil
}

// pageSet is the set of pages that have been accounted for.
type pageSet struct {
	f    *File
	seen []uint64 // one bit for each page
}

// mark adds a page, and reports whether it is new.
func (c *pageSet) mark(id uint64) bool {
	bit := uint64(1) << (id % 64)
	if c.seen[id/64]&bit != 0 {
		return false
	}
	c.seen[id/64] |= bit
	return true
}

// markFree marks the free pages and the pages of the freelist.
func (c *pageSet) markFree(claim func(*page) error) error {
	p, flags, err := c.f.read(c.f.freelist, 0)
	if err != nil {
		return err
	}
	if flags != flagFreelist {
		return corrupt("page %d is not the freelist", p.id)
	}
	if err := claim(p); err != nil {
		return err
	}
	at, n := int64(headerSize), int64(p.count)
	if n == 0xffff { // the count is in the first element
		b, err := p.bytes(at, 8)
		if err != nil {
			return err
		}
		at, n = at+8, int64(min(order.Uint64(b), c.f.high))
	}
	const batch = 512
	for ; n > 0; n -= batch {
		b, err := p.bytes(at, 8*min(n, batch))
		if err != nil {
			return err
		}
		for ; len(b) > 0; b = b[8:] {
			if id := order.Uint64(b); id >= c.f.high || !c.mark(id) {
				return corrupt("page %d is on the freelist but is in use", id)
			}
		}
		at += 8 * batch
	}
	return nil
}

func checkContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable,
			"the context ended while its pages were being checked").WithCause(err)
	}
	return nil
}
