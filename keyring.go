package secretref

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/lastknown"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/httpapi"
	"github.com/seed74218947/secretref/internal/keyring/rootkey"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
	"github.com/seed74218947/secretref/internal/ref"
	"github.com/seed74218947/secretref/internal/secfile"
)

// A KeyringReference names a secret that is stored in a keyring.
type KeyringReference struct {
	// Name is the name of the stored secret, 1 to 1024 bytes of UTF-8. Required.
	Name string
}

// String returns the canonical form, which [Parse] takes back.
func (r KeyringReference) String() string { return r.coord().String() }

func (KeyringReference) reference() {}

func (r KeyringReference) coord() ref.Reference {
	return ref.Reference{Kind: ref.Keyring, Name: r.Name}
}

// A Keyring stores secrets by name, sealed with AES-256-GCM under keys that can
// be replaced. It is the application's own, and has nothing to do with the
// keys/ folder of a product. It is safe for concurrent use, and several
// processes may have the same store open.
//
// A name is 1 to 1024 bytes of UTF-8 and compared byte by byte; a secret has up
// to 1 MiB. Errors wrap ErrUnavailable if the store cannot be reached, is busy
// until the context ends, or if the Keyring is closed; ErrDenied and
// ErrUnauthenticated if it may not be used; ErrCorrupt for damage; ErrSyntax
// for a bad name; and what a method names.
//
// The zero Keyring is not usable: its methods panic.
type Keyring struct{ state hidden[*keyringState] }

