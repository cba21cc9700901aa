// Package faults tests the library with failing connections and servers, one fault at a time.
// Toxiproxy disturbs the connections to a real Vault and to internal/test/fakeaws; faults that
// only a server can have are produced by the servers.
package faults

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

// A node is a real Vault in this process, reached over plain HTTP.
type node struct {
	t    *testing.T
	core *vault.Core
	url  string

	mu     sync.Mutex
	tokens map[string]int // number of requests with each token
}

// received returns the number of requests with a token.
func (n *node) received(token string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tokens[token]
}

// startNode starts a node over storage. If nodes share it, ha has the lock of the active one.
func startNode(t *testing.T, storage physical.Backend, ha physical.HABackend) *node {
	t.Helper()
	// The core needs the address of the server, so the server starts first.
	var handler http.Handler
	n := &node{t: t, tokens: map[string]int{}}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.tokens[r.Header.Get("X-Vault-Token")]++
		n.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	config := &vault.CoreConfig{
		Physical:        storage,
		Logger:          hclog.NewNullLogger(),
		DisableMlock:    true,
		BuiltinRegistry: builtins{},
		LogicalBackends: map[string]logical.Factory{"kv": kv.Factory},
	}
	if ha != nil {
		config.HAPhysical, config.RedirectAddr = ha, web.URL
	}
	core, err := vault.NewCore(config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = core.Shutdown() })
	handler = vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core: core,
		// The handler reads its limits from the listener and panics without one.
		ListenerConfig: &configutil.Listener{Type: "tcp"},
	})
	n.core, n.url = core, web.URL
	return n
}

// A vaultServer is an active node, initialized and unsealed, with KV version 2 at secret/.
type vaultServer struct {
	*node
	rootToken string
	key       []byte
}

func startVault(t *testing.T) *vaultServer {
	t.Helper()
	storage, err := inmem.NewInmem(nil, hclog.NewNullLogger())
	require.NoError(t, err)
	return startNode(t, storage, nil).initialize(t)
}

// startPair starts two nodes over one storage. The second is the standby: it redirects requests
// to the first, since it cannot forward them.
func startPair(t *testing.T) (*vaultServer, *node) {
	t.Helper()
	storage, err := inmem.NewInmem(nil, hclog.NewNullLogger())
	require.NoError(t, err)
	lock, err := inmem.NewInmemHA(nil, hclog.NewNullLogger())
	require.NoError(t, err)
	ha, ok := lock.(physical.HABackend)
	require.True(t, ok)
	active := startNode(t, storage, ha).initialize(t)
	standby := startNode(t, storage, ha)
	standby.unseal(t, active.key)
	return active, standby
}

func (n *node) initialize(t *testing.T) *vaultServer {
	t.Helper()
	shares := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	made, err := n.core.Initialize(t.Context(),
		&vault.InitParams{BarrierConfig: shares, RecoveryConfig: shares})
	require.NoError(t, err)
	s := &vaultServer{n, made.RootToken, made.SecretShares[0]}
	n.unseal(t, s.key)
	require.Eventually(t, func() bool {
		standby, _ := n.core.StandbyStates()
		return !standby
	}, 2*time.Minute, 10*time.Millisecond)
	s.must("POST", "sys/mounts/secret",
		map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
	return s
}

func (n *node) unseal(t *testing.T, key []byte) {
	t.Helper()
	_, err := n.core.Unseal(vault.TestKeyCopy(key))
	require.NoError(t, err)
}

// must sends a request with the root token and returns the decoded answer.
func (s *vaultServer) must(method, path string, body any) map[string]any {
	s.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(s.t, err)
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+"/v1/"+path,
		bytes.NewReader(text))
	require.NoError(s.t, err)
	req.Header.Set("X-Vault-Token", s.rootToken)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err = io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.Less(s.t, resp.StatusCode, 300, "%s %s: %s", method, path, text)
	var reply map[string]any
	_ = json.Unmarshal(text, &reply)
	return reply
}

// put writes a version of a secret.
func (s *vaultServer) put(path string, doc document) {
	s.t.Helper()
	s.must("POST", "secret/data/"+path, map[string]any{"data": doc})
}

// allow sets the capability of the tokens for a path.
func (s *vaultServer) allow(path, capability string) {
	s.t.Helper()
	s.must("PUT", "sys/policies/acl/"+path, map[string]any{
		"policy": fmt.Sprintf("path \"secret/data/%s\" { capabilities = [%q] }", path, capability)})
}

// mint returns a new token for a path.
func (s *vaultServer) mint(path string) string {
	s.t.Helper()
	reply := s.must("POST", "auth/token/create",
		map[string]any{"policies": []string{path}, "ttl": "1h"})
	return reply["auth"].(map[string]any)["client_token"].(string)
}

func (s *vaultServer) revoke(token string) {
	s.t.Helper()
	s.must("POST", "auth/token/revoke", map[string]any{"token": token})
}

func (s *vaultServer) seal() { s.must("PUT", "sys/seal", nil) }

func (s *vaultServer) unsealAgain() {
	s.must("PUT", "sys/unseal", map[string]any{"key": base64.StdEncoding.EncodeToString(s.key)})
}

// A document is the content of a secret. The rest is so long that the password is in the first
// half of the answer.
type document struct {
	Password string `json:"password"`
	Rest     string `json:"rest"`
}

func secret(value string) document {
	return document{value, string(bytes.Repeat([]byte("0123456789abcdef"), 256))}
}

const (
	region = "eu-west-1"
	keyID  = "AKIDEXAMPLE"
	key    = "the-secret-access-key"
)

func startAWS(t *testing.T) *fakeaws.Server {
	s := fakeaws.New()
	t.Cleanup(s.Close)
	s.AddKey(keyID, key, "")
	return s
}

// builtins is the registry of plugins, without which Vault panics when it mounts one.
type builtins struct{}

func (builtins) Contains(name string, kind consts.PluginType) bool {
	return kind == consts.PluginTypeSecrets && name == "kv"
}

func (b builtins) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	return func() (any, error) { return logical.Factory(kv.Factory), nil }, b.Contains(name, kind)
}

func (b builtins) Keys(kind consts.PluginType) []string {
	if kind == consts.PluginTypeSecrets {
		return []string{"kv"}
	}
	return nil
}

func (b builtins) DeprecationStatus(name string,
	kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, b.Contains(name, kind)
}

func (builtins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
