package secretref_test

import (
	"cmp"
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/backend/backendtest"
)

func TestBackends(t *testing.T) {
	t.Run("AWS", func(t *testing.T) { backendtest.Run(t, awsBackend()) })
	t.Run("Vault", func(t *testing.T) { backendtest.Run(t, vaultBackend()) })
}

// suiteResolver is a Resolver as the conformance suite uses it.
type suiteResolver struct {
	resolver  *secretref.Resolver
	lastKnown *secretref.Keyring // may be nil
}

func (r *suiteResolver) ResolveAll(ctx context.Context, references ...string) (values []string,
	err error) {
	secrets, err := r.resolver.ResolveAll(ctx, references...)
	for _, s := range secrets {
		values = append(values, s.Reveal())
	}
	return values, err
}

func (r *suiteResolver) Close() error {
	err := r.resolver.Close()
	if r.lastKnown != nil {
		_ = r.lastKnown.Close()
		r.lastKnown = nil
	}
	return err
}

type openFunc func(testing.TB, backendtest.Options) backendtest.Resolver

// openFor opens Resolvers whose options change may modify.
func openFor(change func(*secretref.Options)) openFunc {
	return openOver(func(o *secretref.Options) *secretref.Resolver {
		if change != nil {
			change(o)
		}
		return secretref.New(o)
	})
}

func openOver(open func(*secretref.Options) *secretref.Resolver) openFunc {
	return func(t testing.TB, o backendtest.Options) backendtest.Resolver {
		opts := &secretref.Options{
			Timeout: o.Timeout, TTL: cmp.Or(o.TTL, -1), AllowEndpoint: o.AllowEndpoint,
			Logger: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
			AWS:    secretref.AWSOptions{Batch: o.Batch},
		}
		if o.OnFetch != nil {
			opts.OnFetch = func(e secretref.FetchEvent) { o.OnFetch(e.Attempts, e) }
		}
		r := &suiteResolver{}
		if o.LastKnown != "" {
			var err error
			r.lastKnown, err = secretref.OpenKeyring(t.Context(), secretref.FileStore(o.LastKnown), nil)
			require.NoError(t, err)
			opts.LastKnown = r.lastKnown
		}
		r.resolver = open(opts)
		t.Cleanup(func() { _ = r.Close() })
		return r
	}
}
