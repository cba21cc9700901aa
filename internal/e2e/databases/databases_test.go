package databases_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/e2e/databases"
)

func TestServer_keepsDataWhenKilled(t *testing.T) {
	for name, own := range map[string]func(testing.TB) *databases.Database{
		"PostgreSQL": databases.OwnPostgreSQL,
		"MariaDB":    databases.OwnMariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := own(t)
			exec := func(statement string) error {
				_, err := d.Open(t).ExecContext(t.Context(), statement)
				return err
			}
			require.NoError(t, exec("CREATE TABLE kept (n int)"))
			d.Kill(t)
			require.Error(t, exec("INSERT INTO kept VALUES (1)"))
			d.Start(t)
			require.NoError(t, exec("INSERT INTO kept VALUES (1)"))
			d.Restart(t)
			require.NoError(t, exec("INSERT INTO kept VALUES (2)"))
		})
	}
}
