// Package lastknown keeps the last good secrets in a keyring, for a start while
// a backend is unavailable.
package lastknown

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/seed74218947/secretref/internal/coord"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/pipeline"
)

// prefix begins the names that this package has to itself.
const prefix = "\x00secretref/last-known/"

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
	log     *slog.Logger
}

// New returns a Store over a keyring.
func New(k Keyring, log *slog.Logger) *Store { return &Store{k, log} }

// name returns where a group is kept: nobody who reads the names learns what
// they stand for.
func name(g coord.Group) string {
	text, _ := json.Marshal(g) // strings only
	sum := sha256.Sum256(text)
	return prefix + hex.EncodeToString(sum[:])
}

// What is stored is the version of this format, when the secret was fetched in
// seconds since 1970, and its text, a line each.
const format = "1"

// Load returns what was stored for a group, and when it was fetched.
func (s *Store) Load(ctx context.Context, g coord.Group) (pipeline.Payload, time.Time, bool) {
	stored, err := s.keyring.Get(ctx, name(g))
	if err != nil {
		if !errors.Is(err, fault.NotFound) {
			s.warn(ctx, "the last known secret cannot be read", g, err)
		}
		return pipeline.Payload{}, time.Time{}, false
	}
	version, rest, _ := strings.Cut(stored, "\n")
	at, text, ok := strings.Cut(rest, "\n")
	seconds, bad := strconv.ParseInt(at, 10, 64)
	if version != format || !ok || bad != nil {
		s.warn(ctx, "the last known secret is of another format", g, nil)
		return pipeline.Payload{}, time.Time{}, false
	}
	return pipeline.Payload{Text: text}, time.Unix(seconds, 0), true
}

// Save stores what was fetched.
func (s *Store) Save(ctx context.Context, g coord.Group, p pipeline.Payload, fetched time.Time) {
	if p.Values != nil {
		return // of a fake
	}
	text := format + "\n" + strconv.FormatInt(fetched.Unix(), 10) + "\n" + p.Text
	if err := s.keyring.Put(ctx, name(g), text); err != nil {
		s.warn(ctx, "the last known secret cannot be stored", g, err)
	}
}

// Remove forgets what was stored.
func (s *Store) Remove(ctx context.Context, g coord.Group) {
	if err := s.keyring.Delete(ctx, name(g)); err != nil && !errors.Is(err, fault.NotFound) {
		s.warn(ctx, "the last known secret cannot be removed", g, err)
	}
}

func (s *Store) warn(ctx context.Context, what string, g coord.Group, err error) {
	attrs := []any{"backend", g.Kind.String(), "reference", g.Reference()}
	if err != nil {
		attrs = append(attrs, "error", err.Error())
	}
	s.log.WarnContext(ctx, what, attrs...)
}
