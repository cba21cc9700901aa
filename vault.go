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

	// Endpoint is the base URL of the server, with https unless it is on this machine,
	// or the Unix socket of a Vault Agent or Proxy (unix:///run/vault.sock). Required;
	// VAULT_ADDR is not used.
	Endpoint string

	// AuthenticationType is the kind of authentication. The zero value is VaultToken.
	AuthenticationType VaultAuth
}

// String returns the canonical form, which [Parse] accepts.
func (v VaultReference) String() string { return v.toRef().String() }

func (VaultReference) reference() {}

func (v VaultReference) toRef() ref.Reference {
	return ref.Reference{Kind: ref.Vault, Mount: v.Mount, Path: v.Path, Key: v.Key,
		Endpoint: v.Endpoint, Auth: v.AuthenticationType.String()}
}

// VaultAuth is a way to authenticate to Vault.
type VaultAuth uint8

const (
	// VaultToken uses the token from [VaultOptions].Token, from a login by
	// [VaultOptions].Auth, or from the environment variable SECRET_STORE_VAULT_TOKEN.
	// VAULT_TOKEN is not used.
	VaultToken VaultAuth = iota

	// VaultKubernetes logs in with the service account token of the pod.
	VaultKubernetes
)

// String returns the value of authenticationType, "TOKEN" or "KUBERNETES".
func (v VaultAuth) String() string {
	switch v {
	case VaultToken:
		return ref.TokenAuth
	case VaultKubernetes:
		return ref.KubernetesAuth
	}
	return fmt.Sprintf("VaultAuth(%d)", uint8(v))
}

// VaultOptions configure authentication to Vault. The zero value uses the same
// environment variables as the products, and reads them when they are needed.
//
// Of Vault's own variables those for TLS (VAULT_CACERT, VAULT_CACERT_BYTES,
// VAULT_CAPATH, VAULT_CLIENT_CERT, VAULT_CLIENT_KEY, VAULT_TLS_SERVER_NAME,
// VAULT_SKIP_VERIFY), VAULT_NAMESPACE and VAULT_HEADERS are honored. They are read
// once, when an endpoint is first used. The files that they name are reloaded when
// they change, and new connections use them. VAULT_ADDR, VAULT_AGENT_ADDR,
// VAULT_PROXY_ADDR, VAULT_TOKEN and all others have no effect. HTTPS_PROXY and
// NO_PROXY apply to https; plain http is never sent through a proxy.
//
// If Vault refuses a token, there is one new login, or one more call of Token. If a
// path is denied to a token that is only seconds old, there is neither, and the path
// causes neither during a pause of one minute, which doubles up to 15 minutes.
//
// Vault answers a Kubernetes login with the same 403, "permission denied", if the
// cluster does not recognize the pod's token and if the Kubernetes API server cannot
// be reached. The error is ErrUnauthenticated in both cases, so MaxStale does not
// apply. An earlier token is used until it expires: a token_ttl of the role that is
// longer than outages of the cluster bridges them.
type VaultOptions struct {
	// Token returns the token for TOKEN authentication. It is called for every fetch,
	// and once more with the same context if its token was refused, so that it can
	// return a newer one; again if others have used that one up. All tokens must
	// belong to one identity: secrets are cached by reference, so with a token for
	// each tenant one tenant would get the secrets of another, see [Options]. An error
	// that wraps ErrUnavailable or comes from the network is retried. If nil,
	// SECRET_STORE_VAULT_TOKEN is used.
	Token func(ctx context.Context) (string, error)

	// Auth logs in for references with TOKEN authentication, instead of a token.
	// HashiCorp publishes methods for AppRole, AWS, Azure, GCP, LDAP, user names and
	// others below github.com/hashicorp/vault/api/auth. KUBERNETES references do not
	// use it. One login serves all references to an endpoint. It is replaced before
	// its lease expires, and when Vault refuses its token.
	//
	// A method posts its credentials to the endpoint of a reference, so it requires
	// [Options].AllowEndpoint: without that, the error is ErrDenied. Login is called
	// with its own client, which it may modify: without a token, with the namespace,
	// without retries, and redirected only to endpoints that AllowEndpoint accepts.
	// Only one Login runs at a time. It must return when its context ends. The text of
	// its errors is kept out of messages; an error that wraps ErrUnavailable or comes
	// from the network is retried. A login that returns no token is
	// ErrUnauthenticated.
	//
	// New panics if both Auth and Token are set.
	Auth api.AuthMethod

	// NoToken sends no token for TOKEN authentication: the endpoint is a Vault Agent or
	// Proxy whose auto-auth adds its own. New panics if Token or Auth is also set.
	//
	// With any kind of authentication, an endpoint may be a Unix socket
	// (unix:///run/vault.sock) if [Options].AllowEndpoint is set and accepts it;
	// otherwise the error is ErrDenied. Redirects from a socket are not followed.
	NoToken bool

	// RenewToken renews the token in use, whether from Token or from the environment.
	// After its first use, a background task looks up its TTL (auth/token/lookup-self)
	// and renews it (auth/token/renew-self) after two thirds of the remaining time, up
	// to its max TTL. If the number of uses of a token is limited, each of these calls
	// costs one. If a token can no longer be renewed, the log gets a warning a day and
	// an hour before it expires, and when it has expired. If false, the token is
	// neither renewed nor looked up. The logins of VaultKubernetes and Auth are
	// replaced before they expire and do not need RenewToken.
	RenewToken bool

	// Role is the role of the Kubernetes login. If empty,
	// SECRET_STORE_VAULT_KUBE_AUTH_ROLE is used.
	Role string

	// AuthPath is the mount path of the Kubernetes auth method. If empty,
	// SECRET_STORE_VAULT_KUBE_AUTH_PATH is used, or "kubernetes" if that is not set.
	AuthPath string

	// JWTPath is the file with the pod's service account token, which is read at every
	// login. If empty, SECRET_STORE_VAULT_KUBE_AUTH_JWT_PATH is used, or
	// /var/run/secrets/kubernetes.io/serviceaccount/token if that is not set.
	JWTPath string

	// Namespace is the namespace of Vault Enterprise; other editions silently ignore
	// it. If empty, VAULT_NAMESPACE is used.
	Namespace string
}

// check panics on a mistake in the program.
func (v *VaultOptions) check() {
	switch {
	case v.Auth != nil && v.Token != nil:
		panic("secretref: VaultOptions has both Auth and Token")
	case v.NoToken && (v.Auth != nil || v.Token != nil):
		panic("secretref: VaultOptions has NoToken, and Auth or Token")
	}
}

// String lists the options that are set, without credentials.
func (v VaultOptions) String() string {
	shown := v.JWTPath
	if shown != "" {
		shown = fault.SafePath(shown)
	}
	return fmt.Sprintf("{Token:%s Auth:%s NoToken:%t RenewToken:%t Role:%q AuthPath:%q JWTPath:%q Namespace:%q}",
		presence(v.Token != nil), presence(v.Auth != nil), v.NoToken, v.RenewToken, v.Role, v.AuthPath,
		shown, v.Namespace)
}

// Format writes String for every verb, since Auth may hold credentials.
func (v VaultOptions) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, v.String()) }
