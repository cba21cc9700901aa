package vaultkv_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// A value that cannot be sent is a permanent error that names its variable, not the value.
func TestEnvironment_cannotBeSent(t *testing.T) {
	const bad = canary + "\nX-Vault-Token: y"
	for name, c := range map[string]struct {
		variable string // holds it
		settings vaultkv.Settings
		auth     string
		words    string
	}{
		"VAULT_NAMESPACE": {"VAULT_NAMESPACE", vaultkv.Settings{}, ref.TokenAuth,
			"VAULT_NAMESPACE contains a line break"},
		"Namespace": {"", vaultkv.Settings{Namespace: bad}, ref.TokenAuth,
			"VaultOptions.Namespace (which overrides VAULT_NAMESPACE) contains"},
		"SECRET_STORE_VAULT_TOKEN": {vaultkv.TokenVariable, vaultkv.Settings{}, ref.TokenAuth,
			"check " + vaultkv.TokenVariable},
		"role variable": {vaultkv.RoleVariable, vaultkv.Settings{}, ref.KubernetesAuth,
			vaultkv.RoleVariable + " contains a line break"},
		"Role": {"", vaultkv.Settings{Role: bad}, ref.KubernetesAuth,
			"VaultOptions.Role (which overrides " + vaultkv.RoleVariable},
		"auth path variable": {vaultkv.AuthPathVariable, vaultkv.Settings{Role: "app"},
			ref.KubernetesAuth, vaultkv.AuthPathVariable + " contains a line break"},
		"AuthPath": {"", vaultkv.Settings{Role: "app", AuthPath: bad},
			ref.KubernetesAuth, "VaultOptions.AuthPath (which overrides " + vaultkv.AuthPathVariable},
		"JWT path variable": {vaultkv.JWTPathVariable, vaultkv.Settings{Role: "app"},
			ref.KubernetesAuth, vaultkv.JWTPathVariable + " contains a line break"},
		"namespace of a pod": {"VAULT_NAMESPACE", vaultkv.Settings{Role: "app"},
			ref.KubernetesAuth, "VAULT_NAMESPACE contains a line break"},
		"VAULT_HEADERS, with value": {"VAULT_HEADERS", vaultkv.Settings{}, ref.TokenAuth,
			"a header in VAULT_HEADERS contains a line break"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range []string{vaultkv.RoleVariable, vaultkv.AuthPathVariable,
				vaultkv.JWTPathVariable, "VAULT_NAMESPACE", "VAULT_HEADERS"} {
				t.Setenv(v, "")
			}
			t.Setenv(vaultkv.TokenVariable, token)
			switch c.variable {
			case "":
			case "VAULT_HEADERS":
				t.Setenv(c.variable, `{"X-Own":"`+canary+`\nX: y"}`)
			default:
				t.Setenv(c.variable, bad)
			}
			s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing is sent") })
			r := newBackend(t, c.settings, time.Minute, nil)
			_, err := r.get(t, s.URL, c.auth)
			require.ErrorIs(t, err, fault.Unauthenticated)
			require.ErrorContains(t, err, c.words)
			require.EqualValues(t, 1, r.attempts.Load(), "the failure is permanent")
		})
	}
}

// The Vault client parses its variables together. The error names the invalid one.
func TestEnvironment_isNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), canary)
	require.NoError(t, os.WriteFile(file, []byte(canary), 0o600))
	for variable, c := range map[string]struct{ value, words string }{
		"VAULT_SKIP_VERIFY":       {canary, `VAULT_SKIP_VERIFY is neither "true" nor "false"`},
		"VAULT_SRV_LOOKUP":        {"yes", `VAULT_SRV_LOOKUP is neither`},
		"VAULT_DISABLE_REDIRECTS": {canary, `VAULT_DISABLE_REDIRECTS is neither`},
		"VAULT_MAX_RETRIES":       {"-1", "VAULT_MAX_RETRIES is not a number"},
		"VAULT_CLIENT_TIMEOUT":    {canary, "does not accept the value of VAULT_CLIENT_TIMEOUT"},
		"VAULT_RATE_LIMIT":        {canary, "does not accept the value of VAULT_RATE_LIMIT"},
		"VAULT_PROXY_ADDR":        {"http://" + canary + "\x7f", "VAULT_PROXY_ADDR is not a URL"},
		"VAULT_HTTP_PROXY":        {"http://" + canary + "\x7f", "VAULT_HTTP_PROXY is not a URL"},
		"VAULT_CACERT":            {file, "VAULT_CACERT: no certificate or key can be read"},
		"VAULT_CACERT_BYTES":      {canary, "VAULT_CACERT_BYTES: no certificate or key can be read"},
		"VAULT_CAPATH":            {file + "/none", "VAULT_CAPATH: no certificate or key can be read"},
		"VAULT_CLIENT_KEY":        {file, "VAULT_CLIENT_CERT and VAULT_CLIENT_KEY must be set together"},
		"VAULT_HEADERS":           {canary, "VAULT_HEADERS is not a JSON object"},
		"VAULT_TLS_SERVER_NAME":   {canary + "\n", "VAULT_TLS_SERVER_NAME contains a line break"},
	} {
		t.Run(variable, func(t *testing.T) {
			// The others are set and valid.
			for name, value := range map[string]string{"VAULT_SKIP_VERIFY": "true", "VAULT_MAX_RETRIES": "3",
				"VAULT_HEADERS": `{"X-Own":"v"}`, "VAULT_CLIENT_TIMEOUT": "5s"} {
				t.Setenv(name, value)
			}
			t.Setenv(variable, c.value)
			s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing is sent") })
			r := newResolver(t, vaultkv.Settings{}, time.Minute, nil)
			_, err := r.get(t, s.URL, ref.TokenAuth)
			require.ErrorIs(t, err, fault.Unavailable)
			require.ErrorContains(t, err, c.words)
			require.NotContains(t, err.Error(), file)
			require.EqualValues(t, 1, r.attempts.Load(), "the failure is permanent")
		})
	}
}

func TestLogin_tokenAsPath(t *testing.T) {
	for _, path := range []string{"hvs." + canary, "/eyJ" + canary, canary} {
		r := newResolver(t, vaultkv.Settings{Role: "app", JWTPath: path}, time.Minute, nil)
		_, err := r.get(t, "http://127.0.0.1:1", ref.KubernetesAuth)
		require.ErrorIs(t, err, fault.Unauthenticated)
		require.ErrorIs(t, err, os.ErrNotExist)
		var held *os.PathError
		require.NotErrorAs(t, err, &held)
	}
}
