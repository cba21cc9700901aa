package secretref

import (
	"net/http"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/ref"
)

// NewOver is New with a Vault that requests do not go to over a network, so
// that it can be in the bubble of a test.
func NewOver(vault http.RoundTripper, opts *Options) *Resolver {
	r := New(opts)
	s := r.open()
	s.connecting.Do(func() {
		backends, closers := r.backends()
		v := opts.Vault
		backend := vaultkv.New(vaultkv.Settings{
			Token: v.Token, Role: v.Role, JWTPath: v.JWTPath, Timeout: opts.timeout(), Transport: vault,
		},
			&httpguard.Policy{Allow: opts.AllowEndpoint, Log: s.log}, s.log)
		backends[ref.Vault] = backend
		s.connected = r.connect(backends, append(closers, backend))
	})
	return r
}
