package httpguard

import (
	"log/slog"
	"net/url"
	"sync"

	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
)

// Policy decides which endpoints may be asked. It is safe for concurrent use.
type Policy struct {
	Allow func(*url.URL) error // nil: all
	Log   *slog.Logger

	warned sync.Map // endpoints in clear text that the log has heard of
}

// Check is called before any connection to an endpoint is made.
func (p *Policy) Check(at *url.URL) error {
	if err := p.CheckAllowed(at); err != nil {
		return err
	}
	if at.Scheme == "http" && !Loopback(at.Hostname()) {
		if _, known := p.warned.LoadOrStore(at.Host, true); !known {
			p.Log.Warn("secrets and tokens travel in clear text: use https", "endpoint", shownURL(at).String())
		}
	}
	return nil
}

// CheckAllowed calls Allow with an endpoint that no connection is made to. A host in
// another spelling than that of [endpoint.Host] is refused: Allow might take it
// for another one.
func (p *Policy) CheckAllowed(at *url.URL) error {
	shown := shownURL(at)
	if at.Scheme == endpoint.SocketScheme {
		// It names no host.
	} else if host, err := endpoint.Host(at); err != nil {
		return fault.New(fault.Denied, "refused an endpoint that %s", err).Permanently().RefusedLocally()
	} else if host != at.Host {
		return fault.New(fault.Denied, "refused the endpoint %s: its host is spelled %q", shown, host).Permanently().RefusedLocally()
	}
	if p.Allow == nil {
		return nil
	}
	if err := p.Allow(shownURL(at)); err != nil {
		return fault.New(fault.Denied, "AllowEndpoint refused %s: %s", shown, errorText(err)).WithCause(err).Permanently().RefusedLocally()
	}
	return nil
}

// RedirectCheck returns what a [Guard] asks about redirects: nil, which refuses
// those to other hosts, unless Allow can approve them.
func (p *Policy) RedirectCheck() func(*url.URL) error {
	if p.Allow == nil {
		return nil
	}
	return p.Check
}
