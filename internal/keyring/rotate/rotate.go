// Package rotate changes the keys of a keyring: it replaces the active one and
// takes all records to its successor, deletes keys that no record needs, and wraps
// the keys under another root key. Wherever it is killed nothing is lost, and
// the next rotation finishes the one that is recorded.
package rotate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

const (
	// pageRecords and pageBytes bound what a transaction moves, and so the time that
	// others wait for it and, three pages at a time, the memory that a rotation
	// needs.
	pageRecords = 1000
	pageBytes   = 4 << 20

	// spare is how many seals the new key has beyond those of the rotation.
	spare = 1024

	// prolong is how old a lease may get while nothing is written. It ends
	// after 15 seconds.
	prolong = 3 * time.Second

	// wrongClock is how far in the future a key may have been activated. One
	// from further ahead has no age that could be trusted, and is rotated.
	wrongClock = time.Hour
)

// Rotation is what a rotation did.
type Rotation struct {
	From, To seal.KeyID
	Moved    int      // records
	Blocked  []string // the names of those that do not open
}

// Rotator is safe for concurrent use.
type Rotator struct {
	Ring *keyring.Keyring

	// Progress is told how many records of how many have moved. It may be nil.
	Progress func(done, total int)

	// Stop, when it is closed, ends what is under way between two transactions.
	Stop <-chan struct{}

	page int // how many records a transaction moves; 0: pageRecords
}

// Rotate makes a new active key and takes all records to it; or finishes the
// rotation that is recorded. fault.RotationInProgress: somebody else rotates.
// fault.RotationBlocked: there are records that do not open.
func (r *Rotator) Rotate(ctx context.Context) (Rotation, error) {
	var done Rotation
	err := r.exclusively(ctx, keyring.Rotate, func(j *job) error {
		var err error
		done, err = j.rotate(ctx, r.Progress)
		return err
	})
	return done, err
}

// IfOlder rotates if the active key was activated at least age ago, or a
// rotation is recorded. Where another node rotates at this moment there is
// nothing to do.
func (r *Rotator) IfOlder(ctx context.Context, age time.Duration) (done Rotation, rotated bool, err error) {
	if due, err := r.due(ctx, age); err != nil || !due {
		return Rotation{}, false, err
	}
	lease, err := r.Ring.Store().Acquire(ctx)
	if errors.Is(err, fault.RotationInProgress) {
		return Rotation{}, false, nil
	}
	if err != nil {
		return Rotation{}, false, r.ended(ctx, keyring.Rotate, nil, err)
	}
	err = r.holding(ctx, lease, keyring.Rotate, func(j *job) error {
		// Another node may have rotated just before the lease was ours.
		due, err := r.due(ctx, age)
		if err != nil || !due {
			return err
		}
		rotated = true
		done, err = j.rotate(ctx, r.Progress)
		return err
	})
	return done, rotated && err == nil, err
}

func (r *Rotator) due(ctx context.Context, age time.Duration) (bool, error) {
	keys, err := r.Ring.Store().Load(ctx)
	if err != nil {
		return false, lost(err)
	}
	active := keys.Active()
	if active == nil {
		return true, nil
	}
	passed := keys.Now.Sub(active.Activated)
	return keys.Retiring() != nil || passed >= age || passed < -wrongClock, nil
}

// lost says that what was there is not.
func lost(err error) error {
	if errors.Is(err, store.ErrEmpty) {
		return fault.New(fault.Corrupt, "the keyring is no longer in its store: was the database replaced?")
	}
	return err
}

// DeleteInactive deletes all inactive keys and returns them.
func (r *Rotator) DeleteInactive(ctx context.Context) ([]store.Key, error) {
	e := store.Event{Actor: keyring.Actor(ctx), Action: keyring.DeleteInactive, Outcome: keyring.Done}
	deleted, err := r.Ring.Store().DeleteInactive(ctx, e)
	if errors.Is(err, store.ErrInUse) {
		err = fault.New(fault.RotationBlocked, "a secret is still sealed with an inactive key: rotate, which takes it to the active one")
	}
	if err != nil {
		return nil, r.ended(ctx, keyring.DeleteInactive, nil, err)
	}
	for _, k := range deleted {
		e.Keys = append(e.Keys, k.ID)
	}
	r.Ring.Notify(ctx, e)
	return deleted, nil
}

// ChangeRoot wraps all keys under another root key.
func (r *Rotator) ChangeRoot(ctx context.Context, text string) error {
	next, err := seal.ParseRoot(text)
	if err != nil {
		return r.ended(ctx, keyring.ChangeRoot, nil, err)
	}
	return r.exclusively(ctx, keyring.ChangeRoot, func(j *job) error {
		return j.changeRoot(ctx, strings.TrimSpace(text), next)
	})
}

