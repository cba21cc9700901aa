// Package vaultkv reads secrets from Vault's KV version 2 engine.
package vaultkv

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// Settings describe how to authenticate. An empty field is read from the
// environment when it is needed.
type Settings struct {
	Token      func(context.Context) (string, error)
	Auth       api.AuthMethod // used instead of a token
	NoToken    bool           // send no token
	RenewToken bool           // renew the token of Token or of the variable
	Role       string
	AuthPath   string
	JWTPath    string
	Namespace  string
	Timeout    time.Duration     // of one login with all its attempts
	Transport  http.RoundTripper // if nil, the environment configures it
}

// Backend reads from Vault servers, with one client per endpoint and kind of
// authentication. It is safe for concurrent use.
type Backend struct {
	settings Settings
	policy   *httpguard.Policy
	log      *slog.Logger

	loginSlot chan struct{} // of the logins of Settings.Auth

	mu      sync.Mutex
	clients map[clientKey]*client
}

// clientKey identifies a client.
type clientKey struct{ endpoint, auth string }

// client reads from one server with one identity.
type client struct {
	*server
	auth    authenticator
	denials denials
}

// authenticator supplies tokens.
type authenticator interface {
	token(ctx context.Context) (*lease, error)
	// reauthenticate returns another token after one was refused; nil if there is
	// no other.
	reauthenticate(ctx context.Context, refused *lease) (*lease, error)
	// accepted is called with a token that has read a secret.
	accepted(l *lease)
	// close stops all background work and waits for its end.
	close()
}

// New returns a Backend that does no I/O yet.
func New(settings Settings, policy *httpguard.Policy, log *slog.Logger) *Backend {
	return &Backend{settings: settings, policy: policy, log: log, loginSlot: make(chan struct{}, 1),
		clients: map[clientKey]*client{}}
}

// Close cancels logins, stops the renewal of tokens and closes idle connections.
// All fetches must have ended.
func (b *Backend) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.clients {
		c.auth.close()
		c.guard.CloseIdle()
	}
}

// Fetch reads the latest version of a path, with all its keys.
func (b *Backend) Fetch(ctx context.Context, g ref.Target) (backend.Document, error) {
	base, err := endpoint.ParseOrSocket(g.Endpoint)
	if err != nil {
		return backend.Document{}, fault.New(fault.Syntax, "the endpoint %s", err)
	}
	if err := b.checkEndpoint(base, g.Auth); err != nil {
		return backend.Document{}, err
	}
	c, err := b.client(clientKey{g.Endpoint, g.Auth}, base)
	if err != nil {
		return backend.Document{}, err
	}
	// Each attempt has its own context, so that a Token function can distinguish the
	// second call of an attempt, after a refusal, from the first call of another.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := c.auth.token(ctx)
	if err != nil {
		return backend.Document{}, err
	}
	path := g.Mount + "/data/" + g.Path
	for first := true; ; first = false {
		got, err := c.readWith(ctx, l, path)
		if err != nil {
			return backend.Document{}, err
		}
		next, err := c.nextToken(ctx, l, got, path, first)
		if err != nil {
			return backend.Document{}, err
		}
		if next == nil {
			return c.document(ctx, l, g, got)
		}
		l = next
	}
}

// readWith reads a path with a token that may be used concurrently.
func (c *client) readWith(ctx context.Context, l *lease, path string) (got answer, err error) {
	l.beginRequest()
	defer func() { l.endRequest(err == nil && c.acceptedToken(got)) }()
	return c.read(ctx, l.token, path)
}

// nextToken returns another token to try after the answer for l, or nil.
func (c *client) nextToken(ctx context.Context, l *lease, got answer, path string,
	first bool) (*lease, error) {
	switch c.classifyRefusal(got) {
	case tokenRefused:
		// The token has expired, was revoked, or was used up by others. A token that
		// was never accepted is replaced only once.
		if !first && !l.wasAccepted(ctx) {
			return nil, nil
		}
	case pathDenied:
		// A newer token may have the permission. Old versions of Vault also use this
		// answer for a token that they do not recognize.
		if c.denials.skipLogin(path, l.isFresh()) {
			return nil, nil
		}
	default:
		if got.status == http.StatusOK {
			c.denials.forget(path)
			c.auth.accepted(l)
		}
		return nil, nil
	}
	return c.auth.reauthenticate(ctx, l)
}

// client returns the client for an endpoint, made on first use.
func (b *Backend) client(at clientKey, base *url.URL) (*client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.clients[at]; c != nil {
		return c, nil
	}
	s, err := newServer(base, b.settings, b.policy)
	if err != nil {
		return nil, err
	}
	c := &client{server: s}
	switch {
	case at.auth == ref.KubernetesAuth:
		c.auth = newKubernetesLogin(b.settings, s, b.log)
	case b.settings.Auth != nil:
		c.auth = newMethodLogin(b.settings, b.loginSlot, s, b.log)
	case b.settings.NoToken:
		c.auth = noToken{}
	default:
		c.auth = newStaticToken(b.settings, s, b.policy, b.log)
	}
	b.clients[at] = c
	return c, nil
}

// checkEndpoint refuses an endpoint that AllowEndpoint must allow and does not.
func (b *Backend) checkEndpoint(base *url.URL, auth string) error {
	if b.policy.Allow == nil {
		switch {
		case base.Scheme == endpoint.SocketScheme:
			return fault.New(fault.Denied,
				"a Unix socket as endpoint must be allowed by AllowEndpoint, which is not set")
		case b.settings.Auth != nil && auth != ref.KubernetesAuth:
			return fault.New(fault.Denied, "VaultOptions.Auth would send its credentials to any endpoint "+
				"that a reference names: set AllowEndpoint to restrict them")
		}
	}
	return b.policy.Check(base)
}
