package secretref

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/lastknown"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/rotate"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/boltstore"
	"github.com/seed74218947/secretref/internal/ref"
)

// A Keyring stores secrets by name, encrypted with AES-256-GCM under data keys that can
// be rotated. It belongs to the application and is unrelated to the keys/ directory of
// a product. A Keyring is safe for concurrent use, and several processes can open the
// same store at the same time.
//
// A name consists of 1 to 1024 bytes of UTF-8 and is compared byte by byte. A secret
// has at most 1 MiB.
//
// All methods return ErrUnavailable if the store cannot be reached, if it stays locked
// until the context ends, or if the Keyring is closed (also ErrClosed); ErrDenied or
// ErrUnauthenticated if access to the store is refused; ErrCorrupt if the keyring is
// damaged; ErrSyntax for an invalid name; and the errors that they document.
//
// The zero Keyring is not usable: its methods panic.
type Keyring struct{ state hidden[*keyringState] }

type keyringState struct {
	keyring *keyring.Keyring
	rotator *rotate.Rotator
	log     *slog.Logger
	stop    chan struct{} // closed by Close: a rotation ends after its transaction

	ctx   context.Context // parent of all calls; canceled when closeTimeout has passed
	abort context.CancelFunc

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

// KeyringOptions configure a Keyring. The zero value is usable with a FileStore.
type KeyringOptions struct {
	// RootKey encrypts (wraps) the data keys. It is base64 of 32 random bytes, see
	// [NewRootKey], and can be resolved from Vault or AWS Secrets Manager. If it is the
	// zero Secret or empty, a FileStore creates a root key in a file next to the
	// database and logs a warning, and an SQLStore returns ErrRootKey.
	RootKey Secret

	// PreviousRootKey is used if RootKey does not match. Set it on nodes that are
	// running while [Keyring.ChangeRootKey] replaces the previous key by RootKey. If it
	// is the zero Secret or empty, only RootKey is used.
	PreviousRootKey Secret

	// Audit, if not nil, is called after each audit event has been stored, by the
	// goroutine that caused the event. It must not call the Keyring. The time of the
	// event is that of this process; [Keyring.AuditLog] has the time of the store.
	Audit func(context.Context, AuditEvent)

	// Progress, if not nil, is called after each transaction of a rotation with the
	// number of secrets that are encrypted with the new key, and the number of all
	// secrets. The rotation waits for it: if a call takes 15 seconds, another node may
	// take over the rotation. Progress must not call [Keyring.Close].
	Progress func(done, total int)

	// Logger receives audit events and failures, never secrets. If nil, warnings go to
	// slog.Default().
	Logger *slog.Logger
}

// OpenKeyring opens the keyring in the store. If the store is empty, it creates a
// keyring with a first data key. If a change of the root key was interrupted, it
// completes it. If opts is nil, the zero KeyringOptions are used.
//
// Errors:
//
//   - ErrRootKey: the root key is missing, malformed, or that of another keyring;
//   - ErrCorrupt: the keyring is damaged, or the file is not a keyring;
//   - ErrUnsupported: the store is the zero KeyStore, the file is on a network file
//     system, or a newer version of this module created the tables;
//   - ErrNotFound: the directory of a FileStore does not exist;
//   - ErrDenied, ErrUnauthenticated: access to the store is refused;
//   - ErrUnavailable: the store cannot be reached, or stays locked until ctx ends.
func OpenKeyring(ctx context.Context, keyStore KeyStore, opts *KeyringOptions) (*Keyring, error) {
	opts = cmp.Or(opts, &KeyringOptions{})
	if keyStore.store == nil && keyStore.path == "" {
		return nil, keyringError(fault.New(fault.Unsupported,
			"there is no store: use FileStore with a path, or SQLStore with a database and a dialect"))
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
	k := &keyringState{keyring: r, log: logger, stop: make(chan struct{})}
	k.ctx, k.abort = context.WithCancel(context.Background())
	k.rotator = &rotate.Rotator{Keyring: r, Progress: opts.Progress, Stop: k.stop}
	return &Keyring{hide(k)}, nil
}

// open returns the state. It contains keys and is hidden from printers.
func (k *Keyring) open() *keyringState {
	if k == nil || k.state.open == nil {
		panic("secretref: the Keyring was not made by OpenKeyring")
	}
	return k.state.open()
}

// keyringError adds the source to an error that does not concern a single secret.
func keyringError(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Source: "keyring", Err: store.AsCorrupt(err)}
}

// namedError adds the source and the name to an error that concerns one secret.
func namedError(name string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Source: "keyring", Err: store.AsCorrupt(err)}
	if keyring.CheckName(name) == nil {
		e.Reference = KeyringReference{name}.String()
	}
	return e
}

