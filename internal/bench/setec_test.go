package bench

import (
	"context"
	"encoding/json"

	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/types/api"
)

// setecStore is the client of tailscale/setec, with the vendors' clients instead of a setec server.
type setecStore struct{ *setec.Store }

var setecPeer = contender{"setec", func(*world) (client, error) {
	s, err := setec.NewStore(context.Background(), setec.StoreConfig{
		Client:       setecAdapter{newBare()},
		AllowLookup:  true,
		PollInterval: -1, // the default is an hour, longer than a benchmark
		Logf:         func(string, ...any) {},
	})
	return setecStore{s}, err
}}

func (s setecStore) get(ctx context.Context, r reference) (string, error) {
	secret, err := s.LookupSecret(ctx, r.name())
	if err != nil {
		return "", err
	}
	var members map[string]any
	if err := json.Unmarshal(secret.Get(), &members); err != nil {
		return "", err
	}
	return member(members, r.key)
}

func (s setecStore) close() { _ = s.Close() }

// setecAdapter implements setec.StoreClient. A secret is a JSON document; its name is
// reference.name.
type setecAdapter struct{ *bare }

func (a setecAdapter) Get(ctx context.Context, name string) (*api.SecretValue, error) {
	r := parseName(name)
	text, err := a.document(ctx, r)
	if err != nil {
		return nil, err
	}
	return &api.SecretValue{Value: text, Version: 1}, nil
}

// document returns the secret as a JSON document from either backend.
func (a setecAdapter) document(ctx context.Context, r reference) ([]byte, error) {
	if r.region != "" {
		return a.text(ctx, r)
	}
	members, err := a.members(ctx, r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(members)
}

func (a setecAdapter) GetIfChanged(ctx context.Context, name string,
	_ api.SecretVersion) (*api.SecretValue, error) {
	return a.Get(ctx, name)
}
