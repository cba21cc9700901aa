package vaultkv_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/ref"
	"github.com/seed74218947/secretref/internal/test/fakevault"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

// simulation is a fake Vault with a secret and a login for pods, and a backend that reads
// the secret, in a synctest bubble.
type simulation struct {
	*fakevault.Server
	t       *testing.T
	backend *vaultkv.Backend
	log     bytes.Buffer
	started time.Time
	refuse  atomic.Bool // the endpoint

	mu     sync.Mutex
	tokens []string // issued by mint
	jwts   []string // of logins
	logins []time.Duration
}

// simulate runs test in a bubble. It fails if a goroutine is left after Close.
func simulate(t *testing.T, settings vaultkv.Settings, test func(t *testing.T, s *simulation)) {
	t.Helper()
	settings.Timeout = 30 * time.Second
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{Server: fakevault.NewInProcess(), t: t, started: time.Now()}
		settings.Transport = s.Server
		log := slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s.backend = vaultkv.New(settings, &httpguard.Policy{Allow: s.allow, Log: log}, log)
		s.Put("secret", "db", map[string]any{"k": "v"})
		s.policy("reader", `path "secret/data/*" { capabilities = ["read"] }`)
		s.SetCluster(http.HandlerFunc(s.review))
		s.must("POST", "sys/auth/kubernetes", `{"type":"kubernetes"}`)
		s.must("POST", "auth/kubernetes/config", `{"kubernetes_host":"https://cluster.example"}`)
		s.ResetCalls()
		test(t, s)
		s.backend.Close()
		for _, secret := range append(s.tokens, s.RootToken(), canary) {
			require.NotContains(t, s.log.String(), secret)
		}
	})
}

func (s *simulation) allow(*url.URL) error {
	if s.refuse.Load() {
		return io.ErrNoProgress
	}
	return nil
}

// review is a TokenReview that accepts every JWT.
func (s *simulation) review(w http.ResponseWriter, r *http.Request) {
	var review struct{ Spec struct{ Token string } }
	assert.NoError(s.t, json.NewDecoder(r.Body).Decode(&review))
	s.mu.Lock()
	s.jwts = append(s.jwts, review.Spec.Token)
	s.logins = append(s.logins, time.Since(s.started))
	s.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w,
		`{"status":{"authenticated":true,"user":{"username":"system:serviceaccount:prod:app-sa","uid":"1"}}}`)
}

// jwt returns a token of a pod's service account with the given ID.
func jwt(name string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." +
		encode([]byte(`{"kubernetes.io":{"namespace":"prod","serviceaccount":{"name":"app-sa","uid":"1"}},"jti":"`+name+`"}`)) + "." + canary
}

// request sends a request with the root token.
func (s *simulation) request(method, path, body string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL()+"/v1/"+path,
		strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("X-Vault-Token", s.RootToken())
	resp, err := s.RoundTrip(r)
	require.NoError(s.t, err)
	return resp
}

func (s *simulation) must(method, path, body string) []byte {
	s.t.Helper()
	resp := s.request(method, path, body)
	text, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.Less(s.t, resp.StatusCode, 300, "%s %s: %s", method, path, text)
	return text
}

func (s *simulation) policy(name, text string) {
	body, err := json.Marshal(map[string]string{"policy": text})
	require.NoError(s.t, err)
	s.must("PUT", "sys/policies/acl/"+name, string(body))
}

// role configures the role of the pods.
func (s *simulation) role(fields string) {
	s.must("POST", "auth/kubernetes/role/app", `{"bound_service_account_names":["app-sa"],
		"bound_service_account_namespaces":["prod"],"token_policies":["reader"],`+fields+`}`)
	s.ResetCalls()
}

// mint returns a token that may read, with the fields.
func (s *simulation) mint(fields string) string {
	token := tokenIn(s.t, s.must("POST", "auth/token/create", `{"policies":["reader"],`+fields+`}`))
	s.tokens = append(s.tokens, token)
	s.ResetCalls()
	return token
}

// tokenIn returns the token in the response to a login.
func tokenIn(t *testing.T, answer []byte) string {
	var made struct {
		Auth struct {
			Token string `json:"client_token"`
		}
	}
	require.NoError(t, json.Unmarshal(answer, &made))
	return made.Auth.Token
}

// fetch makes one attempt to read the secret.
func (s *simulation) fetch(auth string) error {
	got, err := s.backend.Fetch(s.t.Context(),
		ref.Target{Kind: ref.Vault, Mount: "secret", Path: "db", Endpoint: s.URL(), Auth: auth})
	if err == nil {
		assert.JSONEq(s.t, `{"k":"v"}`, got.Text)
	} else {
		assert.NotContains(s.t, err.Error(), canary)
	}
	return err
}

// calls counts the requests whose path has the suffix.
func (s *simulation) calls(suffix string) int {
	n := 0
	for _, r := range s.Requests() {
		if strings.HasSuffix(r.Path, suffix) {
			n++
		}
	}
	return n
}

// answer makes h answer the requests whose path has the suffix.
func (s *simulation) answer(suffix string, h http.HandlerFunc) {
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, suffix) {
			return false
		}
		h(w, r)
		return true
	})
}

// logged returns the messages of the log of at least the level, with the time in the
// bubble since the start.
func (s *simulation) logged(level slog.Level) []string {
	synctest.Wait()
	var lines []string
	for _, m := range regexp.MustCompile(`time=(\S+) level=(\w+) msg="?(.*?)"? host=`).FindAllStringSubmatch(s.log.String(), -1) {
		var l slog.Level
		require.NoError(s.t, l.UnmarshalText([]byte(m[2])))
		if l < level {
			continue
		}
		at, err := time.Parse(time.RFC3339, m[1])
		require.NoError(s.t, err)
		lines = append(lines, fmt.Sprintf("%s: %s", at.Sub(s.started).Round(time.Second), m[3]))
	}
	return lines
}

func pod(t *testing.T) vaultkv.Settings {
	return vaultkv.Settings{Role: "app", AuthPath: "kubernetes", JWTPath: jwtFile(t, jwt("first"))}
}
