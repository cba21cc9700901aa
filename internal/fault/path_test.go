package fault_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
)

func TestSafePath(t *testing.T) {
	require.Equal(t, "/var/run/secrets/token", fault.SafePath("/var/run/secrets/token"))
	require.Equal(t, `C:\secrets\token`, fault.SafePath(`C:\secrets\token`))
	for _, token := range []string{"eyJhbGciOi.eyJzdWIi.sig\n", "Bearer eyJhbGciOi.eyJzdWIi.sig",
		"hvs.CAESIJ", "hunter2", "x/eyJhbGciOi"} {
		require.NotContains(t, fault.SafePath(token), "eyJ")
		require.NotContains(t, fault.SafePath(token), "hvs.")
		require.NotContains(t, fault.SafePath(token), "hunter2")
	}
}
