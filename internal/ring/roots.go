package ring

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keystore"
	"github.com/seed74218947/secretref/internal/rootfile"
	"github.com/seed74218947/secretref/internal/seal"
)

// Roots is where the root keys come from.
type Roots interface {
	// Candidates returns the root keys that may have wrapped the keys. With an
	// error that says what is missing there may still be some.
	Candidates(ctx context.Context) ([]*seal.Root, error)

	// First returns the root key for a new keyring.
	First(ctx context.Context) (*seal.Root, error)

	// Heal ends a change of the root key that was killed.
	Heal(ctx context.Context, store keystore.Store) error

	// Stage keeps the text of the next root key, before the keys are wrapped
	// with it.
	Stage(text string, root *seal.Root) error

	// Adopt makes the next root key the root key, once they are.
	Adopt() error

	// Drop forgets the next root key, if they are not.
	Drop() error
}

// Given are root keys that the caller keeps: the one, then the previous one.
type Given struct {
	mu   sync.Mutex
	keys []*seal.Root
}

// NewGiven returns roots, the first of which is for a new keyring.
func NewGiven(roots ...*seal.Root) *Given { return &Given{keys: roots} }

// Candidates implements Roots.
func (g *Given) Candidates(context.Context) ([]*seal.Root, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.keys), nil
}

// First implements Roots.
func (g *Given) First(ctx context.Context) (*seal.Root, error) {
	have, err := g.Candidates(ctx)
	return have[0], err
}

// Heal implements Roots: there is nothing to heal.
func (g *Given) Heal(context.Context, keystore.Store) error { return nil }

// Stage implements Roots.
func (g *Given) Stage(_ string, root *seal.Root) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys = append([]*seal.Root{root}, g.keys...)
	return nil
}

// Adopt implements Roots: the caller keeps the key.
func (g *Given) Adopt() error { return nil }

// Drop implements Roots: a candidate too many does no harm.
func (g *Given) Drop() error { return nil }

// File is a root key in a file beside the store.
type File struct {
	*rootfile.File
	Log *slog.Logger
}

// Candidates implements Roots.
func (f File) Candidates(context.Context) ([]*seal.Root, error) {
	current, err := f.Read()
	next, nextErr := f.ReadNext()
	var have []*seal.Root
	if current != nil {
		have = append(have, current)
	}
	if next != nil {
		have = append(have, next)
	}
	if errors.Is(err, fault.NotFound) {
		err = fault.New(fault.RootKey, "%s is missing, without which the secrets cannot be read; put it back from where it is kept, or give the root key", f.Path())
		if next != nil {
			err = nil
		}
	}
	if errors.Is(nextErr, fault.NotFound) {
		nextErr = nil
	}
	return have, errors.Join(err, nextErr)
}

// First implements Roots.
func (f File) First(context.Context) (*seal.Root, error) {
	made, err := f.Make()
	if err != nil {
		return nil, err
	}
	if made {
		f.Log.Warn("a new root key was made: without it the secrets are lost, so keep a copy of it, apart from backups of the keyring", "file", f.Path())
	}
	return f.Read()
}

// Heal implements Roots.
func (f File) Heal(ctx context.Context, store keystore.Store) error {
	if _, err := f.ReadNext(); errors.Is(err, fault.NotFound) {
		return nil
	}
	// Whoever changes the root key at the moment holds the lease, and tidies up
	// himself.
	lease, err := store.Acquire(ctx)
	if err != nil {
		return nil
	}
	defer lease.Release(ctx)
	next, err := f.ReadNext()
	if err != nil && !errors.Is(err, fault.RootKey) {
		return nil
	}
	stored, err := store.Load(ctx)
	switch {
	case errors.Is(err, keystore.ErrEmpty):
		return nil // the database may be put back
	case err != nil:
		return err
	case next != nil && next.Fingerprint() == stored.Root:
		return f.Adopt()
	}
	if current, err := f.Read(); err == nil && current.Fingerprint() == stored.Root {
		return f.Drop()
	}
	return nil // neither fits: opening says so
}

// Stage implements Roots.
func (f File) Stage(text string, _ *seal.Root) error { return f.WriteNext(text) }
