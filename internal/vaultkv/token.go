package vaultkv

import (
	"context"
	"errors"
	"os"
	"strings"
	"unicode"

	"github.com/hashicorp/vault/api"

	"github.com/seed74218947/secretref/internal/fault"
)

// TokenVariable is where the products look for a token.
const TokenVariable = "SECRET_STORE_VAULT_TOKEN"

const dropped = "container entrypoints often drop variables whose name contains SECRET or TOKEN"

// staticToken is a token that somebody else looks after.
type staticToken struct {
	source func(context.Context) (string, error) // nil: the variable
}

func (s staticToken) close() {}

func (s staticToken) token(ctx context.Context) (string, error) {
	if s.source == nil {
		return fromEnvironment()
	}
	token, err := s.source(ctx)
	switch {
	case errors.Is(err, fault.Unavailable), err != nil && ctx.Err() != nil:
		return "", fault.New(fault.Unavailable, "VaultOptions.Token has no token at the moment").Because(err)
	case err != nil:
		return "", fault.New(fault.Unauthenticated, "VaultOptions.Token failed").Because(err)
	case strings.TrimSpace(token) == "":
		return "", fault.New(fault.Unauthenticated, "the token that VaultOptions.Token gave is empty")
	}
	return clean(token, "check what VaultOptions.Token gives")
}

func fromEnvironment() (string, error) {
	token := os.Getenv(TokenVariable)
	if strings.TrimSpace(token) != "" {
		return clean(token, "check "+TokenVariable)
	}
	hint := ""
	if os.Getenv(api.EnvVaultToken) != "" {
		hint = "; VAULT_TOKEN is set, but neither the products nor this library read it"
	}
	return "", fault.New(fault.Unauthenticated, "the environment variable %s is not set%s (%s)", TokenVariable, hint, dropped)
}

// clean takes away the newline that a file ends with. What else cannot be
// printed cannot be sent.
func clean(token, mend string) (string, error) {
	token = strings.TrimSpace(token)
	if unprintable(token) {
		return "", fault.New(fault.Unauthenticated, "the Vault token holds characters that cannot be in one: %s", mend)
	}
	return token, nil
}

func unprintable(token string) bool {
	return strings.ContainsFunc(token, func(c rune) bool { return c == unicode.ReplacementChar || !unicode.IsPrint(c) })
}

// again asks the source once more: a caller's function may know a newer one.
func (s staticToken) again(ctx context.Context, refused string) (string, error) {
	if s.source == nil {
		return "", nil
	}
	token, err := s.token(ctx)
	if err != nil || token == refused {
		return "", err
	}
	return token, nil
}
