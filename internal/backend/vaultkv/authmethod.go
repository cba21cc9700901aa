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

// methodLogin logs in with an auth method of the caller's.
type methodLogin struct {
	method    api.AuthMethod
	loginSlot chan struct{} // has room for one login, at whatever server
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
		return nil, fault.New(fault.Unavailable, "another login of VaultOptions.Auth did not end in time").WithCause(ctx.Err())
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
	if secret == nil || secret.Auth == nil || secret.Auth.ClientToken == "" || hasUnprintable(secret.Auth.ClientToken) {
		if got.requested {
			if err := m.server.checkLoginAnswer(got); err != nil {
				return nil, err
			}
		}
		why := wrappedHint(got.body)
		if secret != nil && secret.Auth != nil && secret.Auth.MFARequirement != nil {
			why = ": Vault wants a second factor"
		}
		return nil, fault.New(fault.Unauthenticated, "the login of VaultOptions.Auth brought no token%s", why)
	}
	m.log.DebugContext(ctx, "vault login", "host", m.server.name(), "auth", "VaultOptions.Auth", "lease", leaseDuration(secret.Auth))
	return newLease(secret.Auth, start, got.tokenUses()), nil
}

// client returns a client of the method's own, which leaves the latest answer in
// got. A method may change it as it likes.
func (m *methodLogin) client(got *answer) (*api.Client, error) {
	client, err := m.server.newClient(&answerRecorder{m.server, got})
	if err != nil {
		return nil, environmentError(err)
	}
	headers := m.server.api.Headers() // with the namespace
	headers.Del(api.AuthHeaderName)
	client.SetHeaders(headers)
	// Not VAULT_WRAP_TTL: it would bring a wrapping token instead of the answer.
	client.SetWrappingLookupFunc(func(_, path string) string {
		if path == "sys/wrapping/wrap" {
			return api.DefaultWrappingTTL
		}
		return ""
	})
	return client, nil
}

// answerRecorder sends the requests of one login, one after the other, and notes the
// latest answer.
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

// loginError says why there was no login. What the method says is kept out of the
// message, as it may quote credentials or an answer.
func (m *methodLogin) loginError(ctx context.Context, got answer, err error) error {
	if got.requested {
		if missed := m.server.requestError(got, err); missed != nil {
			return missed
		}
		if err := m.checkVerdict(got); err != nil {
			return err
		}
		return fault.New(fault.Unauthenticated, "Vault refuses the login of VaultOptions.Auth (status %d): check its role, its credentials and its mount path",
			got.status).WithCause(safeCause(err))
	}
	if errors.Is(err, fault.Unavailable) || ctx.Err() != nil || isNetworkError(err) {
		return fault.New(fault.Unavailable, "VaultOptions.Auth cannot log in at the moment%s", fault.MessageSuffix(err)).WithCause(safeCause(err))
	}
	return fault.New(fault.Unauthenticated, "VaultOptions.Auth failed before it asked Vault%s", fault.MessageSuffix(err)).WithCause(safeCause(err))
}

// checkVerdict returns an error unless the last answer, if there was one, is Vault's
// own verdict.
func (m *methodLogin) checkVerdict(got answer) error {
	switch {
	case got.status == 0:
		return nil
	case isTransient(got.status):
		return m.server.unavailableError(got)
	}
	return m.server.notFromVault(got)
}

// isNetworkError reports whether err is about a connection, to a metadata service, say,
// or about a wait that was given up. The errors of files look like a net.Error,
// too.
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

// safeCause is what an error may keep of a method's: its own errors, but none
// that holds an answer or a request, or a path, which may be a token.
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
