package vaultkv

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed74218947/secretref/internal/backend"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/ref"
)

// refusal is the reason why another token may help.
type refusal int

const (
	notRefused refusal = iota
	tokenRefused
	pathDenied
)

// classifyRefusal distinguishes Vault's refusals from each other and from those of
// a gateway.
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

// acceptedToken reports whether an answer shows that Vault accepts the token, even
// if the token may not read the path.
func (s *server) acceptedToken(got answer) bool {
	if got.status == http.StatusOK {
		return true
	}
	return got.status >= 400 && !isTransient(got.status) && s.notFromVault(got) == nil &&
		s.classifyRefusal(got) != tokenRefused
}

// document returns the secret in an answer, or an error that explains why there is
// none.
func (c *client) document(ctx context.Context, l *lease, g ref.Target,
	got answer) (backend.Document, error) {
	if got.status == http.StatusOK {
		return c.parseSecret(ctx, l, g, got)
	}
	if err := c.notFromVault(got); err != nil {
		return backend.Document{}, err
	}
	messages := errorMessages(got.body)
	switch {
	case isTransient(got.status):
		return backend.Document{}, c.unavailableError(got)
	case got.status == http.StatusNotFound && isNotFoundMessage(messages):
		return backend.Document{}, c.explainNotFound(ctx, l, g, got.body)
	case isUnknownToken(got.status, messages),
		c.auth == authenticator(noToken{}) && messages == "permission denied":
		// Vault sends a longer text if it recognizes the token.
		return backend.Document{}, c.invalidTokenError()
	case strings.Contains(messages, "locked by an administrator"):
		return backend.Document{},
			fault.New(fault.Unavailable, "an administrator has locked the namespace of mount %q",
				g.Mount).Permanently()
	case got.status == http.StatusForbidden && !strings.Contains(messages, "permission denied"),
		got.status == http.StatusNotFound:
		return backend.Document{},
			fault.New(fault.Unavailable,
				"%s answered with status %d, but not in Vault's words: is a proxy or a gateway in between?",
				c.name(), got.status).Permanently()
	case got.status == http.StatusForbidden:
		return backend.Document{}, c.deniedError(g)
	case got.status == http.StatusBadRequest &&
		strings.Contains(messages, "Upgrading from non-versioned"):
		return backend.Document{},
			fault.New(fault.Unavailable, "mount %q is being upgraded to KV version 2", g.Mount)
	}
	return backend.Document{},
		fault.New(fault.Unsupported, "%s answered with status %d: is it Vault's API?%s", c.name(),
			got.status, c.baseHint())
}

func (c *client) deniedError(g ref.Target) error {
	unwrap := ""
	if _, ok := c.auth.(*staticToken); ok {
		unwrap = ", or the token is a response-wrapping token, which has to be unwrapped first"
	}
	return fault.New(fault.Denied, "the token's policies lack: path %q { capabilities = [\"read\"] } "+
		"(or the mount does not exist, or belongs to another namespace%s)%s", g.Mount+"/data/"+g.Path,
		unwrap, c.baseHint())
}

// baseHint is a hint for an endpoint that includes the prefix of Vault's API.
func (s *server) baseHint() string {
	if !strings.HasSuffix(s.endpoint.Path, "/v1") {
		return ""
	}
	return "; the endpoint ends in /v1, which is part of Vault's API: remove it"
}

// isNotFoundMessage reports whether the messages of a 404 are Vault's. There are
// none if only the secret is missing.
func isNotFoundMessage(messages string) bool {
	return messages == "" || strings.Contains(messages, "no handler for route") ||
		strings.Contains(messages, "unsupported path") ||
		strings.Contains(messages, "functionality on this path has been removed")
}

// isUnknownToken reports whether Vault does not recognize the token, as opposed to
// denying it a permission.
func isUnknownToken(status int, messages string) bool {
	return status == http.StatusForbidden && strings.Contains(messages, "invalid token") ||
		status == http.StatusUnauthorized || strings.Contains(messages, "missing client token")
}

