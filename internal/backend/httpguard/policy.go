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
	if err := p.Ask(at); err != nil {
		return err
	}
	if at.Scheme == "http" && !Loopback(at.Hostname()) {
		if _, known := p.warned.LoadOrStore(at.Host, true); !known {
			p.Log.Warn("secrets and tokens travel in clear text: use https", "endpoint", bare(at).String())
		}
	}
	return nil
}

// Ask calls Allow with an endpoint that no connection is made to. A host in
// another spelling than that of [endpoint.Host] is refused: Allow might take it
// for another one.
func (p *Policy) Ask(at *url.URL) error {
	shown := bare(at)
	if at.Scheme == endpoint.SocketScheme {
		// It names no host.
	} else if host, err := endpoint.Host(at); err != nil {
		return fault.New(fault.Denied, "refused an endpoint that %s", err).Permanently().Ours()
	} else if host != at.Host {
		return fault.New(fault.Denied, "refused the endpoint %s: its host is spelled %q", shown, host).Permanently().Ours()
	}
	if p.Allow == nil {
		return nil
	}
	if err := p.Allow(bare(at)); err != nil {
		return fault.New(fault.Denied, "AllowEndpoint refused %s: %s", shown, reason(err)).WithCause(err).Permanently().Ours()
	}
	return nil
}

// Redirects returns what a [Guard] asks about redirects: nil, which refuses
// those to other hosts, unless Allow can approve them.
func (p *Policy) Redirects() func(*url.URL) error {
	if p.Allow == nil {
		return nil
	}
	return p.Check
}
