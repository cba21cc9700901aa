// Package sqlstore stores a keyring in a PostgreSQL, MySQL or MariaDB database, which
// several nodes can share. It works with any [database/sql] driver for them.
//
// Its five tables, whose names begin with "secretref_", are in the current schema or
// database of the connection. Only Create, Acquire and calls that write to the audit log
// create them; once they exist, the user needs no permission to create tables. Names,
// records and the fields of events are binary columns. A key id is stored as the signed
// integer with the same 64 bits, and a time as microseconds since 1970 by the clock of
// the database.
//
// With MySQL and MariaDB, it does not matter which session settings the server,
// init_connect or the data source name define. A session without autocommit, or one that
// does not return all rows, is adapted while the store uses it and restored afterwards,
// which takes three more round trips. Literals depend neither on the character set nor on
// the SQL mode. A caller that changes a session of the pool after the store has used it
// loses this protection.
//
// Grant write access to these tables only to the processes that use the keyring: a user
// with write access can destroy secrets.
//
// If the connection is lost during a commit, the outcome is unknown. The call then returns
// fault.Unavailable and is not repeated. Create may have created the keyring, which the
// next Load shows. Put, Delete, Move and the other calls of a Lease can be repeated; if
// they had succeeded, they find ErrChanged, fault.NotFound or nothing to do.
// ReserveEncryptions may have reserved encryptions that are never used. A repeated
// RecordEvent may write an event twice. A lease that the caller does not know of expires
// after 15 seconds.
package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// Dialect is the SQL dialect of a database.
type Dialect int

const (
	PostgreSQL Dialect = iota + 1 // PostgreSQL 12 or newer
	MySQL                         // MySQL 8 or newer, MariaDB 10.6 or newer
)

// Store is a [store.Store] in a database.
type Store struct {
	db       *sql.DB
	dialect  *dialect
	sessions sessionCache
}

var _ store.Store = (*Store)(nil)

// New returns the store in a database. It does no I/O. The caller closes the database
// after the store. New panics unless d is one of the constants.
func New(db *sql.DB, d Dialect) *Store {
	s := &Store{db: db}
	switch d {
	case PostgreSQL:
		s.dialect = postgres().compile()
	case MySQL:
		s.dialect = mysql().compile()
	default:
		panic("sqlstore: unknown dialect")
	}
	return s
}

// Close does nothing: the caller closes the database.
func (s *Store) Close() error { return nil }

// Create implements [store.Store].
func (s *Store) Create(ctx context.Context, root seal.Fingerprint, first store.Key,
	e store.Event) (created bool, err error) {
	if err := s.createTables(ctx); err != nil {
		return false, err
	}
	err = s.inTx(ctx, func(q session) error {
		created = false
		var stored []byte
		var now int64
		if err := q.row(ctx,
			`SELECT root, {now} FROM secretref_meta WHERE id = 1 FOR UPDATE`).Scan(&stored,
			&now); err != nil {
			return err
		}
		if stored != nil {
			return nil
		}
		if err := q.insertKey(ctx, first, now); err != nil {
			return err
		}
		if _, err := q.exec(ctx, `UPDATE secretref_meta SET root = ?, active = ? WHERE id = 1`, root[:],
			int64(first.ID)); err != nil {
			return err
		}
		if _, err := q.recordEvent(ctx, e); err != nil {
			return err
		}
		created = true
		return nil
	})
	return created && err == nil, err
}

// insertKey stores a key as active from now on.
func (s session) insertKey(ctx context.Context, k store.Key, now int64) error {
	_, err := s.exec(ctx,
		`INSERT INTO secretref_keys (id, state, wrapped, encryptions, created, activated, deactivated)
		VALUES (?, {active}, ?, ?, ?, ?, 0)`, int64(k.ID), nonNil(k.Wrapped), int64(k.Encryptions), now, now)
	return err
}

const keyColumns = `k.id, k.state, k.wrapped, k.encryptions, k.created, k.activated, k.deactivated`

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context) (keys *store.Keys, err error) {
	undefined := false
	err = s.autocommit(ctx, func(q session) error {
		keys, err = q.load(ctx)
		undefined = err != nil && isUndefined(err)
		return err
	})
	if undefined {
		// The tables may have a newer version.
		if v := s.autocommit(ctx, func(q session) error { return q.checkVersion(ctx) }); v != nil {
			return nil, v
		}
	}
	return keys, err
}

// load reads the key table with one statement, which sees one snapshot.
func (s session) load(ctx context.Context) (*store.Keys, error) {
	rows, err := s.query(ctx, `SELECT m.version, m.root, m.active, {now}, `+keyColumns+`
		FROM secretref_meta m LEFT JOIN secretref_keys k ON m.root IS NOT NULL WHERE m.id = 1`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	keys := &store.Keys{}
	var active, now int64
	for rows.Next() {
		var version int
		var root []byte
		var meta, id, encryptions, created, activated, deactivated sql.NullInt64
		var state sql.NullString
		var wrapped []byte
		if err := rows.Scan(&version, &root, &meta, &now, &id, &state, &wrapped, &encryptions, &created,
			&activated, &deactivated); err != nil {
			return nil, err
		}
		if err := checkVersion(version); err != nil {
			return nil, err
		}
		if root == nil {
			return nil, store.ErrEmpty
		}
		if len(root) != len(keys.Root) {
			return nil, fault.New(fault.Corrupt, "the fingerprint in secretref_meta has %d bytes, not %d",
				len(root), len(keys.Root))
		}
		keys.Root, keys.Now, active = seal.Fingerprint(root), fromMicros(now), meta.Int64
		if id.Valid {
			keys.Keys = append(keys.Keys, key(id.Int64, state.String, wrapped, encryptions.Int64,
				created.Int64, activated.Int64, deactivated.Int64))
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if now == 0 {
		return nil, store.ErrEmpty
	}
	slices.SortFunc(keys.Keys, func(a, b store.Key) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return keys, checkKeys(keys, seal.KeyID(active))
}

// checkKeys checks invariants that no statement of this package violates.
func checkKeys(keys *store.Keys, active seal.KeyID) error {
	count := make(map[store.State]int)
	for _, k := range keys.Keys {
		switch k.State {
		case store.Active, store.Retiring, store.Inactive:
			count[k.State]++
		default:
			return fault.New(fault.Corrupt, "key %s in secretref_keys has an unknown state", k.ID)
		}
		if k.Encryptions > seal.MaxEncryptions {
			return fault.New(fault.Corrupt,
				"key %s in secretref_keys has an impossible number of encryptions", k.ID)
		}
	}
	switch k := keys.Active(); {
	case count[store.Active] != 1 || count[store.Retiring] > 1:
		return fault.New(fault.Corrupt, "secretref_keys has %d active and %d retiring keys",
			count[store.Active], count[store.Retiring])
	case k.ID != active:
		return fault.New(fault.Corrupt,
			"secretref_meta says that key %s is active, and secretref_keys that %s is", active, k.ID)
	}
	return nil
}

func key(id int64, state string, wrapped []byte, encryptions, created, activated,
	deactivated int64) store.Key {
	return store.Key{
		ID: seal.KeyID(id), State: store.State(state), Wrapped: wrapped, Encryptions: uint64(encryptions),
		Created: fromMicros(created), Activated: fromMicros(activated),
		Deactivated: fromMicros(deactivated),
	}
}

// fromMicros converts a stored time. Zero is the zero time.
func fromMicros(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// nonNil returns b, or an empty slice if b is nil, which a database would store as NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
