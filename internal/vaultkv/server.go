package vaultkv

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/transport"
)

const (
	maxBody     = 8 << 20
	usualBody   = 64 << 10
	maxHeaders  = 256 << 10
	idlePerHost = 50
)

// server is the Vault at one endpoint. It knows no token: every request
// carries its own.
type server struct {
	endpoint *url.URL
	api      *api.Client
	guard    *transport.Guard
}

// newServer takes of the environment what concerns TLS, the namespace and
// additional headers; not an address, a proxy or a token, which would send the
// request elsewhere than the reference says.
func newServer(endpoint *url.URL, settings Settings, policy *transport.Policy) (*server, error) {
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, badEnvironment()
	}
	configured, ok := config.HttpClient.Transport.(*http.Transport)
	if !ok {
		return nil, fault.New(fault.Unsupported, "the Vault client has a transport of another kind")
	}
	base := configured.Clone()
	// net/http's own HTTP/2: it closes its idle connections when it is told to.
	base.TLSNextProto = nil
	base.Proxy = transport.Proxy
	base.MaxIdleConns, base.MaxIdleConnsPerHost = 0, idlePerHost
	base.MaxResponseHeaderBytes = maxHeaders

	// The guard goes around the transport only now that TLS is configured.
	pool := transport.NewOpening(base)
	pool.Watch(reloadTLS(policy.Log), os.Getenv(api.EnvVaultCACert), os.Getenv(api.EnvVaultCAPath), os.Getenv(api.EnvVaultClientCert), os.Getenv(api.EnvVaultClientKey))
	s := &server{endpoint: endpoint, guard: &transport.Guard{Base: pool, Approve: policy.Redirects(), MaxBody: maxBody}}
	if settings.Transport != nil {
		s.guard.Base = settings.Transport
	}
	config.HttpClient = &http.Client{
		Transport: s.guard,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	config.Address, config.AgentAddress, config.SRVLookup = endpoint.String(), "", false
	config.DisableRedirects = true // the guard follows them
	config.MaxRetries = 0          // the pipeline retries
	config.Timeout = 0             // the context has it
	config.Limiter = nil

	var err error
	if s.api, err = api.NewClient(config); err != nil {
		return nil, badEnvironment()
	}
	s.api.ClearToken()
	if settings.Namespace != "" {
		s.api.SetNamespace(settings.Namespace)
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
			err := badEnvironment()
			log.Warn("certificates for Vault have changed and cannot be read: the old ones stay in use", "error", err.Error())
			return err
		}
		c.RootCAs, c.GetClientCertificate = configured.TLSClientConfig.RootCAs, configured.TLSClientConfig.GetClientCertificate
		return nil
	}
}

// badEnvironment names the variables that Vault's client may have stumbled
// over. It parses those that are not used too, and what it says about them
// quotes their values.
func badEnvironment() error {
	var set []string
	for _, name := range []string{
		api.EnvVaultCACert, api.EnvVaultCACertBytes, api.EnvVaultCAPath, api.EnvVaultClientCert, api.EnvVaultClientKey,
		api.EnvVaultSkipVerify, api.EnvVaultHeaders, api.EnvVaultMaxRetries, api.EnvVaultClientTimeout, api.EnvVaultSRVLookup,
		api.EnvVaultDisableRedirects, api.EnvRateLimit, api.EnvHTTPProxy, api.EnvVaultProxyAddr,
	} {
		if os.Getenv(name) != "" {
			set = append(set, name)
		}
	}
	return fault.New(fault.Unavailable, "the Vault client cannot be set up: it cannot read the file, or the value, that one of these variables names: %s",
		strings.Join(set, ", ")).Final()
}

// answer is what came back, whatever its status.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // the body is not complete
}

// take reads a response and leaves its body, if it is complete, to be read by
// others.
func (a *answer) take(r *api.Response) {
	a.status, a.header = r.StatusCode, r.Header
	var body bytes.Buffer
	body.Grow(int(max(0, min(r.ContentLength, usualBody))) + bytes.MinRead)
	_, a.err = body.ReadFrom(r.Body)
	_ = r.Body.Close()
	if a.err == nil {
		a.body = body.Bytes()
	}
	r.Body = io.NopCloser(bytes.NewReader(a.body))
}

// with returns the API as one request sees it that carries the token and
// leaves its answer in got.
func (s *server) with(token string, got *answer) *api.Client {
	return s.api.WithRequestCallbacks(func(r *api.Request) {
		r.ClientToken = token
		// VAULT_WRAP_TTL would bring a wrapping token instead of the answer.
		r.WrapTTL = ""
		if s.endpoint.RawPath != "" {
			below := &url.URL{Path: strings.TrimPrefix(r.URL.Path, s.endpoint.Path)}
			r.URL.RawPath = s.endpoint.RawPath + below.EscapedPath()
		}
	}).WithResponseCallbacks(got.take)
}

// read gets one path. Its error means that there is no answer.
func (s *server) read(ctx context.Context, token, path string) (answer, error) {
	var got answer
	resp, err := s.with(token, &got).Logical().ReadRawWithContext(ctx, path)
	if resp != nil && resp.Response != nil {
		_ = resp.Body.Close()
	}
	return got, s.missed(got, err)
}

// missed says why there is no answer, or not all of it, after a request that
// ended with err.
func (s *server) missed(got answer, err error) error {
	switch {
	case got.err != nil:
		return transport.Explain(got.err, s.endpoint.Host)
	case got.status != 0:
		return nil
	case err == nil:
		return fault.New(fault.Unavailable, "no answer from %s", s.endpoint.Host)
	}
	return transport.Explain(err, s.endpoint.Host)
}
