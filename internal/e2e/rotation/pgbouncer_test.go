package rotation_test

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

// PgBouncer has one code, 08P01, for everything that it refuses.
func TestConnectorKnowsARefusedLoginOfPgBouncer(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	d := databases.PgBouncer(t, databases.PostgreSQL(t), "session")
	v.put(t, d.User, rand.Text())
	c := secretref.Connector(v.handle(t), postgresConnect(t, d, nil), nil)
	v.put(t, d.User, d.Password) // the connector still has the other one
	require.NoError(t, connect(t.Context(), c))
}
