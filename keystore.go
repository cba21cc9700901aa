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

// A KeyStore is the place where a Keyring stores its keys and secrets: a [FileStore] or
// an [SQLStore]. The zero KeyStore is not usable.
type KeyStore struct {
	path  string      // the file of a FileStore
	store store.Store // the tables of an SQLStore
}

// FileStore stores a keyring in a file, for one machine. Several processes can use it
// at the same time, because the file is opened for each operation.
//
// The keyring creates path.lock next to the file and, if KeyringOptions.RootKey is not
// set, path.key with the root key. Back up path.key separately: the database is useless
// without it. All files are created with mode 0600. A file is refused with ErrDenied if
// users other than its owner and group can open it, or if it belongs neither to the
// effective user nor to root, because its owner could have written anything into it. On
// Windows, which has no such modes and owners, this is not checked.
//
// If path is a symbolic link, it is followed, even if its target does not exist yet, and
// the other files are created next to the target. path.key may itself be a symbolic
// link; [Keyring.ChangeRootKey] replaces its target and keeps the link. A link whose
// owner is neither the effective user nor root nor the owner of its directory is
// ErrDenied. A cycle of
// links, a path on a network file system and an empty path are ErrUnsupported. A file
// that is not a keyring is ErrCorrupt and is not modified.
//
// A call that waits for a lock of another process ends with its context, and its error
// names the lock. After two seconds of waiting, a warning is logged.
func FileStore(path string) KeyStore {
	return KeyStore{path: path}
}

// resolvePath follows symbolic links, to a target that need not exist, and makes the
// path absolute. So the file, the root key and the lock have the same names for all
// processes, and keep them if the working directory changes.
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

// A Dialect is a kind of SQL database.
type Dialect uint8

// The dialects.
const (
	PostgreSQL Dialect = iota + 1
	MySQL              // also MariaDB
)

// SQLStore stores a keyring in an SQL database that several nodes share: PostgreSQL 12,
// MySQL 8, MariaDB 10.6, or a later version. OpenKeyring creates five tables, whose
// names begin with secretref_, in the default schema of db. KeyringOptions.RootKey is
// required. The caller imports the driver and closes db.
//
// If a session of MySQL or MariaDB has autocommit=0 or a completion_type, these settings
// are changed while the session is used, and then restored; this costs three round trips
// each time. With synchronous_commit=off in PostgreSQL, or
// innodb_flush_log_at_trx_commit other than 1 in MySQL and MariaDB, the database can lose
// the latest confirmed changes when it crashes.
func SQLStore(db *sql.DB, d Dialect) KeyStore {
	dialects := map[Dialect]sqlstore.Dialect{PostgreSQL: sqlstore.PostgreSQL, MySQL: sqlstore.MySQL}
	if db == nil || dialects[d] == 0 {
		return KeyStore{}
	}
	return KeyStore{store: sqlstore.New(db, dialects[d])}
}

// NewRootKey returns a new root key: base64 of 32 random bytes. Root keys have no other
// form.
func NewRootKey() Secret { return resolvedSecret(seal.NewRootText()) }

// rootKeysOf returns the root keys that opts contain, or else the root key file of the
// store.
func rootKeysOf(store KeyStore, opts *KeyringOptions, log *slog.Logger) (keyring.RootKeys, error) {
	var given []*seal.Root
	names := []string{"RootKey", "PreviousRootKey"}
	for i, s := range []Secret{opts.RootKey, opts.PreviousRootKey} {
		if s.IsZero() {
			continue
		}
		text := s.text()
		if s.state() == unmarshaled {
			return nil, fault.New(fault.RootKey,
				"the %s was unmarshaled and never resolved: call ResolveStruct first", names[i])
		}
		root, err := seal.ParseRoot(text)
		if err != nil {
			return nil, fault.New(fault.RootKey,
				"the %s is not a valid root key: expected base64 of 32 random bytes, "+
					"as NewRootKey returns; passphrases are not accepted", names[i])
		}
		given = append(given, root)
	}
	switch {
	case !opts.RootKey.IsZero():
		return rootkey.NewGiven(given...), nil
	case len(given) != 0:
		return nil, fault.New(fault.RootKey, "PreviousRootKey is set, but RootKey is not")
	case store.path == "":
		return nil, fault.New(fault.RootKey,
			"an SQLStore needs a RootKey: create one with NewRootKey and keep it outside the database")
	}
	return rootkey.NewFile(store.path+".key", log), nil
}
