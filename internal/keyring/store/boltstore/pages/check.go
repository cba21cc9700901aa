package pages

import (
	"context"

	"github.com/seed74218947/secretref/internal/fault"
)

// Check proves the whole file: every page below the high-water mark is part of
// exactly one tree or free, and every tree is in order. It shows the entries of
// all buckets to visit, whose first error it returns. Of values it reads only
// what visit does. Its memory does not grow with the number of entries.
func (f *File) Check(ctx context.Context, visit func(bucket string, e Entry) error) error {
	c := &check{f: f, seen: make([]uint64, f.high/64+1)}
	_ = c.mark(0)
	_ = c.mark(1)
	claim := func(p *page) error {
		if err := ended(ctx); err != nil {
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
	if f.freelist == noFreelist { // as some tools leave it; bbolt then frees what no tree has
		return nil
	}
	if err := c.free(claim); err != nil {
		return err
	}
	for id := range f.high {
		if c.seen[id/64]&(1<<(id%64)) == 0 {
			return corrupt("page %d is lost", id)
		}
	}
	return nil
}

type check struct {
	f    *File
	seen []uint64 // a bit for each page
}

// mark notes that a page is accounted for, and reports whether it is for the
// first time.
func (c *check) mark(id uint64) bool {
	bit := uint64(1) << (id % 64)
	if c.seen[id/64]&bit != 0 {
		return false
	}
	c.seen[id/64] |= bit
	return true
}

// free marks the free pages and those of the list of them.
func (c *check) free(claim func(*page) error) error {
	p, flags, err := c.f.read(c.f.freelist, 0)
	if err != nil {
		return err
	}
	if flags != flagFreelist {
		return corrupt("page %d is not the list of free pages", p.id)
	}
	if err := claim(p); err != nil {
		return err
	}
	at, n := int64(headerSize), int64(p.count)
	if n == 0xffff { // the number is in the first element
		b, err := p.bytes(at, 8)
		if err != nil {
			return err
		}
		at, n = at+8, int64(min(order.Uint64(b), c.f.high))
	}
	const some = 512
	for ; n > 0; n -= some {
		b, err := p.bytes(at, 8*min(n, some))
		if err != nil {
			return err
		}
		for ; len(b) > 0; b = b[8:] {
			if id := order.Uint64(b); id >= c.f.high || !c.mark(id) {
				return corrupt("page %d is on the list of free pages and should not be", id)
			}
		}
		at += 8 * some
	}
	return nil
}

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "the check of its pages was not finished").WithCause(err)
	}
	return nil
}
