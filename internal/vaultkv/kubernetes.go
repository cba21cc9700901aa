package vaultkv

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/kubernetes"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/flight"
	"github.com/seed74218947/secretref/internal/retry"
)

// The variables that the products read for a login, and what they take where
// one is not set.
const (
	RoleVariable     = "SECRET_STORE_VAULT_KUBE_AUTH_ROLE"
	AuthPathVariable = "SECRET_STORE_VAULT_KUBE_AUTH_PATH"
	JWTPathVariable  = "SECRET_STORE_VAULT_KUBE_AUTH_JWT_PATH"

	defaultAuthPath = "kubernetes"
	defaultJWTPath  = "/var/run/secrets/kubernetes.io/serviceaccount/token"
)

const (
	// earlyWait is how long one caller waits for a new token while the old one is
	// still good. It leaves time for the read where a caller has 3 s for both.
	earlyWait = 2 * time.Second
	// margin is how long before its end a token is not used any more, so that a
	// request arrives with it; for short ones it is a tenth.
	margin = 10 * time.Second
)

// kubernetesLogin exchanges the pod's service account token for one of Vault,
// once for all who ask. A token is replaced, not renewed: a login costs one call
// as well, shows Vault the pod's present token, and knows no max TTL. Nothing
// runs in the background: from two thirds of a token's life on, one of those who
// ask for it makes the login, and the others go on with the old one.
type kubernetesLogin struct {
	settings Settings
	server   *server
	log      *slog.Logger
	logins   *flight.Group[string, lease]

	mu      sync.Mutex
	current lease
	next    time.Time // when to try to replace current early; zero: never
}

// lease is a token with its times; zero times never come.
type lease struct {
	token string
	stale time.Time // it is better replaced from then on
	ends  time.Time
}

func (l lease) good(refused string) bool {
	return l.token != "" && l.token != refused && (l.ends.IsZero() || time.Now().Before(l.ends))
}

func newKubernetes(settings Settings, s *server, log *slog.Logger) *kubernetesLogin {
	return &kubernetesLogin{settings: settings, server: s, log: log, logins: flight.New[string, lease](settings.Timeout, log)}
}

func (k *kubernetesLogin) close() { k.logins.Close() }

func (k *kubernetesLogin) used(string) {}

func (k *kubernetesLogin) token(ctx context.Context) (string, error) {
	if old, due := k.claim(); due {
		if _, err := k.replace(ctx, old.token, once); err != nil && ctx.Err() == nil {
			k.postpone(ctx, old, err)
		}
	}
	return k.again(ctx, "")
}

// again returns the present token unless it is the refused one or has ended.
func (k *kubernetesLogin) again(ctx context.Context, refused string) (string, error) {
	present := k.present()
	if present.good(refused) {
		return present.token, nil
	}
	// The retries are in the flight: those of all who wait would be as many
	// logins.
	got, err := k.replace(ctx, present.token, retry.Do)
	return got.token, err
}

// claim reports whether it is for the caller to replace the present token
// before it ends. While one does, the others have no reason to wait.
func (k *kubernetesLogin) claim() (lease, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if !k.current.good("") || k.next.IsZero() || now.Before(k.next) {
		return lease{}, false
	}
	k.next = now.Add(earlyWait)
	return k.current, true
}

// postpone puts the next early login off after one that failed. The pauses
// shorten with what is left, so that there are not many of them, nor none in
// time.
func (k *kubernetesLogin) postpone(ctx context.Context, old lease, err error) {
	pause := max(time.Until(old.ends)/3, time.Second)
	pause -= rand.N(pause / 4) // the pods of a cluster fail at one time
	asked, _ := fault.Transient(err)
	k.mu.Lock()
	if k.current.token == old.token {
		k.next = time.Now().Add(max(pause, asked))
	}
	k.mu.Unlock()
	k.log.WarnContext(ctx, "no new vault login; the old one is used on until it ends", "host", k.server.endpoint.Host,
		"ends", stamp(old.ends), "error", err.Error())
}

// replace makes a login in place of the old token. One flight replaces one
// token, for all who were refused with it.
func (k *kubernetesLogin) replace(ctx context.Context, old string, try func(context.Context, func(context.Context) error) (int, error)) (lease, error) {
	return k.logins.Join(ctx, old, func(ctx context.Context, failed func(error)) (lease, error) {
		if l := k.present(); l.good(old) {
			return l, nil // another flight ended just before this one began
		}
		var made lease
		_, err := try(ctx, func(ctx context.Context) (err error) {
			if made, err = k.login(ctx); err != nil {
				failed(err)
			}
			return err
		})
		if err == nil {
			k.mu.Lock()
			k.current, k.next = made, made.stale
			k.mu.Unlock()
		}
		return made, err
	}).Wait(ctx)
}

// once is retry.Do for a login that can wait.
func once(ctx context.Context, attempt func(context.Context) error) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, earlyWait)
	defer cancel()
	return 1, attempt(ctx)
}

func (k *kubernetesLogin) present() lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

