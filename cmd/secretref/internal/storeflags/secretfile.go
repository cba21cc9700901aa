package storeflags

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/secfile"
)

// ReadPrivate reads a file with a key or a token, without the white space
// around, if others can neither read nor own it.
func ReadPrivate(path string) (string, error) {
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

// ReadRootKey reads a root key from a file that holds one or a reference to
// one. It is zero if no file is given.
func ReadRootKey(ctx context.Context, r *secretref.Resolver, path string) (secretref.Secret, error) {
	if path == "" {
		return secretref.Secret{}, nil
	}
	text, err := ReadPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return secretref.Secret{}, fmt.Errorf("%w; \"secretref keys new-root-key FILE\" makes a root key for a new keyring", err)
	}
	if err != nil {
		return secretref.Secret{}, err
	}
	root, err := r.Resolve(ctx, text)
	if err != nil {
		return secretref.Secret{}, &sourcedError{path, err}
	}
	if root.Reveal() == "" {
		return secretref.Secret{}, &sourcedError{path, fault.New(fault.RootKey, "what it refers to is empty")}
	}
	return root, nil
}
