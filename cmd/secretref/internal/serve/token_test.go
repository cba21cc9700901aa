package serve

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writeToken writes a token file and returns its path.
func writeToken(t *testing.T, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte(token), 0o600))
	return path
}

func TestTokenFile_authorize(t *testing.T) {
	const right = "canary-token-0123456789"
	file := tokenFile{path: writeToken(t, right), log: slog.New(slog.DiscardHandler)}
	for header, in := range map[string]bool{
		"Bearer " + right: true, "bearer  " + right + " ": true,
		right: false, "Bearer": false, "Bearer ": false, "Basic " + right: false, "Bearer " +
			right + " x": false,
	} {
		actor, err := file.authorize(&http.Request{
			Header: http.Header{"Authorization": {header}}, RemoteAddr: "[::1]:1234",
		})
		assert.Equal(t, in, err == nil, header)
		assert.Equal(t, map[bool]string{true: "token@::1"}[in], actor)
	}
}
