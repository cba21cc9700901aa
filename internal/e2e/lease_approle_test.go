package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/examples/approle"
)

// appRole sets up a role whose tokens live as its fields say, and returns
// its id and the file with a secret id.
func (s *server) appRole(t *testing.T, fields string) (roleID, file string) {
	t.Helper()
	s.mint(t, "reader", readAll)
	s.must(t, "POST", "sys/auth/approle", `{"type":"approle"}`)
	s.must(t, "POST", "auth/approle/role/app", `{"token_policies":["reader"],`+fields+`}`)
	roleID = textAt(t, s.must(t, "GET", "auth/approle/role/app/role-id", ""), "data.role_id")
	secretID := textAt(t, s.must(t, "POST", "auth/approle/role/app/secret-id", ""), "data.secret_id")
	file = filepath.Join(t.TempDir(), "secret-id")
	require.NoError(t, os.WriteFile(file, []byte(secretID+"\n"), 0o600))
	return roleID, file
}

func TestAppRoleLogsInOnceForAll(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		roleID, file := s.appRole(t, `"token_ttl":"1h"`)
		front := countCalls(t, s)
		r := newResolver(t, &secretref.Options{Vault: secretref.VaultOptions{Token: approle.Token(front.url, roleID, file)}})
		var values []string
		for i := range 30 {
			path := fmt.Sprint("app/", i)
			s.put(t, path, `{"password":"x"}`)
			values = append(values, reference(t, front.url, "secret", path, "password", ""))
		}
		read := func() {
			t.Helper()
			_, err := r.ResolveAll(t.Context(), values...)
			require.NoError(t, err)
		}
		read()
		require.Equal(t, 1, front.count("/login"))
		read()
		require.Equal(t, 0, front.count("/login"))

		// All that are refused at one time share one new login.
		s.must(t, "POST", "auth/token/revoke", `{"token":"`+front.lastToken()+`"}`)
		read()
		require.Equal(t, 1, front.count("/login"))
	})
}

func TestAppRoleTokensAreReplacedBeforeTheyEnd(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		t.Parallel()
		s.put(t, "app/db", `{"password":"x"}`)
		roleID, file := s.appRole(t, `"token_ttl":"3s","token_max_ttl":"3s"`)
		front := countCalls(t, s)
		r := newResolver(t, &secretref.Options{Vault: secretref.VaultOptions{Token: approle.Token(front.url, roleID, file)}})
		for start := time.Now(); time.Since(start) < 7*time.Second; time.Sleep(20 * time.Millisecond) {
			_, err := r.Resolve(t.Context(), reference(t, front.url, "secret", "app/db", "password", ""))
			require.NoError(t, err)
		}
		require.InDelta(t, 4, front.count("/login"), 1)
	})
}

func TestAppRoleLoginsThatAreRefusedAreNotRepeated(t *testing.T) {
	bothServers(t, func(t *testing.T, s *server) {
		s.put(t, "app/db", `{"password":"`+canary+`"}`)
		roleID, file := s.appRole(t, `"token_ttl":"1h"`)
		require.NoError(t, os.WriteFile(file, []byte(canary), 0o600))
		front := countCalls(t, s)
		r := newResolver(t, &secretref.Options{Vault: secretref.VaultOptions{Token: approle.Token(front.url, roleID, file)}})
		_, err := r.Resolve(t.Context(), reference(t, front.url, "secret", "app/db", "password", ""))
		s.refused(t, err, secretref.ErrUnauthenticated, "VaultOptions.Token failed", roleID)
		require.Equal(t, 1, front.count(""))
	})
}
