// Package lastknown keeps the last good secrets in a keyring. A program that starts
// while a backend is unavailable uses them.
package lastknown

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// prefix begins all names of this package in a keyring.
const prefix = ".secretref/last-known/"

// Reserved reports whether a name in a keyring belongs to this package.
func Reserved(name string) bool { return strings.HasPrefix(name, prefix) }

// Keyring is the store of the secrets.
type Keyring interface {
	Get(ctx context.Context, name string) (string, error)
	Put(ctx context.Context, name, text string) error
	Delete(ctx context.Context, name string) error
}

// Store implements cache.Persister. An error of the keyring is only logged.
type Store struct {
	keyring Keyring
	scope   func(ref.Kind) []string
	log     *slog.Logger

	mu      sync.Mutex
	retryAt time.Time // after a failed read of the keyring
}

// readPause is how long a keyring is not read after a failed read.
const readPause = time.Minute

// New returns a Store over a keyring. scope returns further parts of the key for the
// targets of a kind: two identities may see different secrets under one reference.
func New(k Keyring, scope func(ref.Kind) []string, log *slog.Logger) *Store {
	return &Store{keyring: k, scope: scope, log: log}
}

// name returns the name of a target in the keyring. It is a digest, so that a list of
// names does not reveal the targets. Each field is preceded by its length, because a
// separator may be part of a field. Text formats such as JSON are not used, because
// they replace bytes that are not UTF-8.
func (s *Store) name(target ref.Target) string {
	fields := append(target.Fields(), s.scope(target.Kind)...)
	var encoded []byte
	for _, field := range fields {
		encoded = binary.BigEndian.AppendUint64(encoded, uint64(len(field)))
		encoded = append(encoded, field...)
	}
	sum := sha256.Sum256(encoded)
	return prefix + hex.EncodeToString(sum[:])
}

// formatVersion is the first line of a stored secret. The second line is the Unix time
// of the fetch, the rest is the text.
const formatVersion = "1"

// Load returns the stored document of a target and when it was fetched.
func (s *Store) Load(ctx context.Context, target ref.Target) (backend.Document, time.Time, bool) {
	if s.paused() {
		return backend.Document{}, time.Time{}, false
	}
	stored, err := s.keyring.Get(ctx, s.name(target))
	if err != nil {
		if !errors.Is(err, fault.NotFound) {
			s.warn(ctx, "the last known secret cannot be read", target, err)
		}
		if errors.Is(err, fault.Unavailable) {
			s.pause()
		}
		return backend.Document{}, time.Time{}, false
	}
	version, rest, _ := strings.Cut(stored, "\n")
	at, text, ok := strings.Cut(rest, "\n")
	seconds, bad := strconv.ParseInt(at, 10, 64)
	if version != formatVersion || !ok || bad != nil {
		s.warn(ctx, "the last known secret is of another format", target, nil)
		return backend.Document{}, time.Time{}, false
	}
	return backend.Document{Text: text}, time.Unix(seconds, 0), true
}

// Save stores a fetched document.
func (s *Store) Save(ctx context.Context, target ref.Target, document backend.Document,
	fetched time.Time) {
	text := formatVersion + "\n" + strconv.FormatInt(fetched.Unix(), 10) + "\n" + document.Text
	if err := s.keyring.Put(ctx, s.name(target), text); err != nil {
		s.warn(ctx, "the last known secret cannot be stored", target, err)
	}
}

// Remove removes a stored document and reports whether it no longer exists.
func (s *Store) Remove(ctx context.Context, target ref.Target) bool {
	err := s.keyring.Delete(ctx, s.name(target))
	if err == nil || errors.Is(err, fault.NotFound) {
		return true
	}
	s.warn(ctx, "the last known secret cannot be removed", target, err)
	return false
}

func (s *Store) paused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.retryAt)
}

func (s *Store) pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retryAt = time.Now().Add(readPause)
}

func (s *Store) warn(ctx context.Context, what string, target ref.Target, err error) {
	attrs := []any{"backend", target.Kind.String(), "reference", target.Reference()}
	if err != nil {
		attrs = append(attrs, "error", err.Error())
	}
	s.log.WarnContext(ctx, what, attrs...)
}
