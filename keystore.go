package secretref

import (
	"database/sql"
	"log/slog"
	"path/filepath"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring"
	"github.com/seed74218947/secretref/internal/keyring/rootkey"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
	"github.com/seed74218947/secretref/internal/secfile"
)

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

// resolvePath returns where path leads, also if nothing is there yet, so that file,
// root key and lock have one name, and keep it if the working directory changes.
func resolvePath(path string) (string, error) {
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

// rootKeysOf returns where the root key of the store is.
func rootKeysOf(store KeyStore, opts *KeyringOptions, log *slog.Logger) (keyring.RootKeys, error) {
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
