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

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/ref"
)

// Settings say who asks. An empty field is read from the environment when it
// is needed.
type Settings struct {
	Token      func(context.Context) (string, error)
	Auth       api.AuthMethod // in place of a token
	NoToken    bool           // send none
	RenewToken bool           // keep alive what Token, or the variable, gives
	Role       string
	AuthPath   string
	JWTPath    string
	Namespace  string
	Timeout    time.Duration     // of one login, with all its attempts
	Transport  http.RoundTripper // nil: the one that the environment configures
}

// Backend asks Vault servers, with one client per endpoint and way of
// authentication. It is safe for concurrent use.
type Backend struct {
	settings Settings
	policy   *httpguard.Policy
	log      *slog.Logger

	loginSlot chan struct{} // of the logins of Settings.Auth

	mu      sync.Mutex
	clients map[clientKey]*client
}

// clientKey is what a client is bound to.
type clientKey struct{ endpoint, auth string }

// client reads from one server as one who asks.
type client struct {
	*server
	auth    authenticator
	denials denials
}

// authenticator gives out tokens.
type authenticator interface {
	token(ctx context.Context) (*lease, error)
	// reauthenticate is asked for another token after one was refused; nil if
	// there is no other.
	reauthenticate(ctx context.Context, refused *lease) (*lease, error)
	// accepted is told of a token that has read a secret.
	accepted(l *lease)
	// close ends what goes on in the background, and waits for it.
	close()
}

// New returns a Backend that does no I/O yet.
func New(settings Settings, policy *httpguard.Policy, log *slog.Logger) *Backend {
	return &Backend{settings: settings, policy: policy, log: log, loginSlot: make(chan struct{}, 1), clients: map[clientKey]*client{}}
}

// Close ends the logins that are under way and the watch over tokens, and closes
// idle connections. The fetches must have ended before.
func (b *Backend) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.clients {
		c.auth.close()
		c.guard.CloseIdle()
	}
}

// Fetch implements fetch.Backend: one read of the latest version, which
// brings all keys of the path.
func (b *Backend) Fetch(ctx context.Context, g ref.Target) (fetch.Document, error) {
	base, err := endpoint.ParseOrSocket(g.Endpoint)
	if err != nil {
		return fetch.Document{}, fault.New(fault.Syntax, "the endpoint %s", err)
	}
	if err := b.checkEndpoint(base, g.Auth); err != nil {
		return fetch.Document{}, err
	}
	c, err := b.client(clientKey{g.Endpoint, g.Auth}, base)
	if err != nil {
		return fetch.Document{}, err
	}
	// Each attempt has a context of its own, by which a Token function tells the
	// second call of one, after a refusal, from the first of another.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := c.auth.token(ctx)
	if err != nil {
		return fetch.Document{}, err
	}
	path := g.Mount + "/data/" + g.Path
	for first := true; ; first = false {
		got, err := c.readWith(ctx, l, path)
		if err != nil {
			return fetch.Document{}, err
		}
		next, err := c.nextToken(ctx, l, got, path, first)
		if err != nil {
			return fetch.Document{}, err
		}
		if next == nil {
			return c.document(ctx, l, g, got)
		}
		l = next
	}
}

// readWith is read with a token that others may use at the same time.
func (c *client) readWith(ctx context.Context, l *lease, path string) (got answer, err error) {
	l.beginRequest()
	defer func() { l.endRequest(err == nil && c.acceptedToken(got)) }()
	return c.read(ctx, l.token, path)
}

// nextToken returns a token to try after what came back for l, or nil.
func (c *client) nextToken(ctx context.Context, l *lease, got answer, path string, first bool) (*lease, error) {
	switch c.classifyRefusal(got) {
	case tokenRefused:
		// It has run out, was revoked, or others have used it up. One that nobody had
		// success with is replaced once.
		if !first && !l.wasAccepted(ctx) {
			return nil, nil
		}
	case pathDenied:
		// The token may lack what a newer one has; an old Vault says the same of one
		// that it does not know.
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

// checkEndpoint refuses an endpoint that needs AllowEndpoint, or that it does not allow.
func (b *Backend) checkEndpoint(base *url.URL, auth string) error {
	if b.policy.Allow == nil {
		switch {
		case base.Scheme == endpoint.SocketScheme:
			return fault.New(fault.Denied, "an endpoint that is a Unix socket has to be allowed with AllowEndpoint, which is not set")
		case b.settings.Auth != nil && auth != ref.KubernetesAuth:
			return fault.New(fault.Denied, "VaultOptions.Auth would send its credentials to whatever endpoint a reference names: say with AllowEndpoint which are allowed")
		}
	}
	return b.policy.Check(base)
}
