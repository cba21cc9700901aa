package secretref

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/fetch/lastknown"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
	"github.com/seed74218947/secretref/internal/ref"
)

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
	ring    *keyring.Keyring
	rotator *rotate.Rotator
	log     *slog.Logger
	stop    chan struct{} // closed: rotations end between two transactions

	ctx   context.Context // of all rotations
	abort context.CancelFunc

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

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
		path, err := resolvePath(keyStore.path)
		if err != nil {
			return nil, keyringError(err)
		}
		keyStore = KeyStore{path, boltstore.New(path).WithLogger(logger)}
	}
	roots, err := rootKeysOf(keyStore, opts, logger)
	if err != nil {
		return nil, keyringError(err)
	}
	settings := keyring.Settings{Store: keyStore.store, Roots: roots, Log: logger}
	if opts.Audit != nil {
		settings.Audit = func(ctx context.Context, e store.Event) { opts.Audit(ctx, toAuditEvent(e)) }
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

// keyringError locates an error that is about no single secret.
func keyringError(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Source: "keyring", Err: asCorrupt(err)}
}

// asCorrupt says what it means that a keyring which was opened is not there.
func asCorrupt(err error) error {
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
	e := &Error{Source: "keyring", Err: asCorrupt(err)}
	if keyring.CheckName(name) == nil {
		e.Reference = KeyringReference{name}.String()
	}
	return e
}

// begin counts a call that Close waits for, and ends its context when Close has
// waited long enough.
func (k *keyringState) begin(ctx context.Context) (context.Context, func(), error) {
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
	ctx, done, err := k.open().begin(ctx)
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
	ctx, done, err := k.open().begin(ctx)
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
	ctx, done, err := k.open().begin(ctx)
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
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return k.open().ring.Store().Names(ctx, after, limit)
}

// Verify opens every stored secret and unwraps every key. The error is
// ErrCorrupt and names those that are damaged.
func (k *Keyring) Verify(ctx context.Context) error {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return keyringError(err)
	}
	defer done()
	return keyringError(k.open().ring.Verify(ctx))
}

// closeTimeout is how long Close lets a transaction take before it is broken off.
const closeTimeout = 10 * time.Second

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
	late := time.AfterFunc(closeTimeout, s.abort)
	s.calls.Wait()
	late.Stop()
	s.abort()
	return keyringError(s.ring.Store().Close())
}

// keyringBackend is a Keyring as the resolver's backend.
type keyringBackend struct{ k *Keyring }

// Fetch implements the pipeline's backend.
func (s keyringBackend) Fetch(ctx context.Context, g ref.Target) (fetch.Document, error) {
	if lastknown.Reserved(g.Name) {
		return fetch.Document{}, fault.New(fault.NotFound, "the name is reserved for what LastKnown stores")
	}
	text, err := s.k.get(ctx, g.Name)
	return fetch.Document{Text: text}, asCorrupt(err)
}

// lastKnownStore is a Keyring as LastKnown uses it.
type lastKnownStore struct{ k *Keyring }

func (r lastKnownStore) Get(ctx context.Context, name string) (string, error) {
	return r.k.get(ctx, name)
}
func (r lastKnownStore) Put(ctx context.Context, name, text string) error {
	return r.k.put(ctx, name, text)
}
func (r lastKnownStore) Delete(ctx context.Context, name string) error { return r.k.delete(ctx, name) }
