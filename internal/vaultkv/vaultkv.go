// Package vaultkv reads secrets from Vault's KV version 2 engine.
package vaultkv

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/coord"
	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/pipeline"
	"github.com/seed74218947/secretref/internal/transport"
)

// Settings say who asks. An empty field is read from the environment when it
// is needed.
type Settings struct {
	Token      func(context.Context) (string, error)
	RenewToken bool // keep alive what Token, or the variable, gives
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
	policy   *transport.Policy
	log      *slog.Logger

	mu      sync.Mutex
	clients map[place]*client
}

// place is what a client is bound to.
type place struct{ endpoint, auth string }

// client reads from one server as one who asks.
type client struct {
	*server
	auth authenticator
}

// authenticator gives out tokens.
type authenticator interface {
	token(ctx context.Context) (string, error)
	// again is asked for another token after refused was refused; "" if there
	// is no other.
	again(ctx context.Context, refused string) (string, error)
	// used is told of a token that Vault has accepted.
	used(token string)
	// close ends what goes on in the background, and waits for it.
	close()
}

// New returns a Backend that does no I/O yet.
func New(settings Settings, policy *transport.Policy, log *slog.Logger) *Backend {
	return &Backend{settings: settings, policy: policy, log: log, clients: map[place]*client{}}
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

// Fetch implements pipeline.Backend: one read of the latest version, which
// brings all keys of the path.
func (b *Backend) Fetch(ctx context.Context, g coord.Group) (pipeline.Payload, error) {
	c, err := b.client(place{g.Endpoint, g.Auth})
	if err != nil {
		return pipeline.Payload{}, err
	}
	if err := b.policy.Check(c.endpoint); err != nil {
		return pipeline.Payload{}, err
	}
	// Each attempt has a context of its own, by which a Token function tells the
	// second call of one, after a refusal, from the first of another.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	token, err := c.auth.token(ctx)
	if err != nil {
		return pipeline.Payload{}, err
	}
	got, err := c.read(ctx, token, g.Mount+"/data/"+g.Path)
	if err == nil && got.status == http.StatusForbidden {
		// The token may have been revoked or have run out; a policy's refusal
		// looks the same. A new one tells them apart.
		if next, failed := c.auth.again(ctx, token); failed != nil {
			return pipeline.Payload{}, failed
		} else if next != "" {
			token = next
			got, err = c.read(ctx, token, g.Mount+"/data/"+g.Path)
		}
	}
	if err != nil {
		return pipeline.Payload{}, err
	}
	if got.status == http.StatusOK {
		c.auth.used(token)
	}
	return c.payload(ctx, token, g, got)
}

// client returns the client for an endpoint, made on first use.
func (b *Backend) client(at place) (*client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.clients[at]; c != nil {
		return c, nil
	}
	base, err := endpoint.Parse(at.endpoint)
	if err != nil {
		return nil, fault.New(fault.Syntax, "the endpoint %s", err)
	}
	s, err := newServer(base, b.settings, b.policy)
	if err != nil {
		return nil, err
	}
	c := &client{server: s}
	if at.auth == coord.KubernetesAuth {
		c.auth = newKubernetes(b.settings, s, b.log)
	} else {
		c.auth = newStatic(b.settings, s, b.policy, b.log)
	}
	b.clients[at] = c
	return c, nil
}
