package rotation_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/examples/pgxpool"
	"github.com/seed74218947/secretref/internal/e2e/databases"
)

func TestPgxpoolExample_rotation(t *testing.T) {
	t.Parallel()
	rotate(t, databases.PostgreSQL(t), pgxpoolClient)
}

// pgxpoolClient returns a client with the pool of the example, in which it leaves no connection.
func pgxpoolClient(t *testing.T, d *databases.Database,
	h *secretref.Live[[]secretref.Secret]) client {
	pool, err := pgxpool.Open(t.Context(), d.DSN("pool_max_conns=8"), h)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return client{
		query: func(ctx context.Context) error {
			conn, err := pool.Acquire(ctx)
			if err != nil {
				return err
			}
			defer conn.Release()
			defer func() { _ = conn.Conn().Close(ctx) }()
			var one int
			return conn.QueryRow(ctx, "SELECT 1").Scan(&one)
		},
		alter:   alterer(d.Admin(t), "ALTER ROLE %s PASSWORD '%s'"),
		refused: refusedByPostgres,
	}
}
