// Package rootkey holds the root keys of a keyring: given by the caller, or in a
// file beside the keyring. Both types implement RootKeys of package keyring.
package rootkey

import (
	"context"
	"slices"
	"sync"

	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// Given is a set of root keys that the caller stores: the current one and,
// optionally, the previous one. It is safe for concurrent use.
type Given struct {
	mu   sync.Mutex
	keys []*seal.Root
}

// NewGiven returns the root keys. The first of them wraps the keys of a new
// keyring.
func NewGiven(roots ...*seal.Root) *Given { return &Given{keys: roots} }

// All implements RootKeys.
func (g *Given) All(context.Context) ([]*seal.Root, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.keys), nil
}

// Initial implements RootKeys.
func (g *Given) Initial(ctx context.Context) (*seal.Root, error) {
	keys, err := g.All(ctx)
	return keys[0], err
}

// Recover does nothing: there are no files to bring in order.
func (g *Given) Recover(context.Context, store.Store) {}

// Stage implements RootKeys.
func (g *Given) Stage(_ string, root *seal.Root) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys = append([]*seal.Root{root}, g.keys...)
	return nil
}

// Commit does nothing: the caller stores the keys, and an additional one does no
// harm.
func (g *Given) Commit(seal.Fingerprint) error { return nil }
