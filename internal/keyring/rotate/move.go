package rotate

import (
	"context"
	"errors"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

func (l *lockedRotation) rotate(ctx context.Context, progress func(done, total int)) (Rotation,
	error) {
	keys, err := l.Store().Load(ctx)
	if err != nil {
		return Rotation{}, store.AsCorrupt(err)
	}
	if keys.Active() == nil {
		return Rotation{}, fault.New(fault.Corrupt, "the keyring has no active key")
	}
	var done Rotation
	var total int
	counts := map[seal.KeyID]int{} // records by key, as far as is known
	if retiring := keys.Retiring(); retiring != nil {
		done.From, done.To = retiring.ID, keys.Active().ID
		l.keys, l.began = []seal.KeyID{done.From, done.To}, true
		l.note = ", in a rotation that had begun earlier"
		counts, total, err = l.resume(ctx, done.To)
	} else {
		done.From = keys.Active().ID
		done.To, total, done.Blocked, err = l.begin(ctx, keys, counts)
	}
	if err != nil {
		return done, err
	}
	if err := l.Reload(ctx); err != nil {
		return done, err
	}
	return l.move(ctx, done, counts, total, progress)
}

// begin decrypts every record, and then makes a new key the active one. It counts
// the records by key, with an entry for the key that was active.
func (l *lockedRotation) begin(ctx context.Context, keys *store.Keys, counts map[seal.KeyID]int) (
	to seal.KeyID, total int, blocked []string, err error,
) {
	from := keys.Active().ID
	l.keys = []seal.KeyID{from}
	counts[from] = 0
	read := func(ctx context.Context, visit func([]store.Record) error) error {
		return store.Pages(ctx, l.Store(), l.pages(0), visit)
	}
	err = prefetch(ctx, read, func(page []store.Record) error {
		if err := l.checkpoint(ctx); err != nil {
			return err
		}
		for _, r := range page {
			counts[r.Key]++
			if _, err := l.OpenStored(ctx, r); errors.Is(err, fault.Corrupt) {
				blocked = append(blocked, r.Name)
			} else if err != nil {
				return err
			}
		}
		total += len(page)
		return nil
	})
	if err == nil && blocked != nil {
		err = fault.New(fault.RotationBlocked,
			"nothing was changed: %s; restore, replace or delete what is damaged",
			keyring.ListUnopened(blocked))
	}
	if err != nil {
		return 0, 0, blocked, err
	}
	root, next := l.Root(), seal.NewKey()
	if root.Fingerprint() != keys.Root {
		if err := l.Reload(ctx); err != nil {
			return 0, 0, nil, err
		}
		root = l.Root()
	}
	l.keys = []seal.KeyID{from, next.ID()}
	reserved := uint64(total + headroom)
	e := l.event(ctx, keyring.Rotate, keyring.Started, "secrets: %d", total)
	k := store.Key{ID: next.ID(), Wrapped: root.Wrap(next), Encryptions: reserved}
	if err := l.lease.Activate(ctx, root.Fingerprint(), from, k, e); err != nil {
		return 0, 0, nil, changedError(err)
	}
	l.began = true
	l.Notify(ctx, e)
	l.AddReserved(next.ID(), reserved)
	return next.ID(), total, nil, nil
}

// resume counts the records that a rotation in progress has yet to move.
func (l *lockedRotation) resume(ctx context.Context, to seal.KeyID) (counts map[seal.KeyID]int,
	total int, err error) {
	counts, err = l.Store().Count(ctx)
	delete(counts, to)
	for _, n := range counts {
		total += n
	}
	if err == nil && total > 0 {
		err = l.Store().ReserveEncryptions(ctx, to, uint64(total))
	}
	if errors.Is(err, store.ErrKeyExhausted) {
		err = fault.New(fault.KeyExhausted,
			"key %s has too few encryptions left for the %d secrets that have yet to be moved to "+
				"it", to, total)
	}
	if err != nil {
		return nil, 0, err
	}
	l.AddReserved(to, uint64(total))
	return counts, total, nil
}

// move moves the records under the counted keys to the new key, page by page, and
// then ends the rotation. No record can be put under one of these keys meanwhile:
// Put uses only the new key since Activate, and used only the old one before.
func (l *lockedRotation) move(ctx context.Context, done Rotation, counts map[seal.KeyID]int,
	total int, progress func(done, total int)) (Rotation, error) {
	visited := 0
	for id := range counts {
		read := func(ctx context.Context, visit func(resealed) error) error {
			return l.reseal(ctx, id, done.To, visit)
		}
		each := prefetch[resealed]
		if total <= l.pageRecords { // a single page is not worth a second connection
			each = sequential
		}
		err := each(ctx, read, func(page resealed) error {
			if err := l.checkpoint(ctx); err != nil {
				return err
			}
			done.Blocked = append(done.Blocked, page.blocked...)
			moved, err := l.lease.Move(ctx, id, done.To, page.swaps)
			if err != nil {
				return err
			}
			l.renewed = time.Now()
			done.Moved += moved
			visited += page.records
			if progress != nil {
				progress(min(visited, total), total)
			}
			return nil
		})
		if err != nil {
			return done, changedError(err)
		}
	}
	if done.Blocked != nil {
		return done, fault.New(fault.RotationBlocked,
			"all other secrets were moved: %s; restore, replace or delete what is damaged, and rotate again",
			keyring.ListUnopened(done.Blocked))
	}
	e := l.event(ctx, keyring.Rotate, keyring.Done, "secrets re-encrypted: %d%s", done.Moved, l.note)
	err := l.lease.Retire(ctx, done.From, e)
	if errors.Is(err, store.ErrInUse) {
		err = fault.New(fault.RotationBlocked,
			"secrets were stored under key %s while it was retiring: rotate again", done.From)
	}
	if err != nil {
		return done, changedError(err)
	}
	l.Notify(ctx, e)
	if progress != nil && visited < total { // writers have moved the others
		progress(total, total)
	}
	return done, l.Reload(ctx)
}

// resealed is a page of records encrypted under another key.
type resealed struct {
	records int
	swaps   []store.Swap
	blocked []string // names of the records that cannot be decrypted
}

// reseal encrypts the records under the key from under the key to, page by page, and
// passes each page to visit.
func (l *lockedRotation) reseal(ctx context.Context, from, to seal.KeyID,
	visit func(resealed) error) error {
	return store.Pages(ctx, l.Store(), l.pages(from), func(page []store.Record) error {
		next, err := l.resealPage(ctx, to, page)
		if err != nil {
			return err
		}
		return visit(next)
	})
}

func (l *lockedRotation) resealPage(ctx context.Context, to seal.KeyID,
	page []store.Record) (resealed, error) {
	done := resealed{records: len(page), swaps: make([]store.Swap, 0, len(page))}
	key, err := l.ReserveKey(ctx, to, uint64(len(page)))
	if err != nil {
		return done, err
	}
	for _, r := range page {
		text, err := l.OpenRecord(ctx, r.Name, r.Sealed)
		if errors.Is(err, fault.Corrupt) {
			done.blocked = append(done.blocked, r.Name)
			continue
		}
		if err != nil {
			return done, err
		}
		done.swaps = append(done.swaps, store.Swap{Name: r.Name, Head: r.Sealed[:seal.HeadSize],
			Sealed: key.Seal(r.Name, text)})
	}
	return done, nil
}

// pages returns the range of all records under the key, or under any key if id is 0.
func (l *lockedRotation) pages(id seal.KeyID) store.Range {
	return store.Range{Key: id, Limit: l.pageRecords, Bytes: maxPageBytes}
}

// sequential passes the pages that read returns to use, one after the other.
func sequential[Page any](ctx context.Context, read func(context.Context, func(Page) error) error,
	use func(Page) error) error {
	return read(ctx, use)
}

// prefetch is like sequential but reads ahead: one page is ready and another is being
// read while use works. A FileStore cannot be read during a write, so it is read
// between two transactions, and the page is re-encrypted during the next.
func prefetch[Page any](ctx context.Context, read func(context.Context, func(Page) error) error,
	use func(Page) error) error {
	ctx, cancel := context.WithCancel(ctx)
	pages, readErr := make(chan Page, 1), make(chan error, 1)
	go func() {
		defer close(pages)
		readErr <- read(ctx, func(next Page) error {
			select {
			case pages <- next:
				return nil
			case <-ctx.Done():
				return interrupted(ctx)
			}
		})
	}()
	defer func() { // deferred because use calls Progress, which may panic
		cancel()
		for range pages {
		}
	}()
	for page := range pages {
		if err := use(page); err != nil {
			return err
		}
	}
	return <-readErr
}