type keyringState struct {
	ring    *keyring.Ring
	rotator *rotate.Rotator
	log     *slog.Logger
	stop    chan struct{} // closed: rotations end between two transactions

	ctx   context.Context // of all rotations
	abort context.CancelFunc

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

// A KeyStore is where a Keyring keeps its keys and secrets: [FileStore] or
// [SQLStore].
type KeyStore struct {
	path  string      // of a FileStore
	store store.Store // an SQLStore's
}

// FileStore is one file, for one machine; several processes may use it at the
// same time. The file is opened for each operation. Beside it are path.lock,
// and, where no RootKey is given, path.key with the root key, made when it is
// first needed. All are created with the mode 0600. ErrDenied refuses each of
// them that others than its owner and group can open, and each that belongs to
// neither the effective user nor root, who could have written anything into it.
// Windows has no such modes and owners.
//
// A path that is a symbolic link, also one that leads to nothing yet, stands for
// its target, beside which the other files are then; path.key may be a link of
// its own, and stays one when ChangeRootKey replaces its target. A link that
// another user has put into a directory that is not theirs is ErrDenied. Links in
// a circle, a path on a network file system and an empty path are ErrUnsupported.
// A file that is not a keyring is ErrCorrupt, and left as it is.
//
// A call that waits for another process ends with its context, and its error
// says for whose lock it waited; after two seconds the Logger gets a warning.
// Whoever makes a backup keeps path.key elsewhere: without it the database is
// worthless.
func FileStore(path string) KeyStore {
	return KeyStore{path: path}
}

// target returns where path leads, also if nothing is there yet, so that file,
// root key and lock have one name, and keep it if the working directory changes.
func target(path string) (string, error) {
	leads, err := secfile.Target(path)
	if err == nil {
		leads, err = filepath.Abs(leads)
	}
	if err != nil {
		return "", secfile.Unresolved(path, err)
	}
	return leads, nil
}

// A Dialect is the kind of an SQL database.
type Dialect uint8

// The dialects.
const (
	PostgreSQL Dialect = iota + 1
	MySQL              // also MariaDB
)

// SQLStore is a database that several nodes share: PostgreSQL 12 or MySQL 8 or
// MariaDB 10.6, or later. The keyring makes five tables, whose names begin with
// secretref_, in the schema that db works in. The driver is the caller's
// choice, and db remains the caller's to close. A RootKey is required.
//
// Sessions of MySQL and MariaDB with autocommit=0 or a completion_type are set
// to commit while they are used, and put back; that costs three round trips each
// time. With synchronous_commit=off (PostgreSQL) or
// innodb_flush_log_at_trx_commit other than 1 a database that crashes may lose
// what it has just confirmed.
func SQLStore(db *sql.DB, d Dialect) KeyStore {
	dialects := map[Dialect]sqlstore.Dialect{PostgreSQL: sqlstore.PostgreSQL, MySQL: sqlstore.MySQL}
	if db == nil || dialects[d] == 0 {
		return KeyStore{}
	}
	return KeyStore{store: sqlstore.New(db, dialects[d])}
}

// NewRootKey returns a new root key: base64 of 32 random bytes, the only form
// of one.
func NewRootKey() Secret { return resolvedSecret(seal.NewRootText()) }

// KeyringOptions configure a Keyring.
type KeyringOptions struct {
	// RootKey wraps the keys. It may itself come from elsewhere: resolve a
	// reference to Vault or AWS Secrets Manager. Zero, or empty: a FileStore makes
	// a file for it, with a warning in the log; an SQLStore refuses (ErrRootKey).
	RootKey Secret

	// PreviousRootKey is tried where RootKey does not fit, for nodes that run
	// while [Keyring.ChangeRootKey] replaces the one by the other. Zero: none.
	PreviousRootKey Secret

	// Audit is told of every event of the audit log once it is written. It is
	// called by the goroutine that caused the event, and must not call the
	// Keyring. Time is that of this process; AuditLog has the store's. Nil: nobody
	// is told.
	Audit func(context.Context, AuditEvent)

	// Progress is told how many of the secrets a rotation has moved, after each
	// of its transactions, by the goroutine that rotates. It must not call Close,
	// and holds the rotation up: one that takes 15 seconds can lose its turn to
	// another node. Nil: nobody is told.
	Progress func(done, total int)

	// Logger receives audit events and failures, never secrets. If nil, warnings go
	// to slog.Default().
	Logger *slog.Logger
}

// OpenKeyring opens the keyring in the store, or makes one there with its first
// key. It also ends a change of the root key that was killed. Nil options are
// the zero KeyringOptions. Errors: ErrRootKey (missing, not base64 of 32 bytes,
// or of another keyring), ErrCorrupt, ErrDenied, ErrUnauthenticated,
// ErrUnsupported (a zero store; a network file system; tables of a newer
// version), ErrNotFound (the directory of a FileStore), ErrUnavailable.
func OpenKeyring(ctx context.Context, keyStore KeyStore, opts *KeyringOptions) (*Keyring, error) {
	opts = cmp.Or(opts, &KeyringOptions{})
	if keyStore.store == nil && keyStore.path == "" {
		return nil, keyringError(fault.New(fault.Unsupported, "there is no store: give a FileStore with a path, or an SQLStore with a database and a dialect"))
	}
	logger := cmp.Or(opts.Logger, defaultLogger())
	if keyStore.store == nil {
		path, err := target(keyStore.path)
		if err != nil {
			return nil, keyringError(err)
		}
		keyStore = KeyStore{path, boltstore.New(path).WithLogger(logger)}
	}
	roots, err := rootsOf(keyStore, opts, logger)
	if err != nil {
		return nil, keyringError(err)
	}
	settings := keyring.Settings{Store: keyStore.store, Roots: roots, Log: logger}
	if opts.Audit != nil {
		settings.Audit = func(ctx context.Context, e store.Event) { opts.Audit(ctx, publicEvent(e)) }
	}
	r, err := keyring.Open(ctx, settings)
	if err != nil {
		return nil, keyringError(err)
	}
	k := &keyringState{ring: r, log: logger, stop: make(chan struct{})}
	k.ctx, k.abort = context.WithCancel(context.Background())
	k.rotator = &rotate.Rotator{Ring: r, Progress: opts.Progress, Stop: k.stop}
	return &Keyring{hide(k)}, nil
}

// open returns the state, which holds keys and is hidden from printers.
func (k *Keyring) open() *keyringState {
	if k == nil || k.state.open == nil {
		panic("secretref: the Keyring was not made by OpenKeyring")
	}
	return k.state.open()
}

// rootsOf returns where the root key of the store is.
func rootsOf(store KeyStore, opts *KeyringOptions, log *slog.Logger) (keyring.Roots, error) {
	var given []*seal.Root
	names := []string{"RootKey", "PreviousRootKey"}
	for i, s := range []Secret{opts.RootKey, opts.PreviousRootKey} {
		if s.IsZero() {
			continue
		}
		text := s.text()
		if s.state() == unmarshalled {
			return nil, fault.New(fault.RootKey, "the %s was unmarshalled and never resolved: call ResolveStruct first", names[i])
		}
		root, err := seal.ParseRoot(text)
		if err != nil {
			return nil, fault.New(fault.RootKey, "the %s is not one: a root key is base64 of 32 random bytes, as NewRootKey makes them; passphrases are not accepted", names[i])
		}
		given = append(given, root)
	}
	switch {
	case !opts.RootKey.IsZero():
		return keyring.NewGiven(given...), nil
	case len(given) != 0:
		return nil, fault.New(fault.RootKey, "a PreviousRootKey is given and no RootKey")
	case store.path == "":
		return nil, fault.New(fault.RootKey, "an SQLStore needs a RootKey: make one with NewRootKey and keep it outside of the database")
	}
	return keyring.File{File: rootkey.New(store.path + ".key"), Log: log}, nil
}

// keyringError locates an error that is about no single secret.
func keyringError(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Source: "keyring", Err: present(err)}
}