// exclusively does work that only one may do at a time, and records how it
// ended if it did not succeed.
func (r *Rotator) exclusively(ctx context.Context, action string, work func(*job) error) error {
	lease, err := r.Ring.Store().Acquire(ctx)
	if err != nil {
		return r.ended(ctx, action, nil, err)
	}
	return r.holding(ctx, lease, action, work)
}

func (r *Rotator) holding(ctx context.Context, lease store.Lease, action string, work func(*job) error) error {
	defer lease.Release(ctx)
	j := &job{Keyring: r.Ring, lease: lease, renewed: time.Now(), stop: r.Stop, page: cmp.Or(r.page, pageRecords)}
	return r.ended(ctx, action, j, work(j))
}

// ended records that something did not succeed, and returns why.
func (r *Rotator) ended(ctx context.Context, action string, j *job, err error) error {
	if err == nil {
		return nil
	}
	e := store.Event{Actor: keyring.Actor(ctx), Action: action, Outcome: keyring.Failed, Detail: err.Error()}
	for _, kind := range []error{fault.RotationInProgress, fault.RotationBlocked, fault.RootKey} {
		if errors.Is(err, kind) {
			e.Outcome = keyring.Refused
		}
	}
	if j != nil {
		e.Keys = j.keys
		if j.began {
			e.Outcome = keyring.Failed
		}
	}
	r.Ring.RecordFailure(ctx, e)
	return err
}

// job is work done under the lease.
type job struct {
	*keyring.Keyring
	lease   store.Lease
	renewed time.Time
	stop    <-chan struct{}
	page    int

	keys  []seal.KeyID // that it is about, for the audit log
	began bool         // something was changed
	note  string       // for the audit log
}

// between is called between two transactions: it ends the work if that is
// wanted, and keeps the lease.
func (j *job) between(ctx context.Context) error {
	select {
	case <-j.stop:
		return fault.New(fault.Unavailable, "the keyring was closed; the next rotation goes on from here").Permanently()
	case <-ctx.Done():
		return interrupted(ctx)
	default:
	}
	if time.Since(j.renewed) < prolong {
		return nil
	}
	j.renewed = time.Now()
	return j.lease.Renew(ctx)
}

func interrupted(ctx context.Context) error {
	return fault.New(fault.Unavailable, "the context ended; the next rotation goes on from here").WithCause(ctx.Err())
}

func (j *job) event(ctx context.Context, action, outcome string, format string, args ...any) store.Event {
	return store.Event{Actor: keyring.Actor(ctx), Action: action, Outcome: outcome, Keys: j.keys, Detail: fmt.Sprintf(format, args...)}
}

func (j *job) rotate(ctx context.Context, progress func(done, total int)) (Rotation, error) {
	keys, err := j.Store().Load(ctx)
	if err != nil {
		return Rotation{}, lost(err)
	}
	if keys.Active() == nil {
		return Rotation{}, fault.New(fault.Corrupt, "the keyring has no active key")
	}
	var done Rotation
	var total int
	under := map[seal.KeyID]int{} // how many records, as far as is known
	if retiring := keys.Retiring(); retiring != nil {
		done.From, done.To = retiring.ID, keys.Active().ID
		j.keys, j.began = []seal.KeyID{done.From, done.To}, true
		j.note = ", of a rotation that was begun earlier"
		under, total, err = j.resume(ctx, done.To)
	} else {
		done.From = keys.Active().ID
		done.To, total, done.Blocked, err = j.begin(ctx, keys, under)
	}
	if err != nil {
		return done, err
	}
	if err := j.Reload(ctx); err != nil {
		return done, err
	}
	return j.move(ctx, done, under, total, progress)
}

