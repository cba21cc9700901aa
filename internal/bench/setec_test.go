package bench

import (
	"context"
	"encoding/json"

	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/types/api"
)

// setecStore is tailscale/setec's client: its store in front of the vendors'
// clients in place of a setec server.
type setecStore struct{ *setec.Store }

var setecPeer = contender{"setec", func(*world) (client, error) {
	s, err := setec.NewStore(context.Background(), setec.StoreConfig{
		Client:       setecAdapter{newBare()},
		AllowLookup:  true,
		PollInterval: -1, // a benchmark ends before the hour that is the default
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

// setecAdapter implements setec.StoreClient: a secret is a JSON document, and
// its name says where it is.
type setecAdapter struct{ *bare }

func (a setecAdapter) Get(ctx context.Context, name string) (*api.SecretValue, error) {
	r := named(name)
	text, err := a.document(ctx, r)
	if err != nil {
		return nil, err
	}
	return &api.SecretValue{Value: text, Version: 1}, nil
}

// document is the secret as text, also where the backend has members.
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

func (a setecAdapter) GetIfChanged(ctx context.Context, name string, _ api.SecretVersion) (*api.SecretValue, error) {
	return a.Get(ctx, name)
}
