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

// sqlServer is what differs from one database to another.
type sqlServer struct {
	name    string
	start   func(testing.TB) *databases.Database
	dialect secretref.Dialect
	inner   sqlstore.Dialect
	version string // what asks for it
	vacuum  string
	columns string
	values  func(box store.Record) []any
	mark    func(n int) string // the n-th placeholder, from 1
}

var postgresql = sqlServer{
	name: "postgresql", start: databases.PostgreSQL, dialect: secretref.PostgreSQL, inner: sqlstore.PostgreSQL,
	version: "SHOW server_version",
	vacuum:  "VACUUM ANALYZE secretref_boxes",
	columns: "name, key_id, box",
	values:  func(box store.Record) []any { return []any{[]byte(box.Name), int64(box.Key), box.Sealed} },
	mark:    func(n int) string { return fmt.Sprintf("$%d", n) },
}

var mariadb = sqlServer{
	name: "mariadb", start: databases.MariaDB, dialect: secretref.MySQL, inner: sqlstore.MySQL,
	version: "SELECT version()",
	vacuum:  "ANALYZE TABLE secretref_boxes",
	columns: "name, key_id, box, length",
	values: func(box store.Record) []any {
		return []any{[]byte(box.Name), int64(box.Key), box.Sealed, len(box.Sealed)}
	},
	mark: func(int) string { return "?" },
}

// sqlPlace is an SQLStore in a database that nobody else uses.
type sqlPlace struct {
	server  sqlServer
	db      *sql.DB
	store   *sqlstore.Store
	root    secretref.Secret
	opened  *secretref.Keyring
	secrets int
}

func newSQLPlace(b *testing.B, s sqlServer) *sqlPlace {
	db := s.start(b).Open(b)
	var version string
	if err := db.QueryRowContext(b.Context(), s.version).Scan(&version); err != nil {
		b.Fatal(err)
	}
	fmt.Printf("version-%s: %s\n", s.name, version)
	p := &sqlPlace{server: s, db: db, store: sqlstore.New(db, s.inner), root: secretref.NewRootKey()}
	p.opened = open(b, secretref.SQLStore(db, s.dialect), &secretref.KeyringOptions{RootKey: p.root})
	b.Cleanup(func() { _ = p.opened.Close() })
	return p
}

func (p *sqlPlace) keyring() *secretref.Keyring { return p.opened }

func (p *sqlPlace) another(b *testing.B, opts secretref.KeyringOptions) *secretref.Keyring {
	opts.RootKey = p.root
	return open(b, secretref.SQLStore(p.db, p.server.dialect), &opts)
}

func (p *sqlPlace) tidy(b *testing.B) { p.exec(b, p.server.vacuum) }

func (p *sqlPlace) exec(b *testing.B, statement string, args ...any) {
	if _, err := p.db.ExecContext(b.Context(), statement, args...); err != nil {
		b.Fatal(err)
	}
}

// grow seals as the keyring would, and inserts a thousand with a statement.
func (p *sqlPlace) grow(b *testing.B, n int) {
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
		for range min(page, n-p.secrets) {
			name := secretName(p.secrets)
			rows = append(rows, store.Record{Name: name, Key: key.ID(), Sealed: key.Seal(name, []byte(secretText(p.secrets)))})
			p.secrets++
		}
		statement, args := p.server.insert(rows)
		p.exec(b, statement, args...)
	}
}

func (p *sqlPlace) rootKey(b *testing.B) *seal.Root {
	root, err := seal.ParseRoot(p.root.Reveal())
	if err != nil {
		b.Fatal(err)
	}
	return root
}

// spare stores an inactive key, for random bytes to be under.
func (p *sqlPlace) spare(b *testing.B) seal.KeyID {
	key := seal.NewKey()
	mark := p.server.mark
	p.exec(b, fmt.Sprintf("INSERT INTO secretref_keys (id, state, wrapped, seals, created, activated, deactivated) VALUES (%s, 'inactive', %s, 0, 1, 1, 1)", mark(1), mark(2)),
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
	return "INSERT INTO secretref_boxes (" + s.columns + ") VALUES " + strings.Join(tuples, ", "), args
}

// update is the fastest way that each database has to change many rows.
func (s sqlServer) update(rows []store.Record) (statement string, args []any) {
	if s.dialect == secretref.MySQL {
		statement, args = s.insert(rows)
		return statement + " ON DUPLICATE KEY UPDATE key_id = VALUES(key_id), box = VALUES(box)", args
	}
	var names, texts [][]byte
	for _, row := range rows {
		names, texts = append(names, []byte(row.Name)), append(texts, row.Sealed)
	}
	return "UPDATE secretref_boxes AS b SET key_id = $3, box = s.box FROM unnest($1::bytea[], $2::bytea[]) AS s (name, box) WHERE b.name = s.name",
		[]any{names, texts, int64(rows[0].Key)}
}

func (p *sqlPlace) rewrite(b *testing.B) (write, restore func()) {
	var boxes, noise []store.Record
	err := store.Pages(b.Context(), p.store, store.Range{Limit: page, Bytes: 1 << 20}, func(rows []store.Record) error {
		boxes = append(boxes, rows...)
		return nil
	})
	if err != nil || len(boxes) != p.secrets {
		b.Fatalf("%d boxes: %v", len(boxes), err)
	}
	spare := p.spare(b)
	for _, box := range boxes {
		box.Key, box.Sealed = spare, make([]byte, len(box.Sealed))
		_, _ = rand.Read(box.Sealed)
		noise = append(noise, box)
	}
	put := func(boxes []store.Record) {
		for i := 0; i < len(boxes); i += page {
			statement, args := p.server.update(boxes[i:min(i+page, len(boxes))])
			p.exec(b, statement, args...)
		}
	}
	return func() { put(noise) }, func() { put(boxes) }
}
