package vaultkv

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch"
	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/ref"
)

// refusal is why an answer asks for another token.
type refusal int

const (
	notRefused refusal = iota
	tokenRefused
	pathDenied
)

// classifyRefusal tells Vault's own refusals from each other, and from a gateway's.
func (s *server) classifyRefusal(got answer) refusal {
	if got.status < 400 || isTransient(got.status) || s.notFromVault(got) != nil {
		return notRefused
	}
	messages := errorMessages(got.body)
	switch {
	case isUnknownToken(got.status, messages):
		return tokenRefused
	case got.status == http.StatusForbidden && strings.Contains(messages, "permission denied"):
		return pathDenied
	}
	return notRefused
}

// acceptedToken reports whether an answer shows that Vault accepts the token, whether or
// not it may read what was asked for.
func (s *server) acceptedToken(got answer) bool {
	return got.status == http.StatusOK || got.status >= 400 && !isTransient(got.status) && s.notFromVault(got) == nil && s.classifyRefusal(got) != tokenRefused
}

// document takes the secret out of an answer, or says why there is none.
func (c *client) document(ctx context.Context, l *lease, g ref.Target, got answer) (fetch.Document, error) {
	if got.status == http.StatusOK {
		return c.parseSecret(ctx, l, g, got)
	}
	if err := c.notFromVault(got); err != nil {
		return fetch.Document{}, err
	}
	messages := errorMessages(got.body)
	switch {
	case isTransient(got.status):
		return fetch.Document{}, c.unavailableError(got)
	case got.status == http.StatusNotFound && isNotFoundMessage(messages):
		return fetch.Document{}, c.explainNotFound(ctx, l, g, got.body)
	case isUnknownToken(got.status, messages), c.auth == authenticator(noToken{}) && messages == "permission denied":
		// Vault has a longer text for a token that it knows.
		return fetch.Document{}, c.invalidTokenError()
	case strings.Contains(messages, "locked by an administrator"):
		return fetch.Document{}, fault.New(fault.Unavailable, "an administrator has locked the namespace of mount %q", g.Mount).Permanently()
	case got.status == http.StatusForbidden && !strings.Contains(messages, "permission denied"), got.status == http.StatusNotFound:
		return fetch.Document{}, fault.New(fault.Unavailable, "%s answered with status %d, but not in Vault's words: is a proxy or a gateway in between?",
			c.name(), got.status).Permanently()
	case got.status == http.StatusForbidden:
		return fetch.Document{}, c.deniedError(g)
	case got.status == http.StatusBadRequest && strings.Contains(messages, "Upgrading from non-versioned"):
		return fetch.Document{}, fault.New(fault.Unavailable, "mount %q is being upgraded to KV version 2", g.Mount)
	}
	return fetch.Document{}, fault.New(fault.Unsupported, "%s answered with status %d: is it Vault's API?%s", c.name(), got.status, c.baseHint())
}

func (c *client) deniedError(g ref.Target) error {
	unwrap := ""
	if _, ok := c.auth.(*staticToken); ok {
		unwrap = ", or the token is a response-wrapping token, which has to be unwrapped first"
	}
	return fault.New(fault.Denied, "the token's policies lack: path %q { capabilities = [\"read\"] } "+
		"(or the mount does not exist, or belongs to another namespace%s)%s", g.Mount+"/data/"+g.Path, unwrap, c.baseHint())
}

// baseHint is for an endpoint that goes on to where Vault's API begins.
func (s *server) baseHint() string {
	if !strings.HasSuffix(s.endpoint.Path, "/v1") {
		return ""
	}
	return "; the endpoint ends in /v1, which belongs to Vault's API: leave it out"
}

// isNotFoundMessage reports whether the errors of a 404 are Vault's: there are none
// if only the secret is missing.
func isNotFoundMessage(messages string) bool {
	return messages == "" || strings.Contains(messages, "no handler for route") || strings.Contains(messages, "unsupported path") ||
		strings.Contains(messages, "functionality on this path has been removed")
}

// isUnknownToken tells a token that Vault does not know from one that may not do
// what it was shown for.
func isUnknownToken(status int, messages string) bool {
	return status == http.StatusForbidden && strings.Contains(messages, "invalid token") ||
		status == http.StatusUnauthorized || strings.Contains(messages, "missing client token")
}

func (c *client) invalidTokenError() error {
	switch c.auth.(type) {
	case *login:
		return fault.New(fault.Unauthenticated, "Vault does not accept the token of a new login")
	case noToken:
		return fault.New(fault.Unauthenticated, "VaultOptions.NoToken is set, but the Vault Agent or Proxy at %s adds no token that Vault knows: "+
			"check its auto_auth and use_auto_auth_token", c.name())
	}
	return fault.New(fault.Unauthenticated, "Vault does not know the token: it has expired, was revoked, or belongs to another server or namespace, "+
		"or is a response-wrapping token; renew %s, or what VaultOptions.Token gives", TokenVariable)
}