// present says what it means that a keyring which was opened is not there.
func present(err error) error {
	if errors.Is(err, store.ErrEmpty) {
		return fault.New(fault.Corrupt, "the keyring is no longer in its store: was the file or the database removed or replaced? Restore a backup")
	}
	return err
}

// namedError locates an error that is about the secret stored under name.
func namedError(name string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Source: "keyring", Err: present(err)}
	if keyring.CheckName(name) == nil {
		e.Reference = KeyringReference{name}.String()
	}
	return e
}

// use counts a call that Close waits for, and ends its context when Close has
// waited long enough.
func (k *keyringState) use(ctx context.Context) (context.Context, func(), error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, nil, fault.AlreadyClosed("Keyring")
	}
	k.calls.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(k.ctx, cancel)
	return ctx, func() { release(); cancel(); k.calls.Done() }, nil
}

// WithActor returns a context that says who acts, for the audit log.
func WithActor(ctx context.Context, actor string) context.Context {
	return keyring.WithActor(ctx, actor)
}

// Put stores s under name, overwriting any other secret, and returns once it is
// durable. It is ErrSyntax if s was never set or is unresolved (it was
// unmarshalled, or made by [NewSecret] from a reference), and ErrUnavailable if
// the active key has sealed 2^32 times: rotate.
func (k *Keyring) Put(ctx context.Context, name string, s Secret) error {
	text, err := s.usable()
	if err != nil {
		return namedError(name, err)
	}
	if lastknown.Reserved(name) {
		return namedError(name, fault.New(fault.Syntax, "the name is reserved for what LastKnown stores"))
	}
	return namedError(name, k.put(ctx, name, text))
}

func (k *Keyring) put(ctx context.Context, name, text string) error {
	ctx, done, err := k.open().use(ctx)
	if err != nil {
		return err
	}
	defer done()
	return k.open().ring.Put(ctx, name, []byte(text))
}

// Get returns the secret stored under name, or ErrNotFound. It reads the store
// each time.
func (k *Keyring) Get(ctx context.Context, name string) (Secret, error) {
	if lastknown.Reserved(name) {
		return Secret{}, namedError(name, fault.New(fault.NotFound, "the name is reserved for what LastKnown stores"))
	}
	text, err := k.get(ctx, name)
	if err != nil {
		return Secret{}, namedError(name, err)
	}
	return resolvedSecret(text), nil
}

