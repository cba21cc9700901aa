package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/secfile"
)

// readPrivate reads a file with a key or a token, without the white space
// around, if others can neither read nor own it.
func readPrivate(path string) (string, error) {
	text, err := readPrivateFile(path)
	if err != nil {
		return "", err
	}
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return trimmed, nil
}

// readPrivateFile reads a file that others cannot.
func readPrivateFile(path string) (string, error) {
	const longest = 64 << 10
	f, err := secfile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, longest+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s cannot be read: %w", path, err)
	case len(text) > longest:
		return "", fmt.Errorf("%s is longer than %d KiB", path, longest>>10)
	}
	return string(text), nil
}

// readRootKey reads a root key from a file that holds one or a reference to
// one. It is zero if no file is given.
func readRootKey(ctx context.Context, r *secretref.Resolver, path string) (secretref.Secret, error) {
	if path == "" {
		return secretref.Secret{}, nil
	}
	text, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return secretref.Secret{}, fmt.Errorf("%w; \"secretref keys new-root-key FILE\" makes a root key for a new keyring", err)
	}
	if err != nil {
		return secretref.Secret{}, err
	}
	root, err := r.Resolve(ctx, text)
	if err != nil {
		return secretref.Secret{}, &within{path, err}
	}
	if root.Reveal() == "" {
		return secretref.Secret{}, &within{path, fault.New(fault.RootKey, "what it refers to is empty")}
	}
	return root, nil
}

// writeRootKey writes a new root key to a file that does not exist.
func writeRootKey(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, secfile.Mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists, and may be the root key of a keyring: give the name of a new file", path)
	}
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if _, err := f.WriteString(secretref.NewRootKey().Reveal() + "\n"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return secfile.SyncDir(path)
}
