package vaultkv

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
)

const (
	maxBody             = 8 << 20
	initialBodyCapacity = 64 << 10
	maxHeaderBytes      = 256 << 10
	maxIdlePerHost      = 50
)

// server is the Vault server at one endpoint. It has no token of its own: each
// request carries one.
type server struct {
	endpoint *url.URL
	address  string // for the client: the endpoint, unless that is a socket
	api      *api.Client
	guard    *httpguard.Transport
}

// newServer reads the variables for TLS, the namespace and additional headers from
// the environment. It ignores those for an address, a proxy or a token, with which
// the request would not go to the endpoint of the reference.
func newServer(endpoint *url.URL, settings Settings, policy *httpguard.Policy) (*server, error) {
	namespace := setting{settings.Namespace, "VaultOptions.Namespace", api.EnvVaultNamespace}
	if err := checkHeaders(namespace); err != nil {
		return nil, err
	}
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, environmentError(config.Error)
	}
	configured, ok := config.HttpClient.Transport.(*http.Transport)
	if !ok {
		return nil, fault.New(fault.Unsupported, "the Vault client has an unexpected transport")
	}
	base := configured.Clone()
	// Use net/http's own HTTP/2, which closes idle connections on request.
	base.TLSNextProto = nil
	base.Proxy = httpguard.Proxy
	base.MaxIdleConns, base.MaxIdleConnsPerHost = 0, maxIdlePerHost
	base.MaxResponseHeaderBytes = maxHeaderBytes

	s := &server{endpoint: endpoint, address: endpoint.String()}
	// The guard wraps the transport after TLS has been configured.
	pool := httpguard.NewHandshakePool(base)
	pool.ReloadCertificates(reloadTLS(policy.Log),
		os.Getenv(api.EnvVaultCACert), os.Getenv(api.EnvVaultCAPath),
		os.Getenv(api.EnvVaultClientCert), os.Getenv(api.EnvVaultClientKey))
	s.guard = &httpguard.Transport{Base: pool, AllowRedirect: policy.RedirectCheck(),
		MaxBody: maxBody}
	if settings.Transport != nil {
		s.guard.Base = settings.Transport
	}
	if s.isSocket() {
		s.address, s.guard.Base = socketAddress, newSocketTransport(base, endpoint)
	}
	var err error
	if s.api, err = s.newClient(s.guard); err != nil {
		return nil, environmentError(err)
	}
	if value := namespace.value(); value != "" {
		s.api.SetNamespace(value)
	}
	return s, nil
}

// reloadTLS returns a function that loads the certificates set by the environment
// into a TLS configuration.
func reloadTLS(log *slog.Logger) func(*tls.Config) error {
	return func(c *tls.Config) error {
		fresh := api.DefaultConfig()
		configured, ok := fresh.HttpClient.Transport.(*http.Transport)
		if fresh.Error != nil || !ok {
			err := environmentError(fresh.Error)
			log.Warn("certificates for Vault have changed and cannot be read: the old ones stay in use",
				"error", err.Error())
			return err
		}
		c.RootCAs = configured.TLSClientConfig.RootCAs
		c.GetClientCertificate = configured.TLSClientConfig.GetClientCertificate
		return nil
	}
}

// newClient returns a client for the server, without a token. It neither retries
// nor follows redirects; that is left to the caller and the guard.
func (s *server) newClient(t http.RoundTripper) (*api.Client, error) {
	config := &api.Config{
		Address: s.address,
		HttpClient: &http.Client{
			Transport: t,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
		DisableRedirects: true,
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	client.ClearToken()
	return client, nil
}

// name returns the server's name for messages: its host, or its socket.
func (s *server) name() string {
	if s.isSocket() {
		return s.endpoint.Path
	}
	return s.endpoint.Host
}

// answer is the response to a request, with any status.
type answer struct {
	status    int
	header    http.Header
	body      []byte
	err       error // the body is not complete
	requested bool  // an auth method has made a request
}

// readFrom reads a response, and replaces its body so that others can read it
// again if it is complete.
func (a *answer) readFrom(r *http.Response) {
	a.status, a.header = r.StatusCode, r.Header
	var body bytes.Buffer
	body.Grow(int(max(0, min(r.ContentLength, initialBodyCapacity))) + bytes.MinRead)
	_, a.err = body.ReadFrom(r.Body)
	_ = r.Body.Close()
	if a.err == nil {
		a.body = body.Bytes()
	}
	r.Body = io.NopCloser(bytes.NewReader(a.body))
}

// clientFor returns a client for one request, which carries the token and stores
// its answer in got.
func (s *server) clientFor(token string, got *answer) *api.Client {
	return s.api.WithRequestCallbacks(func(r *api.Request) {
		r.ClientToken = token
		// VAULT_HEADERS could add another token.
		r.Headers.Del(api.AuthHeaderName)
		// With VAULT_WRAP_TTL the answer would be a wrapping token.
		r.WrapTTL = ""
		s.escapePath(r.URL)
	}).WithResponseCallbacks(func(r *api.Response) { got.readFrom(r.Response) })
}

// escapePath escapes the base path of a request in the same way as the endpoint.
func (s *server) escapePath(request *url.URL) {
	if s.endpoint.RawPath != "" && s.endpoint.Scheme != endpoint.SocketScheme {
		below := &url.URL{Path: strings.TrimPrefix(request.Path, s.endpoint.Path)}
		request.RawPath = s.endpoint.RawPath + below.EscapedPath()
	}
}

// tokenUses returns how often the token of a login can be used; zero means
// unlimited.
func (a *answer) tokenUses() int {
	var reply struct {
		Auth struct {
			Uses int `json:"num_uses"`
		}
	}
	if json.Unmarshal(a.body, &reply) != nil {
		return 0
	}
	return max(reply.Auth.Uses, 0)
}

// read reads one path. It returns an error only if there is no answer.
func (s *server) read(ctx context.Context, token, path string) (answer, error) {
	var got answer
	resp, err := s.clientFor(token, &got).Logical().ReadRawWithContext(ctx, path)
	if resp != nil && resp.Response != nil {
		_ = resp.Body.Close()
	}
	return got, s.requestError(got, err)
}

// requestError explains why there is no complete answer to a request that ended
// with err. It returns nil if there is one.
func (s *server) requestError(got answer, err error) error {
	switch {
	case got.err != nil:
		return s.explain(got.err)
	case got.status != 0:
		return nil
	case err == nil:
		return fault.New(fault.Unavailable, "no answer from %s", s.name())
	}
	return s.explain(err)
}