// begin registers a call, so that Close waits for it. The returned context ends when
// Close has waited for closeTimeout. The caller must call done.
func (k *keyringState) begin(ctx context.Context) (_ context.Context, done func(), err error) {
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

// Put stores s under name and returns when it is durable. It overwrites an earlier
// secret with that name. It returns ErrSyntax if s was never set or is unresolved (it
// was unmarshaled, or made by [NewSecret] from a reference), and ErrUnavailable if the
// active key has encrypted 2^32 times; a rotation makes a new one.
func (k *Keyring) Put(ctx context.Context, name string, s Secret) error {
	text, err := s.usable()
	if err != nil {
		return namedError(name, err)
	}
	if lastknown.Reserved(name) {
		return namedError(name, fault.New(fault.Syntax, "the name is reserved for LastKnown"))
	}
	return namedError(name, k.put(ctx, name, text))
}

func (k *Keyring) put(ctx context.Context, name, text string) error {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return k.open().keyring.Put(ctx, name, []byte(text))
}

// Get returns the secret that is stored under name, or ErrNotFound. It reads the store
// each time.
func (k *Keyring) Get(ctx context.Context, name string) (Secret, error) {
	if lastknown.Reserved(name) {
		return Secret{}, namedError(name, fault.New(fault.NotFound, "the name is reserved for LastKnown"))
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
	text, err := k.open().keyring.Get(ctx, name)
	return string(text), err
}

// Delete removes the secret that is stored under name, even if it is damaged. It returns
// ErrNotFound if there is none.
func (k *Keyring) Delete(ctx context.Context, name string) error {
	return namedError(name, k.delete(ctx, name))
}

func (k *Keyring) delete(ctx context.Context, name string) error {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return k.open().keyring.Delete(ctx, name)
}

// Names yields the names of all stored secrets, ordered by their bytes. It ends after
// yielding an error. Names that are stored or deleted during the loop may be missed.
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
	return k.open().keyring.Store().Names(ctx, after, limit)
}

// Verify decrypts every stored secret and unwraps every data key. The error is
// ErrCorrupt and names all that are damaged.
func (k *Keyring) Verify(ctx context.Context) error {
	ctx, done, err := k.open().begin(ctx)
	if err != nil {
		return keyringError(err)
	}
	defer done()
	return keyringError(k.open().keyring.Verify(ctx))
}

// closeTimeout limits the time that Close waits for calls in progress before it
// cancels them.
const closeTimeout = 10 * time.Second

// Close ends a rotation after its current transaction, waits for other calls in
// progress, and releases the store. Calls that take longer than 10 seconds are
// canceled. Later calls return ErrClosed, which also matches ErrUnavailable.
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
	return keyringError(s.keyring.Store().Close())
}

// keyringBackend resolves references to secrets in a Keyring.
type keyringBackend struct{ k *Keyring }

// Fetch implements backend.Backend.
func (s keyringBackend) Fetch(ctx context.Context, target ref.Target) (backend.Document, error) {
	if lastknown.Reserved(target.Name) {
		return backend.Document{}, fault.New(fault.NotFound, "the name is reserved for LastKnown")
	}
	text, err := s.k.get(ctx, target.Name)
	return backend.Document{Text: text}, store.AsCorrupt(err)
}

// lastKnownStore stores last known secrets in a Keyring, under reserved names.
type lastKnownStore struct{ k *Keyring }

func (l lastKnownStore) Get(ctx context.Context, name string) (string, error) {
	return l.k.get(ctx, name)
}
func (l lastKnownStore) Put(ctx context.Context, name, text string) error {
	return l.k.put(ctx, name, text)
}
func (l lastKnownStore) Delete(ctx context.Context, name string) error {
	return l.k.delete(ctx, name)
}
