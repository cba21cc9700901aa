package vaultkv

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api/auth/kubernetes"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
)

// The variables that the products read for a login, and their default values.
const (
	RoleVariable     = "SECRET_STORE_VAULT_KUBE_AUTH_ROLE"
	AuthPathVariable = "SECRET_STORE_VAULT_KUBE_AUTH_PATH"
	JWTPathVariable  = "SECRET_STORE_VAULT_KUBE_AUTH_JWT_PATH"

	defaultAuthPath = "kubernetes"
	defaultJWTPath  = "/var/run/secrets/kubernetes.io/serviceaccount/token"
)

// kubernetesLogin exchanges the pod's service account token for a Vault token.
type kubernetesLogin struct {
	settings Settings
	server   *server
	log      *slog.Logger
}

func newKubernetesLogin(settings Settings, s *server, log *slog.Logger) *login {
	k := &kubernetesLogin{settings: settings, server: s, log: log}
	return newLogin(k.login, s.name(), settings.Timeout, log)
}

func (k *kubernetesLogin) login(ctx context.Context) (*lease, error) {
	role := setting{k.settings.Role, "VaultOptions.Role", RoleVariable}
	if strings.TrimSpace(role.value()) == "" {
		return nil, fault.New(fault.Unauthenticated, "no role for the Kubernetes login: set %s (%s)",
			RoleVariable, droppedHint)
	}
	at := setting{k.settings.AuthPath, "VaultOptions.AuthPath", AuthPathVariable}
	file := setting{k.settings.JWTPath, "VaultOptions.JWTPath", JWTPathVariable}
	for _, s := range []setting{role, at, file} {
		if err := s.check(); err != nil {
			return nil, err
		}
	}
	path, ok := cleanAuthPath(cmp.Or(at.value(), defaultAuthPath))
	if !ok {
		return nil, fault.New(fault.Unauthenticated, "%s is not the path of an auth method",
			at.source())
	}
	jwt, err := readJWT(cmp.Or(file.value(), defaultJWTPath))
	if err != nil {
		return nil, err
	}
	name := strings.TrimSpace(role.value())
	method, err := kubernetes.NewKubernetesAuth(name, kubernetes.WithMountPath(path),
		kubernetes.WithServiceAccountToken(jwt))
	if err != nil {
		return nil, fault.New(fault.Unauthenticated, "the Kubernetes login cannot be set up")
	}
	start := time.Now()
	var got answer
	secret, err := method.Login(ctx, k.server.clientFor("", &got))
	if missed := k.server.requestError(got, err); missed != nil {
		return nil, missed
	}
	if got.status != http.StatusOK {
		return nil, k.loginError(got, name, path, jwt)
	}
	if err := k.server.checkLoginAnswer(got); err != nil {
		return nil, err
	}
	if err != nil || !hasToken(secret) {
		return nil, fault.New(fault.Unauthenticated,
			"the Kubernetes login at auth/%s returned no token%s",
			path, wrappedHint(got.body))
	}
	k.log.DebugContext(ctx, "vault login", "host", k.server.name(), "auth", path, "role", name,
		"lease", leaseDuration(secret.Auth))
	return newLease(secret.Auth, start, got.tokenUses()), nil
}

// cleanAuthPath returns the path of an auth method without surrounding slashes. It
// reports false for a path with empty or dot segments.
func cleanAuthPath(path string) (string, bool) {
	path = strings.Trim(strings.TrimSpace(path), "/")
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return "", false
		}
	}
	return path, true
}

// readJWT reads the pod's token, which Kubernetes replaces while the pod runs.
func readJWT(path string) (string, error) {
	const maxJWTSize = 64 << 10
	refuse := func(why string, cause error) (string, error) {
		return "", fault.New(fault.Unauthenticated,
			"the service account token %s %s: set %s, or mount it into the pod",
			fault.SafePath(path), why, JWTPathVariable).WithCause(httpguard.SanitizedCause(cause))
	}
	if looksLikeJWT(path) {
		return "", fault.New(fault.Unauthenticated,
			"%s contains a token; it must be the path of a file", JWTPathVariable)
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return refuse("does not exist", err)
	case err != nil:
		return refuse("cannot be read", err)
	case !info.Mode().IsRegular(): // opening a pipe would block until it has a writer
		return refuse("is not a file", nil)
	}
	f, err := os.Open(path)
	if err != nil {
		return refuse("cannot be read", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxJWTSize+1))
	jwt := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return refuse("cannot be read", err)
	case len(text) > maxJWTSize:
		return refuse("is larger than 64 KiB", nil)
	case jwt == "":
		return refuse("is empty", nil)
	}
	return jwt, nil
}

// looksLikeJWT reports whether text is three parts of base64url.
func looksLikeJWT(text string) bool {
	return strings.HasPrefix(text, "eyJ") && strings.Count(text, ".") == 2 &&
		!strings.ContainsAny(text, "/\\ \n")
}

// loginError explains why Vault did not accept a login. Vault's messages are
// matched, but not repeated.
func (k *kubernetesLogin) loginError(got answer, role, path, jwt string) error {
	if err := k.server.notFromVault(got); err != nil {
		return err
	}
	refused := func(format string, args ...any) error {
		return fault.New(fault.Unauthenticated, "Vault refuses the Kubernetes login: "+format, args...)
	}
	messages := errorMessages(got.body)
	switch {
	case strings.Contains(messages, "could not load backend configuration"):
		return refused("the auth method at auth/%s has no configuration: "+
			"write kubernetes_host to auth/%s/config", path, path)
	case isTransient(got.status):
		return k.server.unavailableError(got)
	case strings.Contains(messages, "namespace not authorized"):
		return refused("role %q is not bound to the pod's namespace (bound_service_account_namespaces)", role)
	case strings.Contains(messages, "service account name not authorized"):
		return refused("role %q is not bound to the pod's service account (bound_service_account_names)",
			role)
	case strings.Contains(messages, "invalid role name"),
		strings.Contains(messages, "could not load role"):
		return refused("there is no role %q at auth/%s: check %s", role, path, RoleVariable)
	case strings.Contains(messages, "audience"):
		return refused("the audience of the pod's token does not match that of role %q", role)
	case strings.Contains(messages, "token is expired"):
		return refused("the pod's token has expired: check the clocks, and that %s is the file that "+
			"Kubernetes renews", JWTPathVariable)
	case strings.Contains(messages, "not yet valid"):
		return refused("the pod's token is not valid yet: check the clocks")
	}
	hint := ""
	if !looksLikeJWT(jwt) {
		hint = "; the file does not contain a JWT"
	}
	return refused("status %d for role %q at auth/%s: check that the auth method is enabled there "+
		"(%s), that Vault may review tokens, that the Kubernetes API server can be reached, "+
		"and that the cluster accepts the pod's token%s%s",
		got.status, role, path, AuthPathVariable, hint, k.server.baseHint())
}
