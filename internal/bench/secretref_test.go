package bench

import (
	"context"

	"github.com/seed74218947/secretref"
)

// resolver uses Resolve of this library.
type resolver struct{ *secretref.Resolver }

func (o resolver) get(ctx context.Context, r reference) (string, error) {
	s, err := o.Resolve(ctx, r.secretref())
	if err != nil {
		return "", err
	}
	return s.Reveal(), nil
}

func (o resolver) close() { _ = o.Close() }

// batchResolver uses ResolveAll.
type batchResolver struct{ resolver }

func (o batchResolver) all(ctx context.Context, refs []reference) ([]string, error) {
	values := make([]string, len(refs))
	for i, r := range refs {
		values[i] = r.secretref()
	}
	secrets, err := o.ResolveAll(ctx, values...)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(secrets))
	for i, s := range secrets {
		texts[i] = s.Reveal()
	}
	return texts, nil
}

var (
	secretrefResolve = contender{"secretref", func(*world) (client, error) {
		return resolver{secretref.New(options(false))}, nil
	}}
	secretrefBatch = contender{"secretref-Batch", func(*world) (client, error) {
		return resolver{secretref.New(options(true))}, nil
	}}
	secretrefResolveAll = contender{"secretref-ResolveAll", func(*world) (client, error) {
		return batchResolver{resolver{secretref.New(options(false))}}, nil
	}}
	secretrefResolveAllBatch = contender{"secretref-ResolveAll-Batch", func(*world) (client, error) {
		return batchResolver{resolver{secretref.New(options(true))}}, nil
	}}
)

// options returns nil if a program needs none.
func options(batch bool) *secretref.Options {
	if !batch {
		return nil
	}
	return &secretref.Options{AWS: secretref.AWSOptions{Batch: true}}
}
