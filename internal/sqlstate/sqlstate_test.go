package sqlstate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/sqlstate"
)

func TestLoginRefused(t *testing.T) {
	for _, row := range []struct {
		state, message string
		want           bool
	}{
		{"28P01", `password authentication failed for user "app"`, true},
		{"28000", "no pg_hba.conf entry", true},
		// PgBouncer 1.18
		{"08P01", "SASL authentication failed", true},
		{"08P01", `password authentication failed for user "app"`, true},
		{"08P01", "no such user: app", true},
		{"08P01", "server login failed: FATAL password authentication failed", true},
		{"08P01", "server login has been failing, try again later (server_login_retry)", true},
		{"08P01", `database "nodb" does not exist`, false},
		{"08P01", "no more connections allowed (max_client_conn)", false},
		{"08P01", "query_wait_timeout", false},
		{"08P01", "invalid message format", false},
		{"08006", "authentication failed", false},
		{"", "password authentication failed", false},
	} {
		require.Equal(t, row.want, sqlstate.LoginRefused(row.state, row.message), "%s %s", row.state,
			row.message)
	}
}
