package vaultkv

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hashicorp/vault/api"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
)

// TokenVariable is the variable from which the products read a token.
const TokenVariable = "SECRET_STORE_VAULT_TOKEN"

const droppedHint = "container entrypoints often drop variables whose name contains SECRET or TOKEN"

// staticToken is an authenticator with a token from the environment or from the
// caller's function. With RenewToken the token in use is renewed in the background.
type staticToken struct {
	source func(context.Context) (string, error) // if nil, TokenVariable is used
	watch  func(ctx context.Context, token string)

	mu       sync.Mutex
	current  *lease             // the latest token
	watched  string             // the token of current, or empty
	stop     context.CancelFunc // of the watch
	watching sync.WaitGroup
}

// newStaticToken does not watch the token without RenewToken: looking a token up
// costs a use if its uses are limited.
func newStaticToken(settings Settings, s *server, policy *httpguard.Policy,
	log *slog.Logger) *staticToken {
	made := &staticToken{source: settings.Token, stop: func() {}, current: &lease{}}
	if settings.RenewToken {
		made.watch = func(ctx context.Context, token string) {
			w := &watcher{server: s, policy: policy, log: log, token: token}
			w.run(ctx)
		}
	}
	return made
}

func (s *staticToken) token(ctx context.Context) (*lease, error) {
	token, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.token != token {
		s.current = &lease{token: token, issuedAt: time.Now()}
	}
	if s.watched != token {
		s.stop() // the watched token has been replaced
		s.watched = ""
	}
	return s.current, nil
}

// accepted starts watching a token, unless it is already watched or has been
// replaced while it was used.
func (s *staticToken) accepted(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch == nil || l.token != s.current.token || l.token == s.watched {
		return
	}
	// The watch continues after the fetch.
	ctx, cancel := context.WithCancel(context.Background())
	s.watched, s.stop = l.token, cancel
	s.watching.Go(func() {
		defer cancel()
		s.watch(ctx, l.token)
	})
}

func (s *staticToken) close() {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.watching.Wait()
}

func (s *staticToken) read(ctx context.Context) (string, error) {
	if s.source == nil {
		return tokenFromEnvironment()
	}
	token, err := s.source(ctx)
	switch {
	case err != nil && (errors.Is(err, fault.Unavailable) || ctx.Err() != nil || isNetworkError(err)):
		return "", fault.New(fault.Unavailable, "VaultOptions.Token temporarily has no token%s",
			fault.MessageSuffix(err)).WithCause(err)
	case err != nil:
		return "", fault.New(fault.Unauthenticated, "VaultOptions.Token failed%s",
			fault.MessageSuffix(err)).WithCause(err)
	case strings.TrimSpace(token) == "":
		return "", fault.New(fault.Unauthenticated, "VaultOptions.Token returned an empty token")
	}
	return cleanToken(token, "check the token that VaultOptions.Token returns")
}

func tokenFromEnvironment() (string, error) {
	token := os.Getenv(TokenVariable)
	if strings.TrimSpace(token) != "" {
		return cleanToken(token, "check "+TokenVariable)
	}
	hint := ""
	if os.Getenv(api.EnvVaultToken) != "" {
		hint = "; VAULT_TOKEN is set, but neither the products nor this library read it"
	}
	return "", fault.New(fault.Unauthenticated, "the environment variable %s is not set%s (%s)",
		TokenVariable, hint, droppedHint)
}

// cleanToken trims a token, which often ends in the newline of a file. It refuses
// characters that cannot be sent.
func cleanToken(token, hint string) (string, error) {
	token = strings.TrimSpace(token)
	if hasUnprintable(token) {
		return "", fault.New(fault.Unauthenticated,
			"the Vault token contains characters that no token has: %s", hint)
	}
	return token, nil
}

func hasUnprintable(token string) bool {
	return strings.ContainsFunc(token, func(c rune) bool {
		return c == unicode.ReplacementChar || !unicode.IsPrint(c)
	})
}

// reauthenticate calls the caller's function again, which may return a newer token.
func (s *staticToken) reauthenticate(ctx context.Context, refused *lease) (*lease, error) {
	if s.source == nil {
		return nil, nil
	}
	next, err := s.token(ctx)
	if err != nil || next.token == refused.token {
		return nil, err
	}
	return next, nil
}

// noToken sends no token: the Vault Agent or Proxy at the endpoint adds one.
type noToken struct{}

func (noToken) token(context.Context) (*lease, error) { return &lease{}, nil }

func (noToken) reauthenticate(context.Context, *lease) (*lease, error) { return nil, nil }

func (noToken) accepted(*lease) {}

func (noToken) close() {}
