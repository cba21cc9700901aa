// Package lastknown keeps the last good secrets in a keyring, for a start while
// a backend is unavailable.
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

// prefix begins the names that this package has to itself.
const prefix = ".secretref/last-known/"

// Reserved reports whether a name in a keyring is one of this package's.
func Reserved(name string) bool { return strings.HasPrefix(name, prefix) }

// Keyring stores texts under names.
type Keyring interface {
	Get(ctx context.Context, name string) (string, error)
	Put(ctx context.Context, name, text string) error
	Delete(ctx context.Context, name string) error
}

// Store implements cache.Known. A keyring that fails costs a warning in the
// log, and nothing else.
type Store struct {
	keyring Keyring
	scope   func(ref.Kind) []string
	log     *slog.Logger

	mu     sync.Mutex
	notYet time.Time // a read of the keyring failed, and the next one waits
}

// pause is how long a keyring is left alone that could not be read.
const pause = time.Minute

// New returns a Store over a keyring. scope returns what else tells the groups
// of a kind apart, such as the role of the caller.
func New(k Keyring, scope func(ref.Kind) []string, log *slog.Logger) *Store {
	return &Store{keyring: k, scope: scope, log: log}
}

// name returns the name that a group is stored under. It is a digest, so that a
// list of names does not show what they stand for. Each field enters it byte by
// byte after its length: text formats such as JSON replace bytes that are not
// UTF-8, and a separator may be part of a field.
func (s *Store) name(g ref.Target) string {
	fields := append([]string{g.Kind.String(), g.Endpoint, g.Region, g.Secret, g.Auth, g.Mount,
		g.Path, g.Name, g.Class, g.Text, g.Dir},
		s.scope(g.Kind)...)
	var encoded []byte
	for _, field := range fields {
		encoded = binary.BigEndian.AppendUint64(encoded, uint64(len(field)))
		encoded = append(encoded, field...)
	}
	sum := sha256.Sum256(encoded)
	return prefix + hex.EncodeToString(sum[:])
}

// What is stored is the version of this format, when the secret was fetched in
// seconds since 1970, and its text, a line each.
const format = "1"

// Load returns what was stored for a group, and when it was fetched.
func (s *Store) Load(ctx context.Context, g ref.Target) (backend.Document, time.Time, bool) {
	if s.waits() {
		return backend.Document{}, time.Time{}, false
	}
	stored, err := s.keyring.Get(ctx, s.name(g))
	if err != nil {
		if !errors.Is(err, fault.NotFound) {
			s.warn(ctx, "the last known secret cannot be read", g, err)
		}
		if errors.Is(err, fault.Unavailable) {
			s.wait()
		}
		return backend.Document{}, time.Time{}, false
	}
	version, rest, _ := strings.Cut(stored, "\n")
	at, text, ok := strings.Cut(rest, "\n")
	seconds, bad := strconv.ParseInt(at, 10, 64)
	if version != format || !ok || bad != nil {
		s.warn(ctx, "the last known secret is of another format", g, nil)
		return backend.Document{}, time.Time{}, false
	}
	return backend.Document{Text: text}, time.Unix(seconds, 0), true
}

// Save stores what was fetched.
func (s *Store) Save(ctx context.Context, g ref.Target, p backend.Document, fetched time.Time) {
	text := format + "\n" + strconv.FormatInt(fetched.Unix(), 10) + "\n" + p.Text
	if err := s.keyring.Put(ctx, s.name(g), text); err != nil {
		s.warn(ctx, "the last known secret cannot be stored", g, err)
	}
}

// Remove forgets what was stored, and reports whether it is gone.
func (s *Store) Remove(ctx context.Context, g ref.Target) bool {
	err := s.keyring.Delete(ctx, s.name(g))
	if err == nil || errors.Is(err, fault.NotFound) {
		return true
	}
	s.warn(ctx, "the last known secret cannot be removed", g, err)
	return false
}

func (s *Store) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.notYet)
}

func (s *Store) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notYet = time.Now().Add(pause)
}

func (s *Store) warn(ctx context.Context, what string, g ref.Target, err error) {
	attrs := []any{"backend", g.Kind.String(), "reference", g.Reference()}
	if err != nil {
		attrs = append(attrs, "error", err.Error())
	}
	s.log.WarnContext(ctx, what, attrs...)
}
