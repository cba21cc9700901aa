package secretref

import (
	"context"
	"fmt"

	"github.com/seed74218947/secretref/internal/coord"
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
	// machine. Required: VAULT_ADDR is not used.
	Endpoint string

	// AuthenticationType is how to log in. The zero value is VaultToken.
	AuthenticationType VaultAuth
}

// String returns the canonical form, which [Parse] takes back.
func (r VaultReference) String() string { return r.coord().String() }

func (VaultReference) reference() {}

func (r VaultReference) coord() coord.Reference {
	return coord.Reference{Kind: coord.Vault, Mount: r.Mount, Path: r.Path, Key: r.Key,
		Endpoint: r.Endpoint, Auth: r.AuthenticationType.String()}
}

// VaultAuth is a way to authenticate to Vault.
type VaultAuth uint8

const (
	// VaultToken uses a token: that of [VaultOptions].Token, or of the
	// environment variable SECRET_STORE_VAULT_TOKEN. VAULT_TOKEN is not used.
	VaultToken VaultAuth = iota

	// VaultKubernetes logs in with the service account token of the pod.
	VaultKubernetes
)

// String returns the value of authenticationType, "TOKEN" or "KUBERNETES".
func (a VaultAuth) String() string {
	switch a {
	case VaultToken:
		return coord.TokenAuth
	case VaultKubernetes:
		return coord.KubernetesAuth
	}
	return fmt.Sprintf("VaultAuth(%d)", uint8(a))
}

// VaultOptions say who asks Vault. The zero value reads what the products read
// from the environment, when it is needed.
//
// Of Vault's own variables those about TLS (VAULT_CACERT, VAULT_CACERT_BYTES,
// VAULT_CAPATH, VAULT_CLIENT_CERT, VAULT_CLIENT_KEY, VAULT_TLS_SERVER_NAME,
// VAULT_SKIP_VERIFY), VAULT_NAMESPACE and VAULT_HEADERS are honoured. They are
// read once, when an endpoint is first asked. VAULT_ADDR, VAULT_AGENT_ADDR,
// VAULT_PROXY_ADDR, VAULT_TOKEN and the rest have no effect. HTTPS_PROXY and
// NO_PROXY count for https; plain http never goes through a proxy.
type VaultOptions struct {
	// Token returns the token for TOKEN authentication. It is called for every
	// fetch, and once more with the same context when its token was refused, so
	// that it can hand out a newer one. All tokens must be of one identity: secrets
	// are kept by reference, so a token for each tenant would hand out those of
	// another, see [Options]. An error that wraps ErrUnavailable is tried again. Nil:
	// SECRET_STORE_VAULT_TOKEN.
	Token func(ctx context.Context) (string, error)

	// RenewToken keeps the token that is in use alive, whether from Token or the
	// environment: from its first use on, a background task asks Vault when it
	// ends (auth/token/lookup-self) and renews it (auth/token/renew-self) when
	// two thirds of what is left have passed, up to its max TTL. False: somebody
	// else renews it, or nobody; the end of a token that has been in use for a
	// minute is looked up only to be announced. Either way the log is told when a
	// token has a day left, an hour, and when it has ended. Logins of
	// VaultKubernetes are replaced before they end and need no such care.
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
