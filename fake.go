package secretref

import (
	"net/url"

	"github.com/seed74218947/secretref/internal/awssm"
	"github.com/seed74218947/secretref/internal/coord"
	"github.com/seed74218947/secretref/internal/endpoint"
	"github.com/seed74218947/secretref/internal/fault"
)

// checkEndpoint calls AllowEndpoint with the endpoint that a real backend would
// connect to, so that a test of a program finds what production would refuse.
func (f fakeBackend) checkEndpoint(g coord.Group) error {
	var at *url.URL
	var err error
	switch g.Kind {
	case coord.AWS:
		at, err = awssm.Endpoint(g.Region, g.Endpoint)
	case coord.Vault:
		if at, err = endpoint.Parse(g.Endpoint); err != nil {
			err = fault.New(fault.Syntax, "the endpoint %s", err)
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return f.policy.Ask(at)
}
