// Package awssm fetches secrets from AWS Secrets Manager.
package awssm

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smithyendpoints "github.com/aws/smithy-go/endpoints"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// Backend fetches secrets from AWS Secrets Manager. It loads the configuration
// once for all regions, at the first fetch, and again when its credentials are
// refused or unavailable. It is safe for concurrent use.
type Backend struct {
	callerConfig *aws.Config // if nil, the default chain is used
	policy       *httpguard.Policy
	log          *slog.Logger

	metadataTimeout  time.Duration // of one request to the instance metadata service
	metadataAnswered atomic.Bool   // the instance metadata service has returned credentials

	mu          sync.Mutex
	session     *session                // nil: to be loaded
	pausedUntil map[clientKey]time.Time // credentials are not loaded again before
}

// session is one load of the configuration with the clients made from it.
type session struct {
	config  aws.Config
	chain   *chain
	clients map[clientKey]*client // guarded by Backend.mu
	ended   atomic.Bool           // dropSession ended it
}

// clientKey identifies a client.
type clientKey struct{ region, override string }

type client struct {
	session  *session
	api      *secretsmanager.Client
	endpoint *url.URL
}

// New returns a Backend that does no I/O yet.
func New(given *aws.Config, policy *httpguard.Policy, log *slog.Logger) *Backend {
	return &Backend{callerConfig: given, policy: policy, log: log,
		metadataTimeout: metadataRequestTimeout,
		pausedUntil:     map[clientKey]time.Time{}}
}

// Close closes idle connections. All fetches must have ended.
func (b *Backend) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != nil {
		b.session.closeIdle()
	}
}

// closeIdle closes idle connections, except those of the caller's HTTP client.
func (s *session) closeIdle() {
	if sender, ok := s.config.HTTPClient.(*http.Client); ok {
		if guard, ok := sender.Transport.(*httpguard.Transport); ok {
			guard.CloseIdle()
		}
	}
}

// Fetch makes one GetSecretValue call for the version AWSCURRENT, and a second one
// if the clock or the credentials had to be corrected.
func (b *Backend) Fetch(ctx context.Context, g ref.Target) (backend.Document, error) {
	var out *secretsmanager.GetSecretValueOutput
	c, err := b.attempt(ctx, clientKey{g.Region, g.Endpoint}, func(c *client) (err error) {
		out, err = c.api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &g.Secret})
		return err
	})
	switch {
	case c == nil:
		return backend.Document{}, err
	case err != nil:
		return backend.Document{}, explain(err, g, c.endpoint.Host)
	case out.SecretString == nil && out.SecretBinary == nil && out.ARN == nil && out.Name == nil:
		return backend.Document{}, (&notAWSError{status: http.StatusOK}).explain(c.endpoint.Host)
	}
	return document(out.SecretString, out.SecretBinary, g)
}

// document returns the value of a secret, which is either text or binary.
func document(text *string, binary []byte, g ref.Target) (backend.Document, error) {
	switch {
	case text != nil:
		return backend.Document{Text: *text}, nil
	case binary != nil:
		return backend.Document{Text: string(binary)}, nil
	}
	return backend.Document{},
		fault.New(fault.NotFound, "secret %q in region %q has no value", g.Secret, g.Region)
}

// client returns the client for a region and an override, made on first use.
func (b *Backend) client(ctx context.Context, at clientKey) (*client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.ensureSession(ctx, at.region); err != nil {
		return nil, err
	}
	if c := b.session.clients[at]; c != nil {
		return c, nil
	}
	c := &client{session: b.session}
	var err error
	c.api = secretsmanager.NewFromConfig(b.session.config, func(o *secretsmanager.Options) {
		o.Region = at.region
		o.Retryer, o.RetryMaxAttempts = clockRetryer{}, 0 // the caller retries everything else
		if at.override != "" {
			o.BaseEndpoint = &at.override
		}
		var found fixedEndpoint
		if found, err = resolveEndpoint(ctx, o); err == nil {
			c.endpoint = &found.URI
			o.EndpointResolverV2 = found
			o.HTTPClient = endpointGuard{o.HTTPClient, b.policy, c.endpoint}
		}
	})
	if err != nil {
		for _, name := range []string{"AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"} {
			if at.override == "" && strings.ContainsFunc(os.Getenv(name), unicode.IsControl) {
				return nil, fault.New(fault.Syntax,
					"%s is not a URL: it contains a newline or another control character", name)
			}
		}
		return nil, err
	}
	b.session.clients[at] = c
	return c, nil
}

// ensureSession loads a session if there is none. The caller holds the lock.
// region is for the parts of the credential chain that need one.
func (b *Backend) ensureSession(ctx context.Context, region string) (err error) {
	if b.session == nil {
		b.session, err = b.load(ctx, region)
	}
	return err
}

// dropSession drops a session whose credentials failed, so that the next call
// loads the configuration again and does not wait for a hung request for
// credentials.
func (b *Backend) dropSession(refused *session) {
	if refused.chain.fromCaller {
		refused.chain.cache.Invalidate() // the next session may use the same cache
	}
	refused.closeIdle()
	refused.ended.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session == refused {
		b.session = nil
	}
}

// fixedEndpoint is an endpoint resolver that returns the endpoint which the policy
// has checked, so that every call uses exactly that one.
type fixedEndpoint struct{ smithyendpoints.Endpoint }

func (s fixedEndpoint) ResolveEndpoint(context.Context,
	secretsmanager.EndpointParameters) (smithyendpoints.Endpoint, error) {
	return s.Endpoint, nil
}

// endpointGuard sends the requests of a client. It checks the policy again if the
// SDK uses another endpoint than the checked one, which middleware in the caller's
// aws.Config can cause.
type endpointGuard struct {
	aws.HTTPClient
	policy  *httpguard.Policy
	checked *url.URL
}

func (p endpointGuard) Do(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != p.checked.Scheme || req.URL.Host != p.checked.Host {
		if err := p.policy.Check(req.URL); err != nil {
			return nil, err
		}
	}
	if err := bufferBody(req); err != nil {
		return nil, err
	}
	resp, err := p.HTTPClient.Do(req)
	if err != nil {
		return nil, err
	}
	return requireAWS(resp, req.URL.Host)
}

// bufferBody replaces the body of a request with one that can be sent again and
// is not closed while it is being sent. The SDK closes its own body as soon as an
// answer begins, which sometimes makes net/http close the connection before the
// answer has been read.
func bufferBody(req *http.Request) error {
	if req.Body == nil {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return err
	}
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Body, err = req.GetBody()
	return err
}

// Identity describes the credentials in use, for diagnostics.
type Identity struct {
	AccessKeyID string
	Source      string // the SDK's name for the source of the credentials
}

// Identity returns the identity of the credentials that the chain finds.
func (b *Backend) Identity(ctx context.Context, region string) (Identity, error) {
	b.mu.Lock()
	err := b.ensureSession(ctx, region)
	s := b.session
	b.mu.Unlock()
	if err != nil {
		return Identity{}, err
	}
	found, err := s.chain.Retrieve(ctx)
	if err != nil {
		return Identity{}, explain(err, ref.Target{Region: region}, "")
	}
	return Identity{AccessKeyID: found.AccessKeyID, Source: found.Source}, nil
}
