package storeflags

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
)

// sourcedError is an error with the file, variable or store that caused it.
type sourcedError struct {
	source string
	err    error
}

func (s *sourcedError) Error() string { return s.source + ": " + ui.Message(s.err) }

func (s *sourcedError) Unwrap() error { return s.err }

// Keyring is an open keyring with the resources that it uses.
type Keyring struct {
	*secretref.Keyring
	location  Location
	Bootstrap *secretref.Resolver // for root keys and the database's password
	db        *sql.DB             // nil if the store is a file
}

// Open opens the keyring that the flags name. It creates a missing keyring only if
// create is set: a misspelled path must not silently open an empty keyring.
func Open(ctx context.Context, o Flags, create bool, opts secretref.KeyringOptions) (*Keyring,
	error) {
	l, err := o.Location()
	if err != nil {
		return nil, err
	}
	k := &Keyring{location: l,
		Bootstrap: secretref.New(&secretref.Options{Logger: opts.Logger, TTL: -1})}
	if err := k.open(ctx, o, create, opts); err != nil {
		_ = k.Close()
		return nil, err
	}
	return k, nil
}

func (k *Keyring) open(ctx context.Context, o Flags, create bool,
	opts secretref.KeyringOptions) (err error) {
	if opts.RootKey, err = ReadRootKey(ctx, k.Bootstrap, o.RootKeyFile); err != nil {
		return err
	}
	if opts.PreviousRootKey, err = ReadRootKey(ctx, k.Bootstrap,
		o.PreviousRootKeyFile); err != nil {
		return err
	}
	if k.location.Dialect != 0 {
		if k.db, err = k.location.openDB(k.Bootstrap); err != nil {
			return err
		}
	}
	if !create {
		if err := k.checkExists(ctx); err != nil {
			return err
		}
	}
	k.Keyring, err = secretref.OpenKeyring(ctx, k.keyStore(), &opts)
	return err
}

func (k *Keyring) keyStore() secretref.KeyStore {
	if k.db == nil {
		return secretref.FileStore(k.location.Name)
	}
	return secretref.SQLStore(k.db, k.location.Dialect)
}

// checkExists returns an error if there is no keyring in the store.
func (k *Keyring) checkExists(ctx context.Context) error {
	var err error
	if k.db == nil {
		_, err = os.Stat(k.location.Name)
	} else {
		dialects := map[secretref.Dialect]sqlstore.Dialect{secretref.PostgreSQL: sqlstore.PostgreSQL,
			secretref.MySQL: sqlstore.MySQL}
		_, err = sqlstore.New(k.db, dialects[k.location.Dialect]).Load(ctx)
	}
	switch {
	case errors.Is(err, store.ErrEmpty), k.db == nil && errors.Is(err, fs.ErrNotExist):
		return &sourcedError{k.location.Name,
			fault.New(fault.NotFound,
				"there is no keyring yet: is -store right? \"secretref keys put\" creates one")}
	case err != nil && k.db != nil:
		return &secretref.Error{Source: "keyring", Err: err}
	}
	return nil // opening the file reports other problems better
}

// Close closes the keyring, its database and its resolver.
func (k *Keyring) Close() error {
	var errs []error
	if k.Keyring != nil {
		errs = append(errs, k.Keyring.Close())
	}
	if k.db != nil {
		errs = append(errs, k.db.Close())
	}
	return errors.Join(append(errs, k.Bootstrap.Close())...)
}

// OpenIfGiven opens the keyring for resolving references, or returns nil if no flag
// is set. It waits for the lock of another process for at most the timeout.
func (o *Flags) OpenIfGiven(ctx context.Context, log *slog.Logger) (*Keyring, error) {
	if !o.Given() {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout.Value())
	defer cancel()
	return Open(ctx, *o, false, secretref.KeyringOptions{Logger: log})
}

// CloseIfOpen closes a keyring that may be nil.
func (k *Keyring) CloseIfOpen() {
	if k != nil {
		_ = k.Close()
	}
}

// OrNil returns the library's keyring for secretref.Options, or nil.
func (k *Keyring) OrNil() *secretref.Keyring {
	if k == nil {
		return nil
	}
	return k.Keyring
}

// Actor returns USER@HOST of this process for the audit log.
func Actor() string {
	name := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}
