package transport

import (
	"log/slog"
	"net/url"
	"sync"

	"github.com/seed74218947/secretref/internal/fault"
)

// Policy decides which endpoints may be asked. It is safe for concurrent use.
type Policy struct {
	Allow func(*url.URL) error // nil: all
	Log   *slog.Logger

	warned sync.Map // endpoints in clear text that the log has heard of
}

// Check is called before any connection to an endpoint is made.
func (p *Policy) Check(endpoint *url.URL) error {
	bare := &url.URL{Scheme: endpoint.Scheme, Host: endpoint.Host, Path: endpoint.Path, RawPath: endpoint.RawPath}
	if p.Allow != nil {
		if err := p.Allow(bare); err != nil {
			return fault.New(fault.Denied, "AllowEndpoint refused %s", bare).Because(err).Final().Ours()
		}
	}
	if endpoint.Scheme == "http" && !Loopback(endpoint.Hostname()) {
		if _, known := p.warned.LoadOrStore(endpoint.Host, true); !known {
			p.Log.Warn("secrets and tokens travel in clear text: use https", "endpoint", bare.String())
		}
	}
	return nil
}

// Redirects returns what a [Guard] asks about redirects to other hosts: nil,
// which refuses them, unless Allow can approve them.
func (p *Policy) Redirects() func(*url.URL) error {
	if p.Allow == nil {
		return nil
	}
	return p.Check
}
