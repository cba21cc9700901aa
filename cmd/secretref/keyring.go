package main

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
)

// within is an error and the place that it is about.
type within struct {
	place string
	err   error
}

func (e *within) Error() string { return e.place + ": " + message(e.err) }

func (e *within) Unwrap() error { return e.err }

// opened is a keyring and what it needs while it is open.
type opened struct {
	*secretref.Keyring
	location location
	boot     *secretref.Resolver // for root keys and the database's password
	db       *sql.DB             // nil: the store is a file
}

// openKeyring opens the keyring that the flags name. A keyring that is not there
// is only made where that is wanted: a misspelt path must not end in an empty
// keyring that is fine.
func openKeyring(ctx context.Context, o storeFlags, create bool, opts secretref.KeyringOptions) (*opened, error) {
	l, err := o.location()
	if err != nil {
		return nil, err
	}
	k := &opened{location: l, boot: secretref.New(&secretref.Options{Logger: opts.Logger, TTL: -1})}
	if err := k.open(ctx, o, create, opts); err != nil {
		_ = k.Close()
		return nil, err
	}
	return k, nil
}

func (k *opened) open(ctx context.Context, o storeFlags, create bool, opts secretref.KeyringOptions) (err error) {
	if opts.RootKey, err = readRootKey(ctx, k.boot, o.rootKeyFile); err != nil {
		return err
	}
	if opts.PreviousRootKey, err = readRootKey(ctx, k.boot, o.previousFile); err != nil {
		return err
	}
	if k.location.dialect != 0 {
		if k.db, err = k.location.database(k.boot); err != nil {
			return err
		}
	}
	if !create {
		if err := k.exists(ctx); err != nil {
			return err
		}
	}
	k.Keyring, err = secretref.OpenKeyring(ctx, k.store(), &opts)
	return err
}

func (k *opened) store() secretref.KeyStore {
	if k.db == nil {
		return secretref.FileStore(k.location.name)
	}
	return secretref.SQLStore(k.db, k.location.dialect)
}

// exists returns an error if there is no keyring in the store.
func (k *opened) exists(ctx context.Context) error {
	var err error
	if k.db == nil {
		_, err = os.Stat(k.location.name)
	} else {
		dialects := map[secretref.Dialect]sqlstore.Dialect{secretref.PostgreSQL: sqlstore.PostgreSQL, secretref.MySQL: sqlstore.MySQL}
		_, err = sqlstore.New(k.db, dialects[k.location.dialect]).Load(ctx)
	}
	switch {
	case errors.Is(err, store.ErrEmpty), k.db == nil && errors.Is(err, fs.ErrNotExist):
		return &within{k.location.name, fault.New(fault.NotFound, "there is no keyring yet: is the place right? \"secretref keys put\" makes one")}
	case err != nil && k.db != nil:
		return &secretref.Error{Source: "keyring", Err: err}
	}
	return nil // what else is the matter with a file opening it says better
}

// Close closes the keyring and what it needed.
func (k *opened) Close() error {
	var errs []error
	if k.Keyring != nil {
		errs = append(errs, k.Keyring.Close())
	}
	if k.db != nil {
		errs = append(errs, k.db.Close())
	}
	return errors.Join(append(errs, k.boot.Close())...)
}

// optional opens the keyring for references to what is stored in it, or returns
// nil if the flags name none. Another process may hold its lock, for at most the
// timeout.
func (o *storeFlags) optional(ctx context.Context, log *slog.Logger) (*opened, error) {
	if !o.given() {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout.value())
	defer cancel()
	return openKeyring(ctx, *o, false, secretref.KeyringOptions{Logger: log})
}

// close is Close for a keyring that may not have been opened.
func (k *opened) close() {
	if k != nil {
		_ = k.Close()
	}
}

// keyring is what a Resolver is given.
func (k *opened) keyring() *secretref.Keyring {
	if k == nil {
		return nil
	}
	return k.Keyring
}
