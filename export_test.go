package secretref

import (
	"net/http"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/ref"
)

// NewOver is like New, but sends requests to Vault through the given RoundTripper, so that
// a test can run without a network in a synctest bubble.
func NewOver(vault http.RoundTripper, opts *Options) *Resolver {
	r := New(opts)
	s := r.open()
	s.starting.Do(func() {
		backends, closers := r.backends()
		v := opts.Vault
		backend := vaultkv.New(vaultkv.Settings{
			Token: v.Token, Role: v.Role, JWTPath: v.JWTPath, Timeout: opts.timeout(), Transport: vault,
		},
			&httpguard.Policy{Allow: opts.AllowEndpoint, Log: s.log}, s.log)
		backends[ref.Vault] = backend
		s.started = r.connect(backends, append(closers, backend))
	})
	return r
}
