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

// ReadPrivate reads a file with a key or a token and trims white space. It refuses a
// file that other users own or can read.
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

// readPrivateFile reads a file that no other user owns or can read.
func readPrivateFile(path string) (string, error) {
	const maxSize = 64 << 10
	f, err := secfile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	case len(text) > maxSize:
		return "", fmt.Errorf("%s is longer than %d KiB", path, maxSize>>10)
	}
	return string(text), nil
}

// ReadRootKey reads a root key from a file that contains the key or a reference to
// it. Without a path it returns the zero Secret.
func ReadRootKey(ctx context.Context, r *secretref.Resolver, path string) (secretref.Secret,
	error) {
	if path == "" {
		return secretref.Secret{}, nil
	}
	text, err := ReadPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return secretref.Secret{}, fmt.Errorf("%w; create a root key for a new keyring with "+
			"\"secretref keys new-root-key FILE\"", err)
	}
	if err != nil {
		return secretref.Secret{}, err
	}
	root, err := r.Resolve(ctx, text)
	if err != nil {
		return secretref.Secret{}, &sourcedError{path, err}
	}
	if root.Reveal() == "" {
		return secretref.Secret{}, &sourcedError{path,
			fault.New(fault.RootKey, "the secret that it refers to is empty")}
	}
	return root, nil
}