func (c *client) invalidTokenError() error {
	switch c.auth.(type) {
	case *login:
		return fault.New(fault.Unauthenticated, "Vault does not accept the token of a new login")
	case noToken:
		return fault.New(fault.Unauthenticated, "VaultOptions.NoToken is set, but the Vault Agent or "+
			"Proxy at %s adds no token that Vault recognizes: check its auto_auth and use_auto_auth_token",
			c.name())
	}
	return fault.New(fault.Unauthenticated, "Vault does not recognize the token: it has expired, "+
		"was revoked, belongs to another server or namespace, or is a response-wrapping token; "+
		"renew %s, or the token that VaultOptions.Token returns", TokenVariable)
}

// wrappedHint is a hint about an answer that Vault wrapped in a token.
func wrappedHint(body []byte) string {
	if text, err := jsonptr.Lookup(body, "/wrap_info"); err != nil || text[0] != '{' {
		return ""
	}
	return ": the answer is wrapped in another token, because of a control group or of a request " +
		"for response wrapping"
}

// parseSecret returns the object with the keys of a secret. A KV version 1 mount
// can have a secret at a path that begins with data/, without the envelope of KV
// version 2.
func (c *client) parseSecret(ctx context.Context, l *lease, g ref.Target,
	got answer) (backend.Document, error) {
	data, err := jsonptr.Lookup(got.body, "/data")
	switch {
	case errors.Is(err, fault.Syntax):
		return backend.Document{}, c.notFromVault(got)
	case err != nil || data[0] != '{':
		return backend.Document{},
			fault.New(fault.Unavailable, "%s answered with JSON that is not Vault's for a secret%s",
				c.name(), wrappedHint(got.body)).Permanently()
	}
	object, err := jsonptr.Lookup(data, "/data")
	if err == nil && string(object) == "null" {
		if _, err := jsonptr.Lookup(data, "/metadata"); err != nil {
			return backend.Document{},
				fault.New(fault.Unavailable, "%s answered with JSON that is not Vault's for a secret",
					c.name()).Permanently()
		}
		return backend.Document{}, c.explainNotFound(ctx, l, g, got.body)
	}
	_, unversioned := jsonptr.Lookup(data, "/metadata/version")
	if err != nil || object[0] != '{' || unversioned != nil {
		return backend.Document{}, kvVersion1Error(g)
	}
	return backend.Document{Text: string(object)}, nil
}

func kvVersion1Error(g ref.Target) error {
	return fault.New(fault.Unsupported, "mount %q is a KV version 1 engine, but only KV version 2 is "+
		"supported: upgrade it with \"vault kv enable-versioning %s\"", g.Mount, g.Mount)
}

// explainNotFound explains why there is no secret: it was deleted or destroyed, it
// never existed, or the mount does not exist or has another engine.
func (c *client) explainNotFound(ctx context.Context, l *lease, g ref.Target, body []byte) error {
	if destroyed, err := jsonptr.LookupScalar(body, "/data/metadata/destroyed"); err == nil &&
		destroyed == "true" {
		return fault.New(fault.NotFound,
			"the latest version of %q in mount %q was destroyed: write a new one", g.Path, g.Mount)
	}
	if deleted, err := jsonptr.LookupScalar(body, "/data/metadata/deletion_time"); err == nil &&
		deleted != "" {
		when := "at an unknown time"
		if at, err := time.Parse(time.RFC3339Nano, deleted); err == nil {
			when = at.UTC().Format(time.RFC3339)
		}
		return fault.New(fault.NotFound, "the latest version of %q in mount %q was deleted (%s): "+
			"restore it with \"vault kv undelete\", or write a new one", g.Path, g.Mount, when)
	}
	if _, err := jsonptr.Lookup(body, "/data/metadata"); err == nil {
		return fault.New(fault.NotFound, "the latest version of %q in mount %q is empty",
			g.Path, g.Mount)
	}
	m := c.lookUpMount(ctx, l, g.Mount)
	switch {
	case m.version == "" && m.kind != "" && m.kind != "kv" && m.kind != "generic":
		return fault.New(fault.Unsupported, "mount %q is not a key/value engine", g.Mount)
	case m.version != "2" && m.kind != "":
		return kvVersion1Error(g)
	case strings.Contains(errorMessages(body), "no handler for route"):
		return fault.New(fault.NotFound, "there is no secrets engine at mount %q%s", g.Mount,
			c.baseHint())
	}
	hint := ""
	if short := strings.Trim(m.path, "/"); short != "" && strings.HasPrefix(g.Mount, short+"/") {
		hint = "; the mount's path is only \"" + short + "\""
	} else if strings.HasPrefix(g.Path, "data/") || strings.HasPrefix(g.Path, g.Mount+"/") {
		hint = "; write path without the mount and without \"data/\""
	}
	return fault.New(fault.NotFound, "no secret at path %q in mount %q%s", g.Path, g.Mount, hint)
}

