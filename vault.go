package secretref

import (
	"context"
	"fmt"

	"github.com/hashicorp/vault/api"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// A VaultReference names one key of a secret in a KV version 2 engine of
// HashiCorp Vault. The latest version is read with GET
// {endpoint}/v1/{mount}/data/{path}; a policy must allow "read" on
// {mount}/data/{path}.
type VaultReference struct {
	// Mount is the mount path of the engine, for example "secret". Required.
	Mount string

	// Path is the path of the secret, without the mount and without "data/".
	// Required.
	Path string

	// Key is the key inside the secret. Required.
	Key string

	// Endpoint is the base URL of the server, https unless it is on this
	// machine, or the Unix socket of a Vault Agent or Proxy (unix:///run/vault.sock).
	// Required: VAULT_ADDR is not used.
	Endpoint string

	// AuthenticationType is how to log in. The zero value is VaultToken.
	AuthenticationType VaultAuth
}

// String returns the canonical form, which [Parse] takes back.
func (r VaultReference) String() string { return r.toRef().String() }

func (VaultReference) reference() {}

func (r VaultReference) toRef() ref.Reference {
	return ref.Reference{Kind: ref.Vault, Mount: r.Mount, Path: r.Path, Key: r.Key,
		Endpoint: r.Endpoint, Auth: r.AuthenticationType.String()}
}

// VaultAuth is a way to authenticate to Vault.
type VaultAuth uint8

const (
	// VaultToken uses a token: that of [VaultOptions].Token, of a login by
	// [VaultOptions].Auth, or of the environment variable SECRET_STORE_VAULT_TOKEN.
	// VAULT_TOKEN is not used.
	VaultToken VaultAuth = iota

	// VaultKubernetes logs in with the service account token of the pod.
	VaultKubernetes
)

// String returns the value of authenticationType, "TOKEN" or "KUBERNETES".
func (a VaultAuth) String() string {
	switch a {
	case VaultToken:
		return ref.TokenAuth
	case VaultKubernetes:
		return ref.KubernetesAuth
	}
	return fmt.Sprintf("VaultAuth(%d)", uint8(a))
}

// VaultOptions say who asks Vault. The zero value reads what the products read
// from the environment, when it is needed.
//
// Of Vault's own variables those about TLS (VAULT_CACERT, VAULT_CACERT_BYTES,
// VAULT_CAPATH, VAULT_CLIENT_CERT, VAULT_CLIENT_KEY, VAULT_TLS_SERVER_NAME,
// VAULT_SKIP_VERIFY), VAULT_NAMESPACE and VAULT_HEADERS are honoured. They are
// read once, when an endpoint is first asked; the files that they name are read
// again when they change, and new connections use them. VAULT_ADDR, VAULT_AGENT_ADDR,
// VAULT_PROXY_ADDR, VAULT_TOKEN and the rest have no effect. HTTPS_PROXY and
// NO_PROXY count for https; plain http never goes through a proxy.
//
// A token that Vault refuses is followed by one new login, or one more call of
// Token. A path that is denied to a token which is only seconds old makes neither,
// and neither is made again for the path during a pause of one minute, which
// doubles up to 15 minutes.
//
// Vault answers a Kubernetes login with the same 403, "permission denied",
// whether the cluster does not know the pod's token or the Kubernetes API server
// cannot be reached. Both are therefore ErrUnauthenticated, which MaxStale does
// not cover. A token that was given out before is used until it ends: a role's
// token_ttl that is longer than the outages of the cluster bridges them.
type VaultOptions struct {
	// Token returns the token for TOKEN authentication. It is called for every
	// fetch, and once more with the same context when its token was refused, so
	// that it can hand out a newer one; again if others have used that one up. All
	// tokens must be of one identity: secrets are kept by reference, so a token for
	// each tenant would give one tenant the secrets of another, see [Options]. An
	// error that wraps ErrUnavailable, or comes from the network, is tried again. If
	// nil, SECRET_STORE_VAULT_TOKEN is used.
	Token func(ctx context.Context) (string, error)

	// Auth logs in for references with TOKEN authentication, in place of a token.
	// HashiCorp publishes methods for AppRole, AWS, Azure, GCP, LDAP, user names and
	// others below github.com/hashicorp/vault/api/auth. KUBERNETES references do
	// not use it. One login serves all references to an endpoint; it is replaced
	// before its lease ends, and when Vault refuses its token.
	//
	// A method posts its credentials to the endpoint that a reference names, so it
	// needs [Options].AllowEndpoint: without one, references are ErrDenied. Login is
	// called with a client of its own, which it may change: without a token, with
	// the namespace, without retries, and redirected only where AllowEndpoint
	// accepts it. Only one Login runs at a time. It must return when its context
	// ends. What its errors say is kept out of messages; one that wraps
	// ErrUnavailable, or comes from the network, is tried again. A login without a
	// token is ErrUnauthenticated.
	//
	// New panics if both Auth and Token are set.
	Auth api.AuthMethod

	// NoToken sends no token for TOKEN authentication: the endpoint is a Vault Agent
	// or Proxy whose auto-auth adds its own. New panics if Token or Auth is set, too.
	//
	// An endpoint may be a Unix socket (unix:///run/vault.sock), whatever the
	// authentication, if [Options].AllowEndpoint is set and accepts it; without one
	// it is ErrDenied. No redirect is followed from there.
	NoToken bool

	// RenewToken keeps the token that is in use alive, whether from Token or the
	// environment: from its first use on, a background task asks Vault when it
	// ends (auth/token/lookup-self) and renews it (auth/token/renew-self) when
	// two thirds of what is left have passed, up to its max TTL. A token that can be
	// used only a number of times loses one with each of these calls. The log is
	// told when a token that cannot be renewed any more has a day left, an hour, and
	// when it has ended. If false, somebody else renews it, or nobody, and nothing
	// is asked about it. Logins of VaultKubernetes and of Auth are replaced before
	// they end and need no such care.
	RenewToken bool

	// Role is the role of the Kubernetes login. Empty:
	// SECRET_STORE_VAULT_KUBE_AUTH_ROLE.
	Role string

	// AuthPath is the mount path of the Kubernetes auth method. Empty:
	// SECRET_STORE_VAULT_KUBE_AUTH_PATH, else "kubernetes".
	AuthPath string

	// JWTPath is the file with the pod's service account token, read again at
	// every login. Empty: SECRET_STORE_VAULT_KUBE_AUTH_JWT_PATH, else
	// /var/run/secrets/kubernetes.io/serviceaccount/token.
	JWTPath string

	// Namespace is the namespace of Vault Enterprise; other editions ignore it
	// without a word. Empty: VAULT_NAMESPACE.
	Namespace string
}

// check panics on a mistake in the program.
func (o *VaultOptions) check() {
	switch {
	case o.Auth != nil && o.Token != nil:
		panic("secretref: VaultOptions has both Auth and Token")
	case o.NoToken && (o.Auth != nil || o.Token != nil):
		panic("secretref: VaultOptions has NoToken, and Auth or Token")
	}
}

// String says what is set, without credentials.
func (o VaultOptions) String() string {
	shown := o.JWTPath
	if shown != "" {
		shown = fault.SafePath(shown)
	}
	return fmt.Sprintf("{Token:%s Auth:%s NoToken:%t RenewToken:%t Role:%q AuthPath:%q JWTPath:%q Namespace:%q}",
		presence(o.Token != nil), presence(o.Auth != nil), o.NoToken, o.RenewToken, o.Role, o.AuthPath, shown, o.Namespace)
}

// Format writes String for every verb: an Auth may hold credentials.
func (o VaultOptions) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, o.String()) }
