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

// server is the Vault at one endpoint. It knows no token: every request
// carries its own.
type server struct {
	endpoint *url.URL
	address  string // that the client asks: the endpoint, unless it is a socket
	api      *api.Client
	guard    *httpguard.Transport
}

// newServer takes of the environment what concerns TLS, the namespace and
// additional headers; not an address, a proxy or a token, which would send the
// request elsewhere than the reference says.
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
		return nil, fault.New(fault.Unsupported, "the Vault client has a transport of another kind")
	}
	base := configured.Clone()
	// net/http's own HTTP/2: it closes its idle connections when it is told to.
	base.TLSNextProto = nil
	base.Proxy = httpguard.Proxy
	base.MaxIdleConns, base.MaxIdleConnsPerHost = 0, maxIdlePerHost
	base.MaxResponseHeaderBytes = maxHeaderBytes

	s := &server{endpoint: endpoint, address: endpoint.String()}
	// The guard goes around the transport only now that TLS is configured.
	pool := httpguard.NewHandshakePool(base)
	pool.ReloadCertificates(reloadTLS(policy.Log), os.Getenv(api.EnvVaultCACert), os.Getenv(api.EnvVaultCAPath), os.Getenv(api.EnvVaultClientCert), os.Getenv(api.EnvVaultClientKey))
	s.guard = &httpguard.Transport{Base: pool, AllowRedirect: policy.RedirectCheck(), MaxBody: maxBody}
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

// reloadTLS returns a function that puts the certificates that the environment
// names into a TLS configuration.
func reloadTLS(log *slog.Logger) func(*tls.Config) error {
	return func(c *tls.Config) error {
		fresh := api.DefaultConfig()
		configured, ok := fresh.HttpClient.Transport.(*http.Transport)
		if fresh.Error != nil || !ok {
			err := environmentError(fresh.Error)
			log.Warn("certificates for Vault have changed and cannot be read: the old ones stay in use", "error", err.Error())
			return err
		}
		c.RootCAs, c.GetClientCertificate = configured.TLSClientConfig.RootCAs, configured.TLSClientConfig.GetClientCertificate
		return nil
	}
}

// newClient returns a client for the server, without a token, that neither
// retries nor follows redirects by itself: the pipeline and the guard do.
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

// name returns what messages call the server: its host, or its socket.
func (s *server) name() string {
	if s.isSocket() {
		return s.endpoint.Path
	}
	return s.endpoint.Host
}

// answer is what came back, whatever its status.
type answer struct {
	status    int
	header    http.Header
	body      []byte
	err       error // the body is not complete
	requested bool  // there was a request, of an auth method
}

// readFrom reads a response and leaves its body, if it is complete, to be read by
// others.
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

// clientFor returns the API as one request sees it that carries the token and
// leaves its answer in got.
func (s *server) clientFor(token string, got *answer) *api.Client {
	return s.api.WithRequestCallbacks(func(r *api.Request) {
		r.ClientToken = token
		// VAULT_HEADERS could bring another.
		r.Headers.Del(api.AuthHeaderName)
		// VAULT_WRAP_TTL would bring a wrapping token instead of the answer.
		r.WrapTTL = ""
		s.escapePath(r.URL)
	}).WithResponseCallbacks(func(r *api.Response) { got.readFrom(r.Response) })
}

// escapePath spells the base path of a request as the endpoint does.
func (s *server) escapePath(request *url.URL) {
	if s.endpoint.RawPath != "" && s.endpoint.Scheme != endpoint.SocketScheme {
		below := &url.URL{Path: strings.TrimPrefix(request.Path, s.endpoint.Path)}
		request.RawPath = s.endpoint.RawPath + below.EscapedPath()
	}
}

// tokenUses returns how often the token of a login can be used; zero: without end.
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

// read gets one path. Its error means that there is no answer.
func (s *server) read(ctx context.Context, token, path string) (answer, error) {
	var got answer
	resp, err := s.clientFor(token, &got).Logical().ReadRawWithContext(ctx, path)
	if resp != nil && resp.Response != nil {
		_ = resp.Body.Close()
	}
	return got, s.requestError(got, err)
}

// requestError says why there is no answer, or not all of it, after a request that
// ended with err.
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
