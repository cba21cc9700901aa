package bench

import (
	"context"

	"github.com/seed74218947/secretref"
)

// ours is this library: Resolve, and ResolveAll.
type ours struct{ *secretref.Resolver }

func (o ours) get(ctx context.Context, r reference) (string, error) {
	s, err := o.Resolve(ctx, r.secretref())
	if err != nil {
		return "", err
	}
	return s.Reveal(), nil
}

func (o ours) close() { _ = o.Close() }

type oursTogether struct{ ours }

func (o oursTogether) all(ctx context.Context, refs []reference) ([]string, error) {
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
	secretrefSingle = contender{"secretref", func(*world) (client, error) {
		return ours{secretref.New(options(false))}, nil
	}}
	secretrefBatch = contender{"secretref-Batch", func(*world) (client, error) {
		return ours{secretref.New(options(true))}, nil
	}}
	secretrefAll = contender{"secretref-ResolveAll", func(*world) (client, error) {
		return oursTogether{ours{secretref.New(options(false))}}, nil
	}}
	secretrefAllBatch = contender{"secretref-ResolveAll-Batch", func(*world) (client, error) {
		return oursTogether{ours{secretref.New(options(true))}}, nil
	}}
)

// options are nil where a program needs none.
func options(batch bool) *secretref.Options {
	if !batch {
		return nil
	}
	return &secretref.Options{AWS: secretref.AWSOptions{Batch: true}}
}