// begin proves that every record opens, and then makes a new key the active one. It
// adds the key that was active, and those that it finds records under, to under.
func (j *job) begin(ctx context.Context, keys *store.Keys, under map[seal.KeyID]int) (to seal.KeyID, total int, blocked []string, err error) {
	from := keys.Active().ID
	j.keys = []seal.KeyID{from}
	under[from] = 0
	read := func(ctx context.Context, visit func([]store.Record) error) error {
		return store.Pages(ctx, j.Store(), j.pages(0), visit)
	}
	err = ahead(ctx, read, func(page []store.Record) error {
		if err := j.between(ctx); err != nil {
			return err
		}
		for _, b := range page {
			under[b.Key]++
			if _, err := j.OpenStored(ctx, b); errors.Is(err, fault.Corrupt) {
				blocked = append(blocked, b.Name)
			} else if err != nil {
				return err
			}
		}
		total += len(page)
		return nil
	})
	if err == nil && blocked != nil {
		err = fault.New(fault.RotationBlocked, "nothing was changed: %s; restore, replace or delete what is damaged", keyring.Unopened(blocked))
	}
	if err != nil {
		return 0, 0, blocked, err
	}
	root, next := j.Root(), seal.NewKey()
	if root.Fingerprint() != keys.Root {
		if err := j.Reload(ctx); err != nil {
			return 0, 0, nil, err
		}
		root = j.Root()
	}
	j.keys = []seal.KeyID{from, next.ID()}
	reserved := uint64(total + spare)
	e := j.event(ctx, keyring.Rotate, keyring.Started, "secrets: %d", total)
	err = j.lease.Activate(ctx, root.Fingerprint(), from, store.Key{ID: next.ID(), Wrapped: root.Wrap(next), Encryptions: reserved}, e)
	if errors.Is(err, store.ErrChanged) {
		err = fault.New(fault.RotationInProgress, "the keys were changed by somebody else meanwhile")
	}
	if err != nil {
		return 0, 0, nil, err
	}
	j.began = true
	j.Notify(ctx, e)
	j.Reserved(next.ID(), reserved)
	return next.ID(), total, nil, nil
}

// resume counts what a recorded rotation has still to move.
func (j *job) resume(ctx context.Context, to seal.KeyID) (under map[seal.KeyID]int, total int, err error) {
	under, err = j.Store().Count(ctx)
	delete(under, to)
	for _, n := range under {
		total += n
	}
	if err == nil && total > 0 {
		err = j.Store().ReserveEncryptions(ctx, to, uint64(total))
	}
	if errors.Is(err, store.ErrKeyExhausted) {
		err = fault.New(fault.Unavailable, "key %s has sealed as often as it may, and %d secrets still have to be moved to it", to, total).Permanently()
	}
	if err != nil {
		return nil, 0, err
	}
	j.Reserved(to, uint64(total))
	return under, total, nil
}

// move takes the records under these keys to the new one, page by page, and then
// ends the rotation. No record can come under another key meanwhile: since there is
// a new one, none can come under the old, and before, none but under that.
func (j *job) move(ctx context.Context, done Rotation, under map[seal.KeyID]int, total int, progress func(done, total int)) (Rotation, error) {
	visited := 0
	for id := range under {
		read := func(ctx context.Context, visit func(resealed) error) error {
			return j.reseal(ctx, id, done.To, visit)
		}
		each := ahead[resealed]
		if total <= j.page { // what would be read ahead is not worth a second connection
			each = inTurn
		}
		err := each(ctx, read, func(page resealed) error {
			if err := j.between(ctx); err != nil {
				return err
			}
			done.Blocked = append(done.Blocked, page.blocked...)
			moved, err := j.lease.Move(ctx, id, done.To, page.swaps)
			if err != nil {
				return err
			}
			j.renewed = time.Now()
			done.Moved += moved
			visited += page.records
			if progress != nil {
				progress(min(visited, total), total)
			}
			return nil
		})
		if err != nil {
			return done, stale(err)
		}
	}
	if done.Blocked != nil {
		return done, fault.New(fault.RotationBlocked, "all others were moved: %s; restore, replace or delete what is damaged, and rotate again", keyring.Unopened(done.Blocked))
	}
	e := j.event(ctx, keyring.Rotate, keyring.Done, "secrets sealed anew: %d%s", done.Moved, j.note)
	err := j.lease.Retire(ctx, done.From, e)
	if errors.Is(err, store.ErrInUse) {
		err = fault.New(fault.RotationBlocked, "secrets came under the key %s while it was retiring: rotate again", done.From)
	}
	if err != nil {
		return done, stale(err)
	}
	j.Notify(ctx, e)
	if progress != nil && visited < total { // writers moved the others
		progress(total, total)
	}
	return done, j.Reload(ctx)
}

// stale is what somebody else's change of the keys means for a rotation.
func stale(err error) error {
	if errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrNotActive) {
		return fault.New(fault.RotationInProgress, "the keys were changed by somebody else meanwhile")
	}
	return err
}

// resealed is a page of records, ready to be moved.
type resealed struct {
	records int
	swaps   []store.Swap
	blocked []string // the names of those that do not open
}

