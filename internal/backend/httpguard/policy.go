package httpguard

import (
	"log/slog"
	"net/url"
	"sync"

	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
)

// Policy decides which endpoints may be used. It is safe for concurrent use.
type Policy struct {
	Allow func(*url.URL) error // if nil, all are allowed
	Log   *slog.Logger

	warned sync.Map // hosts with plain http that a warning was logged for
}

// Check must be called before a connection to an endpoint is made. It returns an
// error if the endpoint is not allowed.
func (p *Policy) Check(at *url.URL) error {
	if err := p.CheckAllowed(at); err != nil {
		return err
	}
	if at.Scheme == "http" && !Loopback(at.Hostname()) {
		if _, known := p.warned.LoadOrStore(at.Host, true); !known {
			p.Log.Warn("secrets and tokens are sent in clear text: use https",
				"endpoint", shownURL(at).String())
		}
	}
	return nil
}

// CheckAllowed is Check for an endpoint that no connection is made to: it logs no
// warning. A host that is not in the spelling of [endpoint.Host] is refused,
// since Allow might take it for another one.
func (p *Policy) CheckAllowed(at *url.URL) error {
	shown := shownURL(at)
	if at.Scheme == endpoint.SocketScheme {
		// A socket has no host.
	} else if host, err := endpoint.Host(at); err != nil {
		return fault.New(fault.Denied, "refused an endpoint that %s", err).Permanently().RefusedLocally()
	} else if host != at.Host {
		return fault.New(fault.Denied, "refused the endpoint %s: its host is spelled %q", shown, host).
			Permanently().RefusedLocally()
	}
	if p.Allow == nil {
		return nil
	}
	if err := p.Allow(shownURL(at)); err != nil {
		return fault.New(fault.Denied, "AllowEndpoint refused %s: %s", shown, errorText(err)).
			WithCause(err).Permanently().RefusedLocally()
	}
	return nil
}

// RedirectCheck returns the AllowRedirect of a [Transport]. It is nil, which
// refuses redirects to other hosts, unless Allow can approve them.
func (p *Policy) RedirectCheck() func(*url.URL) error {
	if p.Allow == nil {
		return nil
	}
	return p.Check
}
