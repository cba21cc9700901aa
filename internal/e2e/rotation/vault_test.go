package rotation_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// A vaultServer is a real Vault with KV version 2 at secret/ and one secret in it. Requests over
// HTTP pass a gate, which counts the reads and can delay requests. The requests of the test
// itself do not.
type vaultServer struct {
	URL, token string
	handler    http.Handler

	mu    sync.Mutex
	gate  func(w http.ResponseWriter, r *http.Request) (pass bool)
	reads []time.Time
}

func startVault(t *testing.T) *vaultServer {
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
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = core.Shutdown() })
	shares := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	made, err := core.Initialize(t.Context(),
		&vault.InitParams{BarrierConfig: shares, RecoveryConfig: shares})
	require.NoError(t, err)
	_, err = core.Unseal(vault.TestKeyCopy(made.SecretShares[0]))
	require.NoError(t, err)

	s := &vaultServer{token: made.RootToken,
		handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{
			Core:           core,
			ListenerConfig: &configutil.Listener{Type: "tcp"},
		})}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	s.URL = web.URL
	s.write(t, "sys/mounts/secret",
		map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
	require.Eventually(t, func() bool { // the engine is not ready at once after it is mounted
		return s.ask(t, "secret/config", map[string]any{"max_versions": 10}).Code < 300
	}, 2*time.Minute, 10*time.Millisecond)
	return s
}

func (s *vaultServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	gate := s.gate
	if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v1/secret/data/") {
		s.reads = append(s.reads, time.Now())
	}
	s.mu.Unlock()
	if gate == nil || gate(w, r) {
		s.handler.ServeHTTP(w, r)
	}
}

// set installs a gate, which decides whether a request is passed to Vault. If nil, all are.
func (s *vaultServer) set(gate func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = gate
}

// down closes every connection without an answer.
func down(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// silent never answers.
func silent(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// slow answers after d.
func slow(d time.Duration) func(http.ResponseWriter, *http.Request) bool {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-time.After(d):
			return true
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// readsSince counts the reads of secrets from a time on.
func (s *vaultServer) readsSince(start time.Time) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.reads {
		if !at.Before(start) {
			n++
		}
	}
	return n
}

// put writes the secret's next version.
func (s *vaultServer) put(t *testing.T, user, password string) {
	t.Helper()
	s.write(t, "secret/data/app/db",
		map[string]any{"data": map[string]string{"username": user, "password": password}})
}

func (s *vaultServer) write(t *testing.T, path string, body any) {
	t.Helper()
	w := s.ask(t, path, body)
	require.Less(t, w.Code, 300, "%s: %s", path, w.Body)
}

func (s *vaultServer) ask(t *testing.T, path string, body any) *httptest.ResponseRecorder {
	t.Helper()
	text, err := json.Marshal(body)
	require.NoError(t, err)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/"+path,
		strings.NewReader(string(text)))
	r.Header.Set("X-Vault-Token", s.token)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// watch returns a Live with the secret's user name and password. Its TTL is so long that only a
// refused login causes a fetch.
func (s *vaultServer) watch(t *testing.T) *secretref.Live[[]secretref.Secret] {
	t.Helper()
	r := secretref.New(&secretref.Options{TTL: 5 * time.Minute, Vault: secretref.VaultOptions{
		Token: func(context.Context) (string, error) { return s.token, nil },
	}})
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	h, err := r.WatchAll(t.Context(), s.ref(t, "username"), s.ref(t, "password"))
	require.NoError(t, err)
	return h
}

func (s *vaultServer) ref(t *testing.T, key string) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{"mount": "secret", "path": "app/db", "key": key,
		"endpoint": s.URL})
	require.NoError(t, err)
	return "{ENC}" + string(text)
}

// builtins is a registry of plugins with only kv in it.
type builtins struct{}

func (builtins) Contains(name string, kind consts.PluginType) bool {
	return kind == consts.PluginTypeSecrets && name == "kv"
}

func (b builtins) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	return func() (any, error) { return logical.Factory(kv.Factory), nil }, b.Contains(name, kind)
}

func (builtins) Keys(consts.PluginType) []string { return []string{"kv"} }

func (b builtins) DeprecationStatus(name string,
	kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, b.Contains(name, kind)
}

func (builtins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
