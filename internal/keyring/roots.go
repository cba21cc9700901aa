package keyring

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/rootkey"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// RootKeys is where the root keys come from.
type RootKeys interface {
	// All returns the root keys that may have wrapped the keys. With an
	// error that says what is missing there may still be some.
	All(ctx context.Context) ([]*seal.Root, error)

	// Initial returns the root key for a new keyring.
	Initial(ctx context.Context) (*seal.Root, error)

	// Recover ends a change of the root key that was killed.
	Recover(ctx context.Context, store store.Store)

	// Commit makes the root key with the fingerprint, which the keys are wrapped
	// with, the one that is kept. Only the holder of the lease may call it.
	Commit(f seal.Fingerprint) error

	// Stage keeps the text of the next root key beside the present one, before
	// the keys are wrapped with it. Settle has to come first.
	Stage(text string, root *seal.Root) error
}

// Given are root keys that the caller keeps: the one, then the previous one.
type Given struct {
	mu   sync.Mutex
	keys []*seal.Root
}

// NewGiven returns roots, the first of which is for a new keyring.
func NewGiven(roots ...*seal.Root) *Given { return &Given{keys: roots} }

// All implements Roots.
func (g *Given) All(context.Context) ([]*seal.Root, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.keys), nil
}

// Initial implements Roots.
func (g *Given) Initial(ctx context.Context) (*seal.Root, error) {
	have, err := g.All(ctx)
	return have[0], err
}

// Recover implements Roots: there is nothing to heal.
func (g *Given) Recover(context.Context, store.Store) {}

// Commit implements Roots: the caller keeps the keys, and one too many does no
// harm.
func (g *Given) Commit(seal.Fingerprint) error { return nil }

// Stage implements Roots.
func (g *Given) Stage(_ string, root *seal.Root) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys = append([]*seal.Root{root}, g.keys...)
	return nil
}

// File is a root key in a file beside the store.
type File struct {
	*rootkey.File
	Log *slog.Logger
}

// All implements Roots.
func (f File) All(context.Context) ([]*seal.Root, error) {
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

// Initial implements Roots.
func (f File) Initial(context.Context) (*seal.Root, error) {
	made, err := f.Make()
	if err != nil {
		return nil, err
	}
	root, err := f.Read()
	switch {
	case err != nil:
		return nil, err
	case made:
		f.Log.Warn("a new root key was made: without it the secrets are lost, so keep a copy of it, apart from backups of the keyring", "file", f.Path())
	default:
		f.Log.Warn("a new, empty keyring is made with a root key that was there already: if there was a keyring, put its file back", "file", f.Path())
	}
	return root, nil
}

// Recover implements Roots. What it cannot do is logged: with both root keys there
// the keyring opens all the same.
func (f File) Recover(ctx context.Context, store store.Store) {
	if _, err := f.ReadNext(); errors.Is(err, fault.NotFound) {
		return
	}
	// Whoever changes the root key at the moment holds the lease, and tidies up
	// himself.
	lease, err := store.Acquire(ctx)
	if err != nil {
		return
	}
	defer lease.Release(ctx)
	stored, err := store.Load(ctx)
	if err != nil {
		return // the database may be put back, and opening says what else is wrong
	}
	if err := f.Commit(stored.Root); err != nil {
		f.Log.Warn("a change of the root key could not be ended", "error", err.Error())
	}
}

// Commit implements Roots. It removes a root key only if the other one is in
// use.
func (f File) Commit(stored seal.Fingerprint) error {
	next, err := f.ReadNext()
	switch {
	case errors.Is(err, fault.NotFound):
		return nil
	case err != nil && !errors.Is(err, fault.RootKey): // it cannot be read, now
		return err
	case err == nil && next.Fingerprint() == stored:
		return f.Adopt()
	}
	if current, err := f.Read(); err == nil && current.Fingerprint() == stored {
		return f.Drop()
	}
	return fault.New(fault.RootKey, "neither %s nor the file beside it that ends in .new has the root key of fingerprint %s", f.Path(), stored)
}

// Stage implements Roots.
func (f File) Stage(text string, _ *seal.Root) error { return f.WriteNext(text) }