// wrappedHint is a hint about an answer that came in a token.
func wrappedHint(body []byte) string {
	if text, err := jsonptr.Lookup(body, "/wrap_info"); err != nil || text[0] != '{' {
		return ""
	}
	return ": the answer is wrapped in another token, which a control group, or who asks for response wrapping, wants"
}

// parseSecret returns the object of keys. A KV version 1 mount can have a secret at
// a path that begins with data/, without the envelope.
func (c *client) parseSecret(ctx context.Context, l *lease, g ref.Target, got answer) (fetch.Document, error) {
	data, err := jsonptr.Lookup(got.body, "/data")
	switch {
	case errors.Is(err, fault.Syntax):
		return fetch.Document{}, c.notFromVault(got)
	case err != nil || data[0] != '{':
		return fetch.Document{}, fault.New(fault.Unavailable, "%s answered with JSON that is not Vault's for a secret%s", c.name(), wrappedHint(got.body)).Permanently()
	}
	object, err := jsonptr.Lookup(data, "/data")
	if err == nil && string(object) == "null" {
		if _, err := jsonptr.Lookup(data, "/metadata"); err != nil {
			return fetch.Document{}, fault.New(fault.Unavailable, "%s answered with JSON that is not Vault's for a secret", c.name()).Permanently()
		}
		return fetch.Document{}, c.explainNotFound(ctx, l, g, got.body)
	}
	_, unversioned := jsonptr.Lookup(data, "/metadata/version")
	if err != nil || object[0] != '{' || unversioned != nil {
		return fetch.Document{}, kvVersion1Error(g)
	}
	return fetch.Document{Text: string(object)}, nil
}

func kvVersion1Error(g ref.Target) error {
	return fault.New(fault.Unsupported, "mount %q is a KV version 1 engine; references are read from KV version 2 only: "+
		"upgrade it with \"vault kv enable-versioning %s\"", g.Mount, g.Mount)
}

// explainNotFound says what kind of nothing was found.
func (c *client) explainNotFound(ctx context.Context, l *lease, g ref.Target, body []byte) error {
	if destroyed, err := jsonptr.LookupScalar(body, "/data/metadata/destroyed"); err == nil && destroyed == "true" {
		return fault.New(fault.NotFound, "the latest version of %q in mount %q was destroyed: write a new one", g.Path, g.Mount)
	}
	if deleted, err := jsonptr.LookupScalar(body, "/data/metadata/deletion_time"); err == nil && deleted != "" {
		when := "at an unknown time"
		if at, err := time.Parse(time.RFC3339Nano, deleted); err == nil {
			when = at.UTC().Format(time.RFC3339)
		}
		return fault.New(fault.NotFound, "the latest version of %q in mount %q was deleted (%s): restore it with \"vault kv undelete\", or write a new one",
			g.Path, g.Mount, when)
	}
	if _, err := jsonptr.Lookup(body, "/data/metadata"); err == nil {
		return fault.New(fault.NotFound, "the latest version of %q in mount %q holds nothing", g.Path, g.Mount)
	}
	m := c.lookUpMount(ctx, l, g.Mount)
	switch {
	case m.version == "" && m.kind != "" && m.kind != "kv" && m.kind != "generic":
		return fault.New(fault.Unsupported, "mount %q is not a key/value engine", g.Mount)
	case m.version != "2" && m.kind != "":
		return kvVersion1Error(g)
	case strings.Contains(errorMessages(body), "no handler for route"):
		return fault.New(fault.NotFound, "there is no secrets engine at mount %q%s", g.Mount, c.baseHint())
	}
	hint := ""
	if short := strings.Trim(m.path, "/"); short != "" && strings.HasPrefix(g.Mount, short+"/") {
		hint = "; the mount's path is only \"" + short + "\""
	} else if strings.HasPrefix(g.Path, "data/") || strings.HasPrefix(g.Path, g.Mount+"/") {
		hint = "; path stands without the mount and without \"data/\""
	}
	return fault.New(fault.NotFound, "no secret at path %q in mount %q%s", g.Path, g.Mount, hint)
}

// mountInfo is what the server tells about one; zero if it tells nothing.
type mountInfo struct{ kind, version, path string }

// mountLookupTimeout bounds the look-up of a mount, which only words an error.
const mountLookupTimeout = 2 * time.Second