// mountInfo describes a mount. It is zero if nothing is known.
type mountInfo struct{ kind, version, path string }

// mountLookupTimeout limits the lookup of a mount, which only improves an error
// message.
const mountLookupTimeout = 2 * time.Second

// lookUpMount returns the description of a mount. It is called only after a read
// that found nothing.
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

// notFromVault returns an error if an answer is not from Vault: the page of a proxy
// or firewall must not be taken for Vault's refusal, or for a secret.
func (s *server) notFromVault(got answer) error {
	host := s.name()
	if got.status >= 300 && got.status < 400 {
		return fault.New(fault.Unavailable, "%s answered with status %d without a usable redirect: "+
			"is a login page in between?", host, got.status).Permanently()
	}
	if isTransient(got.status) {
		return nil
	}
	why, bad := errors.AsType[*fault.Error](jsonptr.Valid(got.body))
	switch {
	case !bad && (got.status == http.StatusOK || isVaultError(got.status, got.body)):
		return nil
	case !bad:
		return fault.New(fault.Unavailable, "%s answered with status %d in JSON that is not Vault's: "+
			"is a proxy or a gateway in between?", host, got.status).Permanently()
	case s.endpoint.Scheme == "http" &&
		strings.HasPrefix(string(got.body), "Client sent an HTTP request to an HTTPS server"):
		return fault.New(fault.Unavailable, "%s speaks https: write https:// in endpoint", host).
			Permanently()
	}
	return fault.New(fault.Unavailable, "%s answered with status %d, but not in Vault's JSON (%s): "+
		"is a proxy or a login page in between?", host, got.status, why.Text).Permanently()
}

// isVaultError reports whether a body has the form of Vault's errors: a list of
// messages, or the envelope of every answer, as for a deleted version, and no
// member that Vault does not send.
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
		return json.Unmarshal(text, &messages) == nil &&
			(len(messages) > 0 || messages != nil && status == http.StatusNotFound)
	}
	return members["request_id"] != nil && members["lease_duration"] != nil && members["data"] != nil
}

// vaultMembers are the members of Vault's answers and errors.
var vaultMembers = []string{
	"request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth",
	"errors", "mount_type",
}

// checkLoginAnswer returns an error for an answer to a login that has status 200
// but is not from Vault, because it contains neither a login nor the members of
// Vault's answers. Such an answer does not refuse the login.
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
	return fault.New(fault.Unavailable, "%s answered the login with JSON that is not Vault's: "+
		"is a proxy or a gateway in between?", s.name()).Permanently()
}

// isTransient reports whether a status is that of a temporary failure. Status 412
// means that a node has not caught up; 472 and 473 are those of standbys.
func isTransient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusPreconditionFailed,
		http.StatusTooManyRequests:
		return true
	}
	return status >= 472
}

// unavailableError explains an answer with a transient status.
func (s *server) unavailableError(got answer) *fault.Error {
	host := s.name()
	var f *fault.Error
	switch {
	case strings.Contains(errorMessages(got.body), "Vault is sealed"):
		f = fault.New(fault.Unavailable, "Vault at %s is sealed: it must be unsealed", host)
	case got.status == http.StatusTooManyRequests:
		f = fault.New(fault.Unavailable, "Vault at %s limits the rate of requests", host)
	case got.status == 472 || got.status == 473:
		f = fault.New(fault.Unavailable, "Vault at %s is a standby that does not serve reads", host)
	default:
		f = fault.New(fault.Unavailable, "Vault at %s answered with status %d", host, got.status)
	}
	f.RetryAfter = httpguard.RetryAfter(got.header)
	return f
}

// errorMessages returns the messages in the body of an error, for matching against
// known ones.
func errorMessages(body []byte) string {
	var reply struct{ Errors []string }
	if json.Unmarshal(body, &reply) != nil {
		return ""
	}
	return strings.Join(reply.Errors, " ")
}
