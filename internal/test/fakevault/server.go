// Package fakevault is a Vault server for tests. It speaks the HTTP API of
// Vault 1.21.4 on loopback, as far as this module uses it: mounts, policies,
// tokens, the key/value engines version 1 and 2, Kubernetes and AppRole logins,
// sealing. Status codes, error texts and response bodies are those of the real
// server; internal/e2e runs one suite over both. For features that the fake does
// not implement (response wrapping, entities, tuning of mounts, parameters of a policy, and
// others) it returns 501 Not Implemented with an error text.
//
// [New] starts one. Set it up over its HTTP API, as with the real server,
// or with [Server.Put]. [Server.Fail], [Server.Latency] and [Server.Intercept]
// make it misbehave, [Server.Requests] returns the requests.
//
// [NewInProcess] starts one without sockets, for simulations with testing/synctest.
package fakevault

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// A Server is a fake Vault, listening on loopback until it is closed. It is
// safe for concurrent use.
type Server struct {
	handler   http.Handler
	web       *httptest.Server // nil if there is no listener
	rootToken string
	unsealKey string
	closed    chan struct{}
	control   control

	// mu guards the fields below. It is not held while a request waits for Latency or for
	// a TokenReview.
	mu       sync.Mutex
	clock    func() time.Time
	sealed   bool
	mounts   map[string]*mount // by path, with the trailing slash, "auth/" included
	policies map[string]*policy
	tokens   map[string]*token
	entities map[string]string // entity id by mount accessor and alias
	cluster  http.Handler      // nil: the one that a login's configuration names
}

// New starts a server over plain http: unsealed, with the KV engine version 2
// at secret/.
func New() *Server {
	s := newServer()
	s.web = httptest.NewServer(s.handler)
	return s
}

// NewTLS is New over https. Clients must trust [Server.CertPEM].
func NewTLS() *Server {
	s := newServer()
	s.web = httptest.NewTLSServer(s.handler)
	return s
}

func newServer() *Server {
	s := &Server{
		unsealKey: base64.StdEncoding.EncodeToString([]byte(rand.Text())),
		closed:    make(chan struct{}),
		clock:     time.Now,
		policies:  map[string]*policy{"default": mustParsePolicy(defaultPolicy)},
		tokens:    map[string]*token{},
		entities:  map[string]string{},
	}
	root := &token{path: "auth/token/root", displayName: "root", policies: []string{"root"}}
	s.issue(root)
	s.rootToken = root.id
	s.mounts = map[string]*mount{
		"sys/":        {kind: "system", backend: &system{s}},
		"auth/token/": {kind: "token", backend: &tokenStore{s}},
		"secret/":     newKVMount(s, "2"),
	}

	// Vault routes with a ServeMux, which answers a path that is not clean
	// with a redirect to the clean one.
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/", s.serveAPI)
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !s.control.interfere(w, r, s.closed) {
			mux.ServeHTTP(w, r)
		}
	})
	return s
}

// URL returns the server's base URL, without a trailing slash.
func (s *Server) URL() string {
	if s.web == nil {
		return "https://vault.example"
	}
	return s.web.URL
}

// RootToken returns a token that may do everything and never expires.
func (s *Server) RootToken() string { return s.rootToken }

// UnsealKey returns the only key share, in the format of sys/unseal.
func (s *Server) UnsealKey() string { return s.unsealKey }

// CertPEM returns the certificate of a server started with [NewTLS].
func (s *Server) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.web.Certificate().Raw})
}

// HangUp closes the connections on which no request waits.
func (s *Server) HangUp() {
	s.web.Config.SetKeepAlivesEnabled(false)
	s.web.Config.SetKeepAlivesEnabled(true)
}

// Close stops the server, and ends the requests that wait for Latency.
func (s *Server) Close() {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	if s.web != nil {
		s.web.Close()
	}
}

// SetClock sets the server's clock, which determines the expiry of tokens and the times of
// versions. The default is time.Now.
func (s *Server) SetClock(now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = now
}

// Put writes data as the newest version of the secret at path, without the
// "data/" of the HTTP API. It panics unless a KV engine, of either version, is
// mounted at mount.
//
// Numbers (json.Number, json.RawMessage) keep their text. Numbers received over HTTP do so
// in version 1 only: version 2 converts them to float64, as in Vault.
func (s *Server) Put(mount, path string, data map[string]any) {
	text, err := marshal(data)
	if err != nil {
		panic(fmt.Sprintf("fakevault: put %s/%s: %v", mount, path, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.mounts[strings.Trim(mount, "/")+"/"]
	if m == nil {
		panic(fmt.Sprintf("fakevault: put %s/%s: nothing is mounted there", mount, path))
	}
	switch b := m.backend.(type) {
	case *kv1:
		b.secrets[path] = text
	case *kv2:
		op := update
		if b.secrets[path] == nil {
			op = create
		}
		b.write(path, version{data: text, verbatim: true}, &author{Actor: "root", Operation: op})
	default:
		panic(fmt.Sprintf("fakevault: put %s/%s: not a KV engine", mount, path))
	}
}

// marshal is like json.Marshal, but does not change json.RawMessage, such as long numbers,
// and escapes the same characters as Vault.
func marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
