package rootkey

import (
	"context"
	"errors"
	"log/slog"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/keyring/seal"
	"github.com/seed74218947/secretref/internal/keyring/store"
)

// File is a root key in a file, with the next root key in a file beside it while
// the root key is being changed. If the path is that of a symbolic link, both files
// are in the directory of its target, and the link stays.
type File struct {
	path string
	log  *slog.Logger
}

// NewFile returns the root key in the file at path, which need not exist.
func NewFile(path string, log *slog.Logger) *File { return &File{path, log} }

// Path returns the path of the file.
func (f *File) Path() string { return f.path }

// All implements RootKeys.
func (f *File) All(context.Context) ([]*seal.Root, error) {
	current, err := f.Read()
	next, nextErr := f.ReadNext()
	var roots []*seal.Root
	if current != nil {
		roots = append(roots, current)
	}
	if next != nil {
		roots = append(roots, next)
	}
	if errors.Is(err, fault.NotFound) {
		err = fault.New(fault.RootKey, "%s is missing, and without it the secrets cannot be read: "+
			"put it back, for example from a backup, or give the root key", f.path)
		if next != nil {
			err = nil
		}
	}
	if errors.Is(nextErr, fault.NotFound) {
		nextErr = nil
	}
	return roots, errors.Join(err, nextErr)
}

// Initial implements RootKeys. It creates the file unless it exists.
func (f *File) Initial(context.Context) (*seal.Root, error) {
	created, err := f.Create()
	if err != nil {
		return nil, err
	}
	root, err := f.Read()
	switch {
	case err != nil:
		return nil, err
	case created:
		f.log.Warn("a new root key was made; without it the secrets are lost: "+
			"back it up, apart from backups of the keyring", "file", f.path)
	default:
		f.log.Warn("a new, empty keyring is made with a root key that already existed: "+
			"if there was a keyring, restore its file", "file", f.path)
	}
	return root, nil
}

// Recover implements RootKeys. It only logs errors: as long as both root
// keys are there, the keyring can be opened.
func (f *File) Recover(ctx context.Context, store store.Store) {
	if _, err := f.ReadNext(); errors.Is(err, fault.NotFound) {
		return
	}
	// A process that is changing the root key holds the lease, and commits itself.
	lease, err := store.Acquire(ctx)
	if err != nil {
		return
	}
	defer lease.Release(ctx)
	stored, err := store.Load(ctx)
	if err != nil {
		return // opening the keyring reports it; the database may be restored later
	}
	if err := f.Commit(stored.Root); err != nil {
		f.log.Warn("an interrupted change of the root key could not be finished", "error", err.Error())
	}
}

// Stage implements RootKeys.
func (f *File) Stage(text string, _ *seal.Root) error { return f.WriteNext(text) }

// Commit implements RootKeys. It discards a root key only after it has
// found the other one to be in use.
func (f *File) Commit(stored seal.Fingerprint) error {
	next, err := f.ReadNext()
	switch {
	case errors.Is(err, fault.NotFound):
		return nil
	case err != nil && !errors.Is(err, fault.RootKey): // it could not be read; that may pass
		return err
	case err == nil && next.Fingerprint() == stored:
		return f.AdoptNext()
	}
	if current, err := f.Read(); err == nil && current.Fingerprint() == stored {
		return f.RemoveNext()
	}
	return fault.New(fault.RootKey,
		"neither %s nor the file beside it that ends in .new holds the root key of fingerprint "+
			"%s", f.path, stored)
}
