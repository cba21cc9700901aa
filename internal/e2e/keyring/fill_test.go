package keyring_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store/sqlstore"
)

// store returns the store of the keyring.
func (p cluster) store(t testing.TB) *sqlstore.Store {
	t.Helper()
	dialects := map[secretref.Dialect]sqlstore.Dialect{secretref.PostgreSQL: sqlstore.PostgreSQL,
		secretref.MySQL: sqlstore.MySQL}
	return sqlstore.New(p.Open(t), dialects[p.server.dialect])
}

// filled creates the keyring with n secrets, inserting a thousand with each statement.
func (p cluster) filled(t testing.TB, n int) stored {
	t.Helper()
	p.node(t)
	store := p.store(t)
	keys, err := store.Load(t.Context())
	require.NoError(t, err)
	root, err := seal.ParseRoot(p.root.Reveal())
	require.NoError(t, err)
	active := keys.Active()
	key, err := root.Unwrap(active.ID, active.Wrapped)
	require.NoError(t, err)
	require.NoError(t, store.ReserveEncryptions(t.Context(), key.ID(), uint64(n)))

	s, db := stored{}, p.Open(t)
	columns := 3
	insert := "INSERT INTO secretref_records (name, key_id, record) VALUES "
	if p.server.dialect == secretref.MySQL {
		columns = 4
		insert = "INSERT INTO secretref_records (name, key_id, record, length) VALUES "
	}
	for len(s) < n {
		var rows strings.Builder
		var args []any
		for range min(1000, n-len(s)) {
			name, text := fmt.Sprintf("application/%06d/password", len(s)), fmt.Sprintf("%016d", len(s))
			s[name] = text
			record := key.Seal(name, []byte(canary+text))
			args = append(args, []byte(name), int64(key.ID()), record, len(record))[:len(args)+columns]
			var row []string
			for i := range columns {
				row = append(row, p.server.argument(len(args)-columns+i+1))
			}
			rows.WriteString(", (" + strings.Join(row, ", ") + ")")
		}
		_, err := db.ExecContext(t.Context(), insert+rows.String()[2:], args...)
		require.NoError(t, err)
	}
	return s
}