func (k *Keyring) get(ctx context.Context, name string) (string, error) {
	ctx, done, err := k.open().use(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	text, err := k.open().ring.Get(ctx, name)
	return string(text), err
}

// Delete removes the secret stored under name, also if it is damaged, or
// returns ErrNotFound.
func (k *Keyring) Delete(ctx context.Context, name string) error {
	return namedError(name, k.delete(ctx, name))
}

func (k *Keyring) delete(ctx context.Context, name string) error {
	ctx, done, err := k.open().use(ctx)
	if err != nil {
		return err
	}
	defer done()
	return k.open().ring.Delete(ctx, name)
}

// Names yields the names of all stored secrets in the order of their bytes. It
// ends after yielding an error. What is stored or deleted meanwhile may be
// missed.
func (k *Keyring) Names(ctx context.Context) iter.Seq2[string, error] {
	const page = 1000
	return func(yield func(string, error) bool) {
		for after := ""; ; {
			names, err := k.names(ctx, after, page)
			if err != nil {
				yield("", keyringError(err))
				return
			}
			for _, name := range names {
				if !lastknown.Reserved(name) && !yield(name, nil) {
					return
				}
			}
			if len(names) < page {
				return
			}
			after = names[page-1]
		}
	}
}

func (k *Keyring) names(ctx context.Context, after string, limit int) ([]string, error) {
	ctx, done, err := k.open().use(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return k.open().ring.Store().Names(ctx, after, limit)
}

// A KeyState is where a key is in its life.
type KeyState string

// The states.
const (
	KeyActive   = KeyState(store.Active)   // seals what is stored; there is exactly one
	KeyRetiring = KeyState(store.Retiring) // a rotation takes the secrets from it
	KeyInactive = KeyState(store.Inactive) // no secret needs it; it can be deleted
)

// KeyInfo tells about a key.
type KeyInfo struct {
	ID    string // 16 hexadecimal digits
	State KeyState

	// When it was made, began to seal and ceased to, by the store's clock,
	// in UTC; zero if it has not.
	Created, Activated, Deactivated time.Time

	Boxes int    // how many secrets are sealed with it
	Seals uint64 // at most how often it has sealed, of 2^32 times; counted in blocks of 1024
}

// Keys returns all keys, the oldest first.
func (k *Keyring) Keys(ctx context.Context) ([]KeyInfo, error) {
	return k.keys(ctx, func(store.Key) bool { return true })
}

// Inactive returns the inactive keys, the oldest first.
func (k *Keyring) Inactive(ctx context.Context) ([]KeyInfo, error) {
	return k.keys(ctx, func(key store.Key) bool { return key.State == store.Inactive })
}

func (k *Keyring) keys(ctx context.Context, wanted func(store.Key) bool) ([]KeyInfo, error) {
	ctx, done, err := k.open().use(ctx)
	if err != nil {
		return nil, keyringError(err)
	}
	defer done()
	stored, err := k.open().ring.Store().Load(ctx)
	if err != nil {
		return nil, keyringError(err)
	}
	boxes, err := k.open().ring.Store().Count(ctx)
	if err != nil {
		return nil, keyringError(err)
	}
	var infos []KeyInfo
	for _, key := range stored.Keys {
		if wanted(key) {
			infos = append(infos, publicKey(key, boxes[key.ID]))
		}
	}
	return infos, nil
}

func publicKey(key store.Key, boxes int) KeyInfo {
	return KeyInfo{key.ID.String(), KeyState(key.State), key.Created, key.Activated, key.Deactivated, boxes, key.Seals}
}

// Verify opens every stored secret and unwraps every key. The error is
// ErrCorrupt and names those that are damaged.
func (k *Keyring) Verify(ctx context.Context) error {
	ctx, done, err := k.open().use(ctx)
	if err != nil {
		return keyringError(err)
	}
	defer done()
	return keyringError(k.open().ring.Verify(ctx))
}

// A Rotation tells what a rotation did.
type Rotation struct {
	From, To string   // the ids of the keys; empty if nothing was changed
	Moved    int      // how many secrets were sealed anew with the key To
	Blocked  []string // the names of secrets that cannot be opened
}

// Rotate makes a new key the active one, seals every secret with it, and makes
// the old one inactive. Readers and writers go on meanwhile. Only one rotation
// runs at a time, on one of all nodes: the others get ErrRotationInProgress.
//
// If a secret cannot be opened nothing is changed: ErrRotationBlocked, and
// Blocked names it. A rotation that ends early, for whatever reason, is
// recorded and loses nothing; the next Rotate finishes it, and does no more.
func (k *Keyring) Rotate(ctx context.Context) (Rotation, error) {
	ctx, done, err := k.open().use(ctx)
	if err != nil {
		return Rotation{}, keyringError(err)
	}
	defer done()
	r, err := k.open().rotator.Rotate(ctx)
	return publicRotation(r), keyringError(err)
}

// RotateIfOlder rotates if the active key was activated at least age ago, or if
// a rotation has to be finished. It returns false if there was nothing to do,
// also since another node is rotating, so that all nodes may call it on the
// same schedule.
func (k *Keyring) RotateIfOlder(ctx context.Context, age time.Duration) (Rotation, bool, error) {
	ctx, done, err := k.open().use(ctx)
	if err != nil {
		return Rotation{}, false, keyringError(err)
	}
	defer done()
	r, rotated, err := k.open().rotator.IfOlder(ctx, age)
	return publicRotation(r), rotated, keyringError(err)
}

// DeleteInactive deletes all inactive keys and returns them. A backup made
// earlier still has them, and opens as a whole with the root key of its time; a
// single sealed secret copied out of it does not open any more. It is
// ErrRotationBlocked if a secret is still sealed with one of them, which takes
// a hand in the database.
func (k *Keyring) DeleteInactive(ctx context.Context) ([]KeyInfo, error) {
	ctx, done, err := k.open().use(ctx)
	if err != nil {
		return nil, keyringError(err)
	}
	defer done()
	deleted, err := k.open().rotator.DeleteInactive(ctx)
	var infos []KeyInfo
	for _, key := range deleted {
		infos = append(infos, publicKey(key, 0))
	}
	return infos, keyringError(err)
}

// ChangeRootKey wraps all keys with newRoot. The secrets stay as they are. A
// FileStore without RootKey replaces its file; otherwise newRoot is the
// RootKey to open the keyring with from now on, and nodes that run on need to
// have been opened with it as RootKey and the old one as PreviousRootKey.
// Errors: ErrRootKey, ErrRotationInProgress.
func (k *Keyring) ChangeRootKey(ctx context.Context, newRoot Secret) error {
	ctx, done, err := k.open().use(ctx)
	if err != nil {
		return keyringError(err)
	}
	defer done()
	if newRoot.state() == unmarshalled {
		return keyringError(fault.New(fault.RootKey, "the new root key was unmarshalled and never resolved: call ResolveStruct first"))
	}
	return keyringError(k.open().rotator.ChangeRoot(ctx, newRoot.text()))
}

func publicRotation(r rotate.Rotation) Rotation {
	p := Rotation{Moved: r.Moved, Blocked: r.Blocked}
	if r.To != 0 {
		p.From, p.To = r.From.String(), r.To.String()
	}
	return p
}

// An AuditEvent is a line of the audit log.
type AuditEvent struct {
	Time    time.Time // in UTC
	Actor   string    // who: see [WithActor] and [Keyring.Handler]; may be empty
	Action  string    // "create", "rotate", "delete-inactive" or "change-root"
	Outcome string    // "started", "done", "refused" or "failed"; started and no more: it was killed
	Keys    []string  // the ids of the keys that it is about
	Detail  string    // for people
}

func publicEvent(e store.Event) AuditEvent {
	p := AuditEvent{Time: e.Time, Actor: e.Actor, Action: e.Action, Outcome: e.Outcome, Detail: e.Detail}
	for _, id := range e.Keys {
		p.Keys = append(p.Keys, id.String())
	}
	return p
}

// AuditLog yields the audit log, the oldest event first: every change of keys,
// and those that were refused or failed. It ends after yielding an error.
func (k *Keyring) AuditLog(ctx context.Context) iter.Seq2[AuditEvent, error] {
	const page = 500
	return func(yield func(AuditEvent, error) bool) {
		for after := int64(0); ; {
			events, err := k.events(ctx, after, page)
			if err != nil {
				yield(AuditEvent{}, keyringError(err))
				return
			}
			for _, e := range events {
				if !yield(publicEvent(e), nil) {
					return
				}
				after = e.Seq
			}
			if len(events) < page {
				return
			}
		}
	}
}

func (k *Keyring) events(ctx context.Context, after int64, limit int) ([]store.Event, error) {
	ctx, done, err := k.open().use(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return k.open().ring.Store().Events(ctx, after, limit)
}

// Handler serves the key management API that the products have:
//
//	POST   /rest/secrets/1.0/keys/rotate
//	GET    /rest/secrets/1.0/keys/inactive
//	DELETE /rest/secrets/1.0/keys/inactive
//
// authorize returns who asks, for the audit log; if it is nil, returns an error
// or an empty actor, the answer is 401, and its error is not logged, since it may
// quote what the client sent. A rotation goes on when its client goes
// away, until Close. See the README for the answers.
func (k *Keyring) Handler(authorize func(*http.Request) (actor string, err error)) http.Handler {
	return httpapi.New(managed{k}, authorize, k.open().log)
}

// managed is a Keyring as the API sees it.
type managed struct{ k *Keyring }

func (m managed) Rotate(ctx context.Context) (to string, moved int, err error) {
	r, err := m.k.Rotate(ctx)
	return r.To, r.Moved, err
}

func (m managed) Inactive(ctx context.Context) ([]string, error) {
	keys, err := m.k.Inactive(ctx)
	return ids(keys), err
}

func (m managed) DeleteInactive(ctx context.Context) ([]string, error) {
	keys, err := m.k.DeleteInactive(ctx)
	return ids(keys), err
}

func ids(keys []KeyInfo) []string {
	var ids []string
	for _, key := range keys {
		ids = append(ids, key.ID)
	}
	return ids
}

// grace is how long Close lets a transaction take before it is broken off.
const grace = 10 * time.Second

// Close ends a rotation between two of its transactions, waits for calls under
// way, and releases the store. Later calls are ErrUnavailable.
func (k *Keyring) Close() error {
	s := k.open()
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		s.calls.Wait()
		return nil
	}
	close(s.stop)
	late := time.AfterFunc(grace, s.abort)
	s.calls.Wait()
	late.Stop()
	s.abort()
	return keyringError(s.ring.Store().Close())
}

// stored is a Keyring as the resolver's backend.
type stored struct{ k *Keyring }

// Fetch implements the pipeline's backend.
func (s stored) Fetch(ctx context.Context, g ref.Group) (fetch.Payload, error) {
	if lastknown.Reserved(g.Name) {
		return fetch.Payload{}, fault.New(fault.NotFound, "the name is reserved for what LastKnown stores")
	}
	text, err := s.k.get(ctx, g.Name)
	return fetch.Payload{Text: text}, present(err)
}

// reserved is a Keyring as LastKnown uses it.
type reserved struct{ k *Keyring }

func (r reserved) Get(ctx context.Context, name string) (string, error) { return r.k.get(ctx, name) }
func (r reserved) Put(ctx context.Context, name, text string) error     { return r.k.put(ctx, name, text) }
func (r reserved) Delete(ctx context.Context, name string) error        { return r.k.delete(ctx, name) }
