// Package awssm fetches secrets from AWS Secrets Manager.
package awssm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
	"golang.org/x/sync/semaphore"

	"github.com/seed74218947/secretref/internal/coord"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/pipeline"
	"github.com/seed74218947/secretref/internal/transport"
)

// Backend asks AWS Secrets Manager. It loads the configuration with the first
// fetch, once for all regions, and again only after its credentials were
// refused. It is safe for concurrent use.
type Backend struct {
	given  *aws.Config // nil: the default chain
	policy *transport.Policy
	log    *slog.Logger
	turns  *semaphore.Weighted // of the calls of FetchBatch

	mu      sync.Mutex
	session *session // nil: to be loaded
}

// session is one load of the configuration, and the clients made from it.
type session struct {
	config  aws.Config
	chain   *chain
	clients map[place]*client // guarded by Backend.mu
}

// place is what a client is bound to.
type place struct{ region, override string }

type client struct {
	session     *session
	api         *secretsmanager.Client
	endpoint    *url.URL
	singlyUntil time.Time // guarded by Backend.mu: batches were refused
}

// New returns a Backend that does no I/O yet.
func New(given *aws.Config, policy *transport.Policy, log *slog.Logger) *Backend {
	return &Backend{given: given, policy: policy, log: log, turns: semaphore.NewWeighted(atATime)}
}

// Close closes idle connections. The fetches must have ended before.
func (b *Backend) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session != nil {
		b.session.closeIdle()
	}
}

// closeIdle leaves an HTTP client of the caller's own alone.
func (s *session) closeIdle() {
	if sender, ok := s.config.HTTPClient.(*http.Client); ok {
		if guard, ok := sender.Transport.(*transport.Guard); ok {
			guard.CloseIdle()
		}
	}
}

// Fetch implements pipeline.Backend: one GetSecretValue call for the version
// AWSCURRENT.
func (b *Backend) Fetch(ctx context.Context, g coord.Group) (pipeline.Payload, error) {
	c, err := b.client(ctx, place{g.Region, g.Endpoint})
	if err != nil {
		return pipeline.Payload{}, err
	}
	if err := b.policy.Check(c.endpoint); err != nil {
		return pipeline.Payload{}, err
	}
	out, err := c.api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &g.Secret})
	if err != nil {
		why := explain(err, g, c.endpoint.Host)
		if useless(err, why) {
			b.forget(c.session)
		}
		return pipeline.Payload{}, why
	}
	return payload(out.SecretString, out.SecretBinary, g)
}

// payload is the value of a secret, which has one of the two at most.
func payload(text *string, binary []byte, g coord.Group) (pipeline.Payload, error) {
	switch {
	case text != nil:
		return pipeline.Payload{Text: *text}, nil
	case binary != nil:
		return pipeline.Payload{Text: string(binary)}, nil
	}
	return pipeline.Payload{}, fault.New(fault.NotFound, "secret %q in region %q has no value", g.Secret, g.Region)
}

// client returns the client for a region and an override, made on first use.
func (b *Backend) client(ctx context.Context, at place) (*client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.open(ctx, at.region); err != nil {
		return nil, err
	}
	if c := b.session.clients[at]; c != nil {
		return c, nil
	}
	c := &client{session: b.session}
	var err error
	c.api = secretsmanager.NewFromConfig(b.session.config, func(o *secretsmanager.Options) {
		o.Region = at.region
		o.Retryer = aws.NopRetryer{} // the pipeline retries
		if at.override != "" {
			o.BaseEndpoint = &at.override
		}
		var found settled
		if found, err = settle(ctx, o); err == nil {
			c.endpoint = &found.URI
			o.EndpointResolverV2 = found
			o.HTTPClient = pinned{o.HTTPClient, b.policy, c.endpoint}
		}
	})
	if err != nil {
		return nil, err
	}
	b.session.clients[at] = c
	return c, nil
}

// open makes sure that there is a session; the caller holds the lock. region is
// for the parts of the credential chain that need one.
func (b *Backend) open(ctx context.Context, region string) (err error) {
	if b.session == nil {
		b.session, err = b.load(ctx, region)
	}
	return err
}

// useless reports whether a session's credentials failed: they were refused, or
// did not come. A caller who left says nothing about them.
func useless(err, why error) bool {
	_, chain := errors.AsType[*chainError](err)
	return (chain || errors.Is(why, fault.Unauthenticated)) && !errors.Is(err, context.Canceled)
}

// forget drops a session whose credentials failed, so that the next fetch sees
// what has been mended meanwhile (a file written anew, a role) and does not
// join the request of a giver that hangs.
func (b *Backend) forget(refused *session) {
	refused.chain.cache.Invalidate()
	refused.closeIdle()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.session == refused {
		b.session = nil
	}
}

// settled is the endpoint of a client, found once: the one that the policy is
// asked about is the one that every call goes to.
type settled struct{ smithyendpoints.Endpoint }

func (s settled) ResolveEndpoint(context.Context, secretsmanager.EndpointParameters) (smithyendpoints.Endpoint, error) {
	return s.Endpoint, nil
}

// pinned sends the requests of a client. It asks the policy once more when the
// SDK turns to another endpoint than it was asked about: what the caller's own
// aws.Config brings may do that.
type pinned struct {
	aws.HTTPClient
	policy *transport.Policy
	asked  *url.URL
}

func (p pinned) Do(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != p.asked.Scheme || req.URL.Host != p.asked.Host {
		if err := p.policy.Check(req.URL); err != nil {
			return nil, err
		}
	}
	if err := own(req); err != nil {
		return nil, err
	}
	return p.HTTPClient.Do(req)
}

// own gives a request a body that can be sent again, and that nobody closes
// while it is being sent: the SDK closes its own as soon as an answer begins,
// on which net/http at times ends the connection before the answer is read.
func own(req *http.Request) error {
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

// Identity is who asks, for diagnostics.
type Identity struct {
	AccessKeyID string
	Source      string // where the credentials came from, in the SDK's words
}

// Identity says which credentials the chain finds.
func (b *Backend) Identity(ctx context.Context, region string) (Identity, error) {
	b.mu.Lock()
	err := b.open(ctx, region)
	s := b.session
	b.mu.Unlock()
	if err != nil {
		return Identity{}, err
	}
	found, err := s.chain.Retrieve(ctx)
	if err != nil {
		return Identity{}, explain(err, coord.Group{Region: region}, "")
	}
	return Identity{AccessKeyID: found.AccessKeyID, Source: found.Source}, nil
}