// lookUpMount asks about one, only when a read found nothing.
func (c *client) lookUpMount(ctx context.Context, l *lease, at string) mountInfo {
	if !l.takeUse() {
		return mountInfo{} // the read was the token's last use
	}
	ctx, cancel := context.WithTimeout(ctx, mountLookupTimeout)
	defer cancel()
	got, err := c.read(ctx, l.token, "sys/internal/ui/mounts/"+at)
	var reply struct {
		Data struct {
			Type, Path string
			Options    struct{ Version string }
		}
	}
	if err != nil || got.status != http.StatusOK || json.Unmarshal(got.body, &reply) != nil {
		return mountInfo{}
	}
	return mountInfo{reply.Data.Type, reply.Data.Options.Version, reply.Data.Path}
}

// notFromVault tells an answer that Vault did not give: a proxy's or a firewall's
// page must not pass for Vault's own refusal, or for its secret.
func (s *server) notFromVault(got answer) error {
	host := s.name()
	if got.status >= 300 && got.status < 400 {
		return fault.New(fault.Unavailable, "%s answered with status %d and nowhere to go: is a login page in between?", host, got.status).Permanently()
	}
	if isTransient(got.status) {
		return nil
	}
	why, bad := errors.AsType[*fault.Error](jsonptr.Valid(got.body))
	switch {
	case !bad && (got.status == http.StatusOK || isVaultError(got.status, got.body)):
		return nil
	case !bad:
		return fault.New(fault.Unavailable, "%s answered with status %d in JSON that is not Vault's: is a proxy or a gateway in between?", host, got.status).Permanently()
	case s.endpoint.Scheme == "http" && strings.HasPrefix(string(got.body), "Client sent an HTTP request to an HTTPS server"):
		return fault.New(fault.Unavailable, "%s speaks https: write https:// in endpoint", host).Permanently()
	}
	return fault.New(fault.Unavailable, "%s answered with status %d, but not in Vault's JSON (%s): is a proxy or a login page in between?",
		host, got.status, why.Text).Permanently()
}

// isVaultError reports whether a body has the shape of Vault's errors: a list of
// texts, or the envelope of every answer, as for a version that was deleted, and
// no member of another's.
func isVaultError(status int, body []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return false
	}
	for name := range members {
		if !slices.Contains(vaultMembers, name) {
			return false
		}
	}
	if text, ok := members["errors"]; ok {
		var messages []string
		return json.Unmarshal(text, &messages) == nil && (len(messages) > 0 || messages != nil && status == http.StatusNotFound)
	}
	return members["request_id"] != nil && members["lease_duration"] != nil && members["data"] != nil
}

// vaultMembers are the members of Vault's answers, and of its errors.
var vaultMembers = []string{"request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth", "errors", "mount_type"}

// checkLoginAnswer returns an error for a good answer to a login that is not Vault's:
// one with neither a login in it nor the marks of an answer. Whoever gave it has
// refused nothing.
func (s *server) checkLoginAnswer(got answer) error {
	var members map[string]json.RawMessage
	if got.status != http.StatusOK || json.Unmarshal(got.body, &members) != nil {
		return s.notFromVault(got)
	}
	for _, name := range []string{"auth", "wrap_info", "request_id"} {
		if _, ok := members[name]; ok {
			return nil
		}
	}
	return fault.New(fault.Unavailable, "%s answered the login with JSON that is not Vault's: is a proxy or a gateway in between?", s.name()).Permanently()
}

// isTransient tells the states that pass by themselves. 412 is a node that has not
// caught up, 472 and 473 are standbys.
func isTransient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusPreconditionFailed, http.StatusTooManyRequests:
		return true
	}
	return status >= 472
}

// unavailableError explains an answer that passes by itself.
func (s *server) unavailableError(got answer) *fault.Error {
	host := s.name()
	var f *fault.Error
	switch {
	case strings.Contains(errorMessages(got.body), "Vault is sealed"):
		f = fault.New(fault.Unavailable, "Vault at %s is sealed: it must be unsealed", host)
	case got.status == http.StatusTooManyRequests:
		f = fault.New(fault.Unavailable, "Vault at %s limits the rate of calls", host)
	case got.status == 472 || got.status == 473:
		f = fault.New(fault.Unavailable, "Vault at %s is a standby that does not serve reads", host)
	default:
		f = fault.New(fault.Unavailable, "Vault at %s answered with status %d", host, got.status)
	}
	f.RetryAfter = httpguard.RetryAfter(got.header)
	return f
}

// errorMessages returns the messages in an error's body, to match known ones against.
func errorMessages(body []byte) string {
	var reply struct{ Errors []string }
	if json.Unmarshal(body, &reply) != nil {
		return ""
	}
	return strings.Join(reply.Errors, " ")
}
