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

// TokenVariable is where the products look for a token.
const TokenVariable = "SECRET_STORE_VAULT_TOKEN"

const droppedHint = "container entrypoints often drop variables whose name contains SECRET or TOKEN"

// staticToken is a token that somebody else gives out. With RenewToken what is
// in use is watched, in the background.
type staticToken struct {
	source func(context.Context) (string, error) // nil: the variable
	watch  func(ctx context.Context, token string)

	mu       sync.Mutex
	current  *lease             // the last one
	watched  string             // equal to that of given, or empty
	stop     context.CancelFunc // of the watch
	watching sync.WaitGroup
}

// newStaticToken does not look a token up that is not to be renewed: that would cost
// a use of a token that has only some.
func newStaticToken(settings Settings, s *server, policy *httpguard.Policy, log *slog.Logger) *staticToken {
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
		s.stop() // it has been replaced
		s.watched = ""
	}
	return s.current, nil
}

// accepted begins the watch over a token, unless there is one, or the token has
// been replaced while it was used.
func (s *staticToken) accepted(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch == nil || l.token != s.current.token || l.token == s.watched {
		return
	}
	// It goes on when the fetch, and whatever that belongs to, has ended.
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
		return "", fault.New(fault.Unavailable, "VaultOptions.Token has no token at the moment%s", fault.MessageSuffix(err)).WithCause(err)
	case err != nil:
		return "", fault.New(fault.Unauthenticated, "VaultOptions.Token failed%s", fault.MessageSuffix(err)).WithCause(err)
	case strings.TrimSpace(token) == "":
		return "", fault.New(fault.Unauthenticated, "the token that VaultOptions.Token gave is empty")
	}
	return cleanToken(token, "check what VaultOptions.Token gives")
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
	return "", fault.New(fault.Unauthenticated, "the environment variable %s is not set%s (%s)", TokenVariable, hint, droppedHint)
}

// cleanToken takes away the newline that a file ends with. What else cannot be
// printed cannot be sent.
func cleanToken(token, mend string) (string, error) {
	token = strings.TrimSpace(token)
	if hasUnprintable(token) {
		return "", fault.New(fault.Unauthenticated, "the Vault token holds characters that cannot be in one: %s", mend)
	}
	return token, nil
}

func hasUnprintable(token string) bool {
	return strings.ContainsFunc(token, func(c rune) bool { return c == unicode.ReplacementChar || !unicode.IsPrint(c) })
}

// reauthenticate asks the source once more: a caller's function may know a newer
// one.
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

// noToken leaves it to the Vault Agent or Proxy at the endpoint to add one.
type noToken struct{}

func (noToken) token(context.Context) (*lease, error) { return &lease{}, nil }

func (noToken) reauthenticate(context.Context, *lease) (*lease, error) { return nil, nil }

func (noToken) accepted(*lease) {}

func (noToken) close() {}