// reseal gives the records under the key from, resealed with the key to, to visit,
// page by page.
func (j *job) reseal(ctx context.Context, from, to seal.KeyID, visit func(resealed) error) error {
	return store.Pages(ctx, j.Store(), j.pages(from), func(page []store.Record) error {
		next, err := j.resealPage(ctx, to, page)
		if err != nil {
			return err
		}
		return visit(next)
	})
}

// resealPage opens the records of a page and seals their texts with the new key.
func (j *job) resealPage(ctx context.Context, to seal.KeyID, page []store.Record) (resealed, error) {
	done := resealed{records: len(page), swaps: make([]store.Swap, 0, len(page))}
	sealer, err := j.Sealer(ctx, to, uint64(len(page)))
	if err != nil {
		return done, err
	}
	for _, b := range page {
		text, err := j.OpenRecord(ctx, b.Name, b.Sealed)
		if errors.Is(err, fault.Corrupt) {
			done.blocked = append(done.blocked, b.Name)
			continue
		}
		if err != nil {
			return done, err
		}
		done.swaps = append(done.swaps, store.Swap{Name: b.Name, Head: b.Sealed[:seal.HeadSize], Sealed: sealer.Seal(b.Name, text)})
	}
	return done, nil
}

// inTurn gives the pages that read reads to use.
func inTurn[Page any](ctx context.Context, read func(context.Context, func(Page) error) error, use func(Page) error) error {
	return read(ctx, use)
}

// ahead is inTurn that reads the next pages meanwhile: one is ready, and one is
// being read. A FileStore, which lets nobody read while it writes, is read
// between two transactions, and what was read is resealed during the next.
func ahead[Page any](ctx context.Context, read func(context.Context, func(Page) error) error, use func(Page) error) error {
	ctx, cancel := context.WithCancel(ctx)
	pages, ended := make(chan Page, 1), make(chan error, 1)
	go func() {
		defer close(pages)
		ended <- read(ctx, func(next Page) error {
			select {
			case pages <- next:
				return nil
			case <-ctx.Done():
				return interrupted(ctx)
			}
		})
	}()
	defer func() { // also if use panics, which calls what is not ours
		cancel()
		for range pages {
		}
	}()
	for page := range pages {
		if err := use(page); err != nil {
			return err
		}
	}
	return <-ended
}

func (j *job) pages(id seal.KeyID) store.Range {
	return store.Range{Key: id, Limit: j.page, Bytes: pageBytes}
}

// changeRoot writes the new root key down before the keys are wrapped with it,
// and makes it the root key after.
func (j *job) changeRoot(ctx context.Context, text string, next *seal.Root) error {
	if err := j.Reload(ctx); err != nil {
		return err
	}
	root := j.Root()
	if root.Fingerprint() == next.Fingerprint() {
		return nil
	}
	stored, err := j.Store().Load(ctx)
	if err != nil {
		return lost(err)
	}
	wrapped := make(map[seal.KeyID][]byte, len(stored.Keys))
	for _, k := range stored.Keys {
		key, err := root.Unwrap(k.ID, k.Wrapped)
		if err != nil {
			return err
		}
		wrapped[k.ID] = next.Wrap(key)
		j.keys = append(j.keys, k.ID)
	}
	// A key that was staged earlier may be the one in use, and its only copy.
	if err := j.Roots().Commit(root.Fingerprint()); err != nil {
		return err
	}
	if err := j.Roots().Stage(text, next); err != nil {
		return err
	}
	e := j.event(ctx, keyring.ChangeRoot, keyring.Done, "from the root key of fingerprint %s to %s", root.Fingerprint(), next.Fingerprint())
	if err := j.lease.Rewrap(ctx, root.Fingerprint(), next.Fingerprint(), wrapped, e); err != nil {
		if happened := j.undo(ctx, root); !happened {
			return stale(err)
		}
	}
	j.began = true
	j.Notify(ctx, e)
	if err := j.Roots().Commit(next.Fingerprint()); err != nil {
		return fault.New(fault.Unavailable, "the keys are wrapped with the new root key, but its file could not be put in its place: keep both files; opening the keyring tries again").WithCause(err)
	}
	return j.Reload(ctx)
}

// undo forgets the new root key if the store says that it is not in use, and
// reports whether it is. If the store cannot be asked both are kept: opening
// the keyring finds the right one.
func (j *job) undo(ctx context.Context, root *seal.Root) (happened bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	stored, err := j.Store().Load(ctx)
	if err != nil {
		return false
	}
	if stored.Root != root.Fingerprint() {
		return true
	}
	_ = j.Roots().Commit(stored.Root) // a key that stays does no harm
	return false
}
