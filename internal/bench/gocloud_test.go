package bench

import (
	"context"
	"fmt"
	"sync"

	"gocloud.dev/runtimevar"
	"gocloud.dev/runtimevar/awssecretsmanager"
)

// gocloud uses gocloud.dev/runtimevar: a variable for each reference, which is refreshed in the
// background. It does not support Vault.
type gocloud struct {
	*bare
	mu        sync.Mutex
	variables []*runtimevar.Variable
}

var gocloudPeer = contender{"gocloud",
	func(*world) (client, error) { return &gocloud{bare: newBare()}, nil }}

func (g *gocloud) get(ctx context.Context, r reference) (string, error) {
	v, err := g.open(ctx, r)
	if err != nil {
		return "", err
	}
	return latest(ctx, v, r.key)
}

func (g *gocloud) open(ctx context.Context, r reference) (*runtimevar.Variable, error) {
	a, err := g.awsClient(ctx, r.region)
	if err != nil {
		return nil, err
	}
	v, err := awssecretsmanager.OpenVariable(a, r.secret,
		runtimevar.NewDecoder(map[string]any{}, runtimevar.JSONDecode), nil)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.variables = append(g.variables, v)
	return v, nil
}

func latest(ctx context.Context, v *runtimevar.Variable, key string) (string, error) {
	s, err := v.Latest(ctx)
	if err != nil {
		return "", err
	}
	members, ok := s.Value.(map[string]any)
	if !ok {
		return "", fmt.Errorf("a value is a %T", s.Value)
	}
	return member(members, key)
}

func (g *gocloud) close() {
	for _, v := range g.variables {
		_ = v.Close()
	}
}