func (k *kubernetesLogin) login(ctx context.Context) (lease, error) {
	role := strings.TrimSpace(cmp.Or(k.settings.Role, os.Getenv(RoleVariable)))
	if role == "" {
		return lease{}, fault.New(fault.Unauthenticated, "no role for the Kubernetes login: set %s (%s)", RoleVariable, dropped)
	}
	path, ok := authPath(cmp.Or(k.settings.AuthPath, os.Getenv(AuthPathVariable), defaultAuthPath))
	if !ok {
		return lease{}, fault.New(fault.Unauthenticated, "%s is not the path of an auth method", AuthPathVariable)
	}
	jwt, err := readJWT(cmp.Or(k.settings.JWTPath, os.Getenv(JWTPathVariable), defaultJWTPath))
	if err != nil {
		return lease{}, err
	}
	method, err := kubernetes.NewKubernetesAuth(role, kubernetes.WithMountPath(path), kubernetes.WithServiceAccountToken(jwt))
	if err != nil {
		return lease{}, fault.New(fault.Unauthenticated, "the Kubernetes login cannot be set up")
	}
	start := time.Now()
	var got answer
	secret, err := method.Login(ctx, k.server.with("", &got))
	if missed := k.server.missed(got, err); missed != nil {
		return lease{}, missed
	}
	if got.status != http.StatusOK {
		return lease{}, k.refused(got, role, path, jwt)
	}
	if err := k.server.foreign(got); err != nil {
		return lease{}, err
	}
	if err != nil || secret == nil || secret.Auth == nil || secret.Auth.ClientToken == "" || unprintable(secret.Auth.ClientToken) {
		return lease{}, fault.New(fault.Unauthenticated, "the Kubernetes login at auth/%s brought no token", path)
	}
	return k.leased(ctx, secret.Auth, start, path, role), nil
}

// leased returns the token of a login that began at start.
func (k *kubernetesLogin) leased(ctx context.Context, auth *api.SecretAuth, start time.Time, path, role string) lease {
	made := lease{token: auth.ClientToken}
	d := time.Duration(auth.LeaseDuration) * time.Second
	if d > 0 {
		// Pods that start together do not all log in again together.
		made.stale = start.Add(d*2/3 - rand.N(d/20))
		made.ends = start.Add(d - min(d/10, margin))
	}
	k.log.DebugContext(ctx, "vault login", "host", k.server.endpoint.Host, "auth", path, "role", role, "lease", d)
	return made
}

// authPath returns the path of an auth method without slashes around it,
// unless it would lead elsewhere.
func authPath(path string) (string, bool) {
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
	const most = 64 << 10
	refuse := func(why string, cause error) (string, error) {
		return "", fault.New(fault.Unauthenticated, "the service account token %s %s: set %s, or mount it into the pod", fault.Path(path), why, JWTPathVariable).Because(cause)
	}
	if looksLikeJWT(path) {
		return "", fault.New(fault.Unauthenticated, "%s holds a token; it is the path of a file that is wanted", JWTPathVariable)
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return refuse("does not exist", err)
	case err != nil:
		return refuse("cannot be read", err)
	case !info.Mode().IsRegular(): // to open a pipe would wait for its writer
		return refuse("is not a file", nil)
	}
	f, err := os.Open(path)
	if err != nil {
		return refuse("cannot be read", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	jwt := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return refuse("cannot be read", err)
	case len(text) > most:
		return refuse("is larger than 64 KiB", nil)
	case jwt == "":
		return refuse("is empty", nil)
	}
	return jwt, nil
}

// looksLikeJWT reports whether text is three parts of base64url.
func looksLikeJWT(text string) bool {
	return strings.HasPrefix(text, "eyJ") && strings.Count(text, ".") == 2 && !strings.ContainsAny(text, "/\\ \n")
}

// refused says why Vault did not accept a login. Vault's own words are
// matched, not repeated.
func (k *kubernetesLogin) refused(got answer, role, path, jwt string) error {
	if err := k.server.foreign(got); err != nil {
		return err
	}
	no := func(format string, args ...any) error {
		return fault.New(fault.Unauthenticated, "Vault refuses the Kubernetes login: "+format, args...)
	}
	said := spoken(got.body)
	switch {
	case strings.Contains(said, "could not load backend configuration"):
		return no("the auth method at auth/%s has no configuration: write kubernetes_host to auth/%s/config", path, path)
	case passing(got.status):
		return k.server.unavailable(got)
	case strings.Contains(said, "namespace not authorized"):
		return no("role %q is not bound to the pod's namespace (bound_service_account_namespaces)", role)
	case strings.Contains(said, "service account name not authorized"):
		return no("role %q is not bound to the pod's service account (bound_service_account_names)", role)
	case strings.Contains(said, "invalid role name"), strings.Contains(said, "could not load role"):
		return no("there is no role %q at auth/%s: check %s", role, path, RoleVariable)
	case strings.Contains(said, "audience"):
		return no("the audience of the pod's token is not that of role %q", role)
	case strings.Contains(said, "token is expired"):
		return no("the pod's token has expired: check that %s names the file that Kubernetes renews, and the clocks", JWTPathVariable)
	case strings.Contains(said, "not yet valid"):
		return no("the pod's token is not valid yet: check the clocks")
	}
	hint := ""
	if !looksLikeJWT(jwt) {
		hint = "; the file that was read does not hold a JWT"
	}
	return no("status %d for role %q at auth/%s: check that the auth method is enabled there (%s), that Vault may review tokens, "+
		"and that the cluster accepts the pod's token%s", got.status, role, path, AuthPathVariable, hint)
}
