package rotation_test

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

// PgBouncer reports every refusal with the same code, 08P01.
func TestConnector_pgBouncer(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	d := databases.PgBouncer(t, databases.PostgreSQL(t), "session")
	v.put(t, d.User, rand.Text())
	c := secretref.Connector(v.watch(t), postgresConnect(t, d, nil), nil)
	v.put(t, d.User, d.Password) // the connector still has the old password
	require.NoError(t, connect(t.Context(), c))
}
