// Package sqlstore keeps a keyring in a PostgreSQL, MySQL or MariaDB database,
// which many nodes may share. It needs a [database/sql] driver and names none.
//
// Everything is in five tables whose names begin with "secretref_", in the
// schema or database that the connection works in. They are made by Create,
// Acquire and the calls that write to the audit log, and by nothing else; a
// user who may not make tables finds everything in order once they exist.
// Names, records and what callers write into events are binary columns, key ids
// are the signed integers with the same 64 bits, and times are microseconds
// since 1970 by the clock of the database.
//
// With MySQL and MariaDB, what a server, init_connect or a data source name set
// for a session does not matter: one that would not commit by itself, or not
// return all rows, is adapted while the store uses it and put back afterwards,
// at the price of three more round trips; literals do not depend on its
// character set or SQL mode. A caller that changes a session of the pool after
// the store has used it gives up this protection.
//
// Whoever may write to these tables can lose what is in them: only the process
// that keeps the keyring should.
//
// When the connection is lost while a call ends its transaction, nobody can
// know whether it has happened. The error is fault.Unavailable then, and
// nothing is tried again: Create may have made the keyring, which the next Load
// shows; Put, Delete, Move and the other calls of a Lease may be repeated, and
// find ErrChanged, fault.NotFound or nothing to do if they happened; Reserve
// has at worst reserved seals that nobody uses; Record has at worst written a
// line twice once it is repeated; a lease that nobody knows he holds ends after
// 15 seconds.
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

// Dialect is the language of a database.
type Dialect int

const (
	PostgreSQL Dialect = iota + 1 // PostgreSQL 12 or newer
	MySQL                         // MySQL 8 or newer, MariaDB 10.6 or newer
)

// Store is a [store.Store] in a database.
type Store struct {
	db      *sql.DB
	dialect *dialect
	seen    seen
}

var _ store.Store = (*Store)(nil)

// New returns the store in a database. It does no I/O. The database remains the
// caller's, who closes it after the store. New panics unless d is one of the
// constants.
func New(db *sql.DB, d Dialect) *Store {
	s := &Store{db: db}
	switch d {
	case PostgreSQL:
		s.dialect = postgres().prepared()
	case MySQL:
		s.dialect = mysql().prepared()
	default:
		panic("sqlstore: unknown dialect")
	}
	return s
}

// Close does nothing: the database is the caller's.
func (s *Store) Close() error { return nil }

// Create implements [store.Store].
func (s *Store) Create(ctx context.Context, root seal.Fingerprint, first store.Key, e store.Event) (created bool, err error) {
	if err := s.prepare(ctx); err != nil {
		return false, err
	}
	err = s.within(ctx, func(q session) error {
		created = false
		var stored []byte
		var now int64
		if err := q.row(ctx, `SELECT root, {now} FROM secretref_meta WHERE id = 1 FOR UPDATE`).Scan(&stored, &now); err != nil {
			return err
		}
		if stored != nil {
			return nil
		}
		if err := q.insertKey(ctx, first, now); err != nil {
			return err
		}
		if _, err := q.exec(ctx, `UPDATE secretref_meta SET root = ?, active = ? WHERE id = 1`, root[:], int64(first.ID)); err != nil {
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

// insertKey stores a key that becomes active now.
func (q session) insertKey(ctx context.Context, k store.Key, now int64) error {
	_, err := q.exec(ctx, `INSERT INTO secretref_keys (id, state, wrapped, encryptions, created, activated, deactivated)
		VALUES (?, {active}, ?, ?, ?, ?, 0)`, int64(k.ID), some(k.Wrapped), int64(k.Encryptions), now, now)
	return err
}

const keyColumns = `k.id, k.state, k.wrapped, k.encryptions, k.created, k.activated, k.deactivated`

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context) (keys *store.Keys, err error) {
	refused := false
	err = s.do(ctx, func(q session) error {
		keys, err = q.load(ctx)
		refused = err != nil && refusedStatement(err)
		return err
	})
	if refused {
		// The tables may be those of a newer version.
		if v := s.do(ctx, func(q session) error { return q.version(ctx) }); v != nil {
			return nil, v
		}
	}
	return keys, err
}

// load reads everything with one statement, which is one snapshot.
func (q session) load(ctx context.Context) (*store.Keys, error) {
	rows, err := q.query(ctx, `SELECT m.version, m.root, m.active, {now}, `+keyColumns+`
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
		if err := rows.Scan(&version, &root, &meta, &now, &id, &state, &wrapped, &encryptions, &created, &activated, &deactivated); err != nil {
			return nil, err
		}
		if err := checkVersion(version); err != nil {
			return nil, err
		}
		if root == nil {
			return nil, store.ErrEmpty
		}
		if len(root) != len(keys.Root) {
			return nil, fault.New(fault.Corrupt, "the fingerprint in secretref_meta has %d bytes, not %d", len(root), len(keys.Root))
		}
		keys.Root, keys.Now, active = seal.Fingerprint(root), instant(now), meta.Int64
		if id.Valid {
			keys.Keys = append(keys.Keys, key(id.Int64, state.String, wrapped, encryptions.Int64, created.Int64, activated.Int64, deactivated.Int64))
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

// checkKeys is what no statement of this package can break.
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
			return fault.New(fault.Corrupt, "key %s in secretref_keys has a number of seals that cannot be", k.ID)
		}
	}
	switch k := keys.Active(); {
	case count[store.Active] != 1 || count[store.Retiring] > 1:
		return fault.New(fault.Corrupt, "secretref_keys has %d active and %d retiring keys", count[store.Active], count[store.Retiring])
	case k.ID != active:
		return fault.New(fault.Corrupt, "secretref_meta says that key %s is active, and secretref_keys that %s is", active, k.ID)
	}
	return nil
}

func key(id int64, state string, wrapped []byte, encryptions, created, activated, deactivated int64) store.Key {
	return store.Key{
		ID: seal.KeyID(id), State: store.State(state), Wrapped: wrapped, Encryptions: uint64(encryptions),
		Created: instant(created), Activated: instant(activated), Deactivated: instant(deactivated),
	}
}

// instant reads a time as it is stored: zero is none.
func instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// some returns b, but never nil, which is NULL to a database.
func some(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
