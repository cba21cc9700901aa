package bench

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/e2e/databases"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
)

// sqlServer describes a database system.
type sqlServer struct {
	name    string
	start   func(testing.TB) *databases.Database
	dialect secretref.Dialect
	inner   sqlstore.Dialect
	version string // the query for it
	vacuum  string
	columns string
	values  func(r store.Record) []any
	mark    func(n int) string // the n-th placeholder, from 1
}

var postgresql = sqlServer{
	name: "postgresql", start: databases.PostgreSQL, dialect: secretref.PostgreSQL,
	inner:   sqlstore.PostgreSQL,
	version: "SHOW server_version",
	vacuum:  "VACUUM ANALYZE secretref_records",
	columns: "name, key_id, record",
	values:  func(r store.Record) []any { return []any{[]byte(r.Name), int64(r.Key), r.Sealed} },
	mark:    func(n int) string { return fmt.Sprintf("$%d", n) },
}

var mariadb = sqlServer{
	name: "mariadb", start: databases.MariaDB, dialect: secretref.MySQL, inner: sqlstore.MySQL,
	version: "SELECT version()",
	vacuum:  "ANALYZE TABLE secretref_records",
	columns: "name, key_id, record, length",
	values: func(r store.Record) []any {
		return []any{[]byte(r.Name), int64(r.Key), r.Sealed, len(r.Sealed)}
	},
	mark: func(int) string { return "?" },
}

// sqlStore is an SQLStore in a database of its own.
type sqlStore struct {
	server  sqlServer
	db      *sql.DB
	store   *sqlstore.Store
	root    secretref.Secret
	keys    *secretref.Keyring
	secrets int
}

func newSQLStore(b *testing.B, s sqlServer) *sqlStore {
	db := s.start(b).Open(b)
	var version string
	if err := db.QueryRowContext(b.Context(), s.version).Scan(&version); err != nil {
		b.Fatal(err)
	}
	fmt.Printf("version-%s: %s\n", s.name, version)
	p := &sqlStore{server: s, db: db, store: sqlstore.New(db, s.inner), root: secretref.NewRootKey()}
	p.keys = open(b, secretref.SQLStore(db, s.dialect), &secretref.KeyringOptions{RootKey: p.root})
	b.Cleanup(func() { _ = p.keys.Close() })
	return p
}

func (p *sqlStore) keyring() *secretref.Keyring { return p.keys }

func (p *sqlStore) reopen(b *testing.B, opts secretref.KeyringOptions) *secretref.Keyring {
	opts.RootKey = p.root
	return open(b, secretref.SQLStore(p.db, p.server.dialect), &opts)
}

func (p *sqlStore) settle(b *testing.B) { p.exec(b, p.server.vacuum) }

func (p *sqlStore) exec(b *testing.B, statement string, args ...any) {
	if _, err := p.db.ExecContext(b.Context(), statement, args...); err != nil {
		b.Fatal(err)
	}
}

// grow encrypts like the keyring and inserts a thousand rows with each statement.
func (p *sqlStore) grow(b *testing.B, n int) {
	keys, err := p.store.Load(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	active := keys.Active()
	key, err := p.rootKey(b).Unwrap(active.ID, active.Wrapped)
	if err != nil {
		b.Fatal(err)
	}
	if err := p.store.ReserveEncryptions(b.Context(), key.ID(), uint64(n)); err != nil {
		b.Fatal(err)
	}
	for p.secrets < n {
		var rows []store.Record
		for range min(pageSize, n-p.secrets) {
			name := secretName(p.secrets)
			rows = append(rows,
				store.Record{Name: name, Key: key.ID(), Sealed: key.Seal(name, []byte(secretText(p.secrets)))})
			p.secrets++
		}
		statement, args := p.server.insert(rows)
		p.exec(b, statement, args...)
	}
}

func (p *sqlStore) rootKey(b *testing.B) *seal.Root {
	root, err := seal.ParseRoot(p.root.Reveal())
	if err != nil {
		b.Fatal(err)
	}
	return root
}

// addInactiveKey stores an inactive key, which the random bytes of rewrite refer to.
func (p *sqlStore) addInactiveKey(b *testing.B) seal.KeyID {
	key := seal.NewKey()
	mark := p.server.mark
	p.exec(b, "INSERT INTO secretref_keys (id, wrapped, state, encryptions, created, activated, "+
		"deactivated) VALUES ("+mark(1)+", "+mark(2)+", 'inactive', 0, 1, 1, 1)",
		int64(key.ID()), p.rootKey(b).Wrap(key))
	return key.ID()
}

func (s sqlServer) insert(rows []store.Record) (statement string, args []any) {
	var tuples []string
	for _, row := range rows {
		var marks []string
		for _, value := range s.values(row) {
			args = append(args, value)
			marks = append(marks, s.mark(len(args)))
		}
		tuples = append(tuples, "("+strings.Join(marks, ", ")+")")
	}
	return "INSERT INTO secretref_records (" + s.columns + ") VALUES " +
		strings.Join(tuples, ", "), args
}

// update returns the fastest statement of each database to change many rows.
func (s sqlServer) update(rows []store.Record) (statement string, args []any) {
	if s.dialect == secretref.MySQL {
		statement, args = s.insert(rows)
		return statement +
			" ON DUPLICATE KEY UPDATE key_id = VALUES(key_id), record = VALUES(record)", args
	}
	var names, texts [][]byte
	for _, row := range rows {
		names, texts = append(names, []byte(row.Name)), append(texts, row.Sealed)
	}
	return "UPDATE secretref_records AS r SET key_id = $3, record = s.record " +
			"FROM unnest($1::bytea[], $2::bytea[]) AS s (name, record) WHERE r.name = s.name",
		[]any{names, texts, int64(rows[0].Key)}
}

func (p *sqlStore) rewrite(b *testing.B) (write, restore func()) {
	var records, noise []store.Record
	err := store.Pages(b.Context(), p.store, store.Range{Limit: pageSize, Bytes: 1 << 20},
		func(rows []store.Record) error {
			records = append(records, rows...)
			return nil
		})
	if err != nil || len(records) != p.secrets {
		b.Fatalf("%d records: %v", len(records), err)
	}
	inactive := p.addInactiveKey(b)
	for _, r := range records {
		r.Key, r.Sealed = inactive, make([]byte, len(r.Sealed))
		_, _ = rand.Read(r.Sealed)
		noise = append(noise, r)
	}
	put := func(records []store.Record) {
		for i := 0; i < len(records); i += pageSize {
			statement, args := p.server.update(records[i:min(i+pageSize, len(records))])
			p.exec(b, statement, args...)
		}
	}
	return func() { put(noise) }, func() { put(records) }
}
