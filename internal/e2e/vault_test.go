// Package e2e tests against real servers. Vault 1.21.4 runs inside the test process; its licence
// (BUSL-1.1) and size keep it out of every other module. No test needs the network. One suite runs
// against Vault and against internal/test/fakevault, which proves the fake faithful.
package e2e

import (
	"encoding/base64"
	"net/http/httptest"
	"testing"

	"github.com/hashicorp/go-hclog"
	credKube "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	credAppRole "github.com/hashicorp/vault/builtin/credential/approle"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/test/fakevault"
)

// A server is a Vault to test against, the real one or the fake. The tests use it over HTTP only.
type server struct {
	URL, RootToken string
	unsealKey      string
	seal, unseal   func()
}

// bothServers runs test against the real Vault and against the fake.
func bothServers(t *testing.T, test func(t *testing.T, s *server)) {
	t.Run("vault", func(t *testing.T) { test(t, startVault(t)) })
	t.Run("fakevault", func(t *testing.T) { test(t, startFake(t)) })
}

// startVault starts a real Vault in this process, initialized and unsealed, with KV version 2 at
// secret/.
func startVault(t *testing.T) *server {
	t.Helper()
	logger := hclog.NewNullLogger()
	physical, err := inmem.NewInmem(nil, logger)
	require.NoError(t, err)
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:        physical,
		Logger:          logger,
		DisableMlock:    true,
		BuiltinRegistry: builtins{},
		LogicalBackends: map[string]logical.Factory{"kv": kv.Factory},
		CredentialBackends: map[string]logical.Factory{"kubernetes": credKube.Factory,
			"approle": credAppRole.Factory},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = core.Shutdown() })

	shares := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	made, err := core.Initialize(t.Context(),
		&vault.InitParams{BarrierConfig: shares, RecoveryConfig: shares})
	require.NoError(t, err)
	_, err = core.Unseal(vault.TestKeyCopy(made.SecretShares[0]))
	require.NoError(t, err)

	web := httptest.NewServer(vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core: core,
		// The handler reads its limits from the listener and panics without one.
		ListenerConfig: &configutil.Listener{Type: "tcp"},
	}))
	t.Cleanup(web.Close)
	s := newServer(t, web.URL, made.RootToken, base64.StdEncoding.EncodeToString(made.SecretShares[0]))
	s.must(t, "POST", "sys/mounts/secret", `{"type":"kv","options":{"version":"2"}}`)
	return s
}

// startFake starts the fake, which has KV version 2 at secret/ from the start.
func startFake(t *testing.T) *server {
	t.Helper()
	fake := fakevault.New()
	t.Cleanup(fake.Close)
	return newServer(t, fake.URL(), fake.RootToken(), fake.UnsealKey())
}

func newServer(t *testing.T, url, rootToken, unsealKey string) *server {
	s := &server{URL: url, RootToken: rootToken, unsealKey: unsealKey}
	s.seal = func() { s.must(t, "PUT", "sys/seal", "") }
	s.unseal = func() { s.must(t, "PUT", "sys/unseal", `{"key":"`+unsealKey+`"}`) }
	return s
}

// builtins is the registry of plugins, without which Vault panics when it mounts one.
type builtins struct{}

func (builtins) Contains(name string, kind consts.PluginType) bool {
	switch kind {
	case consts.PluginTypeSecrets:
		return name == "kv"
	case consts.PluginTypeCredential:
		return name == "kubernetes" || name == "approle"
	}
	return false
}

func (builtins) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	switch {
	case kind == consts.PluginTypeSecrets && name == "kv":
		return func() (any, error) { return logical.Factory(kv.Factory), nil }, true
	case kind == consts.PluginTypeCredential && name == "kubernetes":
		return func() (any, error) { return logical.Factory(credKube.Factory), nil }, true
	case kind == consts.PluginTypeCredential && name == "approle":
		return func() (any, error) { return logical.Factory(credAppRole.Factory), nil }, true
	}
	return nil, false
}

func (builtins) Keys(kind consts.PluginType) []string {
	switch kind {
	case consts.PluginTypeSecrets:
		return []string{"kv"}
	case consts.PluginTypeCredential:
		return []string{"kubernetes", "approle"}
	}
	return nil
}

func (b builtins) DeprecationStatus(name string,
	kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, b.Contains(name, kind)
}

func (builtins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
