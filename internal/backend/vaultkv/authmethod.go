package vaultkv

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
)

// methodLogin logs in with the caller's auth method.
type methodLogin struct {
	method    api.AuthMethod
	loginSlot chan struct{} // admits one login at a time, to any server
	server    *server
	log       *slog.Logger
}

func newMethodLogin(settings Settings, turn chan struct{}, s *server, log *slog.Logger) *login {
	m := &methodLogin{method: settings.Auth, loginSlot: turn, server: s, log: log}
	return newLogin(m.login, s.name(), settings.Timeout, log)
}

func (m *methodLogin) login(ctx context.Context) (*lease, error) {
	select {
	case m.loginSlot <- struct{}{}:
		defer func() { <-m.loginSlot }()
	case <-ctx.Done():
		return nil, fault.New(fault.Unavailable,
			"another login of VaultOptions.Auth did not end in time").WithCause(ctx.Err())
	}
	var got answer
	client, err := m.client(&got)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	secret, err := m.method.Login(ctx, client)
	if err != nil {
		return nil, m.loginError(ctx, got, err)
	}
	if !hasToken(secret) {
		if got.requested {
			if err := m.server.checkLoginAnswer(got); err != nil {
				return nil, err
			}
		}
		why := wrappedHint(got.body)
		if secret != nil && secret.Auth != nil && secret.Auth.MFARequirement != nil {
			why = ": Vault requires a second factor"
		}
		return nil, fault.New(fault.Unauthenticated,
			"the login of VaultOptions.Auth returned no token%s", why)
	}
	m.log.DebugContext(ctx, "vault login", "host", m.server.name(), "auth", "VaultOptions.Auth",
		"lease", leaseDuration(secret.Auth))
	return newLease(secret.Auth, start, got.tokenUses()), nil
}

// hasToken reports whether the answer to a login contains a token that can be
// sent.
func hasToken(secret *api.Secret) bool {
	return secret != nil && secret.Auth != nil && secret.Auth.ClientToken != "" &&
		!hasUnprintable(secret.Auth.ClientToken)
}

// client returns a client for one login, which stores the latest answer in got.
// The method may modify it.
func (m *methodLogin) client(got *answer) (*api.Client, error) {
	client, err := m.server.newClient(&answerRecorder{m.server, got})
	if err != nil {
		return nil, environmentError(err)
	}
	headers := m.server.api.Headers() // with the namespace
	headers.Del(api.AuthHeaderName)
	client.SetHeaders(headers)
	// VAULT_WRAP_TTL must not apply: the answer would be a wrapping token.
	client.SetWrappingLookupFunc(func(_, path string) string {
		if path == "sys/wrapping/wrap" {
			return api.DefaultWrappingTTL
		}
		return ""
	})
	return client, nil
}

// answerRecorder sends the requests of one login, which are sequential, and stores
// the latest answer in got.
type answerRecorder struct {
	server *server
	got    *answer
}

// RoundTrip implements http.RoundTripper.
func (r *answerRecorder) RoundTrip(req *http.Request) (*http.Response, error) {
	*r.got = answer{requested: true}
	req = req.Clone(req.Context())
	r.server.escapePath(req.URL)
	resp, err := r.server.guard.RoundTrip(req)
	if err == nil {
		r.got.readFrom(resp)
	}
	return resp, err
}

// loginError explains why a login failed. It does not repeat the text of the
// method's error, which may quote credentials or an answer.
func (m *methodLogin) loginError(ctx context.Context, got answer, err error) error {
	if got.requested {
		if missed := m.server.requestError(got, err); missed != nil {
			return missed
		}
		if err := m.checkVerdict(got); err != nil {
			return err
		}
		return fault.New(fault.Unauthenticated, "Vault refuses the login of VaultOptions.Auth "+
			"(status %d): check its role, its credentials and its mount path",
			got.status).WithCause(safeCause(err))
	}
	if errors.Is(err, fault.Unavailable) || ctx.Err() != nil || isNetworkError(err) {
		return fault.New(fault.Unavailable, "VaultOptions.Auth temporarily cannot log in%s",
			fault.MessageSuffix(err)).WithCause(safeCause(err))
	}
	return fault.New(fault.Unauthenticated, "VaultOptions.Auth failed before it called Vault%s",
		fault.MessageSuffix(err)).WithCause(safeCause(err))
}

// checkVerdict returns an error if the last answer is transient or not from Vault,
// and nil if it is Vault's refusal or if there was none.
func (m *methodLogin) checkVerdict(got answer) error {
	switch {
	case got.status == 0:
		return nil
	case isTransient(got.status):
		return m.server.unavailableError(got)
	}
	return m.server.notFromVault(got)
}

// isNetworkError reports whether err is about a connection, for example to a
// metadata service, or a timeout. It does not use net.Error, which the errors of
// files implement too.
func isNetworkError(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

// safeCause returns the part of a method's error that an error may keep: err
// itself, unless it holds an answer, a request or a path, which may be a token.
func safeCause(err error) error {
	var (
		answered *api.ResponseError
		asked    *url.Error
		path     *fs.PathError
	)
	if errors.As(err, &answered) || errors.As(err, &asked) || errors.As(err, &path) {
		return httpguard.SanitizedCause(err)
	}
	return err
}
