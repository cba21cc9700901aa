package fakevault

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed74218947/secretref/internal/test/inproc"
)

// An account is a service account as a JWT or the cluster names it.
type account struct{ namespace, name, uid string }

// jwtAlgorithms are those that Vault reads. It leaves the check of the
// signature to the cluster.
var jwtAlgorithms = []string{
	"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA",
}

// leeway is how far a JWT's clock may be off.
const leeway = time.Minute

// parseJWT returns the account a JWT is for, after the checks that Vault makes
// before it asks the cluster.
func parseJWT(jwt, audience string, now time.Time) (account, *failure) {
	var header struct {
		Algorithm string `json:"alg"`
	}
	var claims struct {
		Audience   audiences   `json:"aud"`
		Expires    json.Number `json:"exp"`
		NotBefore  json.Number `json:"nbf"`
		Kubernetes struct {
			Namespace string `json:"namespace"`
			Account   struct {
				Name string `json:"name"`
				UID  string `json:"uid"`
			} `json:"serviceaccount"`
		} `json:"kubernetes.io"`

		// The claims of tokens that live in a Secret.
		Namespace string `json:"kubernetes.io/serviceaccount/namespace"`
		Name      string `json:"kubernetes.io/serviceaccount/service-account.name"`
		UID       string `json:"kubernetes.io/serviceaccount/service-account.uid"`
	}
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 || !decodePart(parts[0], &header) || !decodePart(parts[1], &claims) ||
		!slices.Contains(jwtAlgorithms, header.Algorithm) {
		return account{}, fail(http.StatusForbidden, "permission denied")
	}
	expires, _ := claims.Expires.Int64()
	notBefore, _ := claims.NotBefore.Int64()
	switch {
	case audience != "" && !slices.Contains(claims.Audience, audience):
		return account{}, fail(http.StatusForbidden,
			"invalid audience (aud) claim: audience claim does not match any expected audience")
	case notBefore != 0 && now.Add(leeway).Before(time.Unix(notBefore, 0)):
		return account{},
			fail(http.StatusForbidden, "invalid not before (nbf) claim: token not yet valid")
	case expires != 0 && now.Add(-leeway).After(time.Unix(expires, 0)):
		return account{},
			fail(http.StatusForbidden, "invalid expiration time (exp) claim: token is expired")
	}
	if claims.Namespace != "" || claims.Name != "" {
		return account{claims.Namespace, claims.Name, claims.UID}, nil
	}
	k := claims.Kubernetes
	return account{k.Namespace, k.Account.Name, k.Account.UID}, nil
}

// decodePart reads one part of a JWT into v.
func decodePart(part string, v any) bool {
	text, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(text, v) == nil
}

// audiences are one string or a list of them.
type audiences []string

func (a *audiences) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audiences{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a))
}

// review asks the cluster whose JWT it is, with the TokenReview of
// https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/.
// The answer is the zero account unless the cluster vouches for it.
func (c kubeConfig) review(ctx context.Context, client *http.Client, jwt, audience string) account {
	spec := map[string]any{"token": jwt}
	if audience != "" {
		spec["audiences"] = []string{audience}
	}
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{}, "spec": spec, "status": map[string]any{"user": map[string]any{}},
	})
	if err != nil {
		return account{}
	}
	const path = "/apis/authentication.k8s.io/v1/tokenreviews"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.host, "/")+path,
		bytes.NewReader(body))
	if err != nil {
		return account{}
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	bearer := c.reviewerJWT
	if bearer == "" {
		bearer = jwt
	}
	r.Header.Set("Authorization", "Bearer "+bearer)

	defer client.CloseIdleConnections()
	answer, err := client.Do(r)
	if err != nil {
		return account{}
	}
	defer func() { _ = answer.Body.Close() }()
	var reviewed struct {
		Status struct {
			Authenticated bool     `json:"authenticated"`
			Audiences     []string `json:"audiences"`
			Error         string   `json:"error"`
			User          struct {
				Username string `json:"username"`
				UID      string `json:"uid"`
			} `json:"user"`
		} `json:"status"`
	}
	if answer.StatusCode < 200 || answer.StatusCode > 206 ||
		json.NewDecoder(answer.Body).Decode(&reviewed) != nil {
		return account{}
	}
	status := reviewed.Status
	if !status.Authenticated || status.Error != "" ||
		audience != "" && !slices.Contains(status.Audiences, audience) {
		return account{}
	}
	name, ok := strings.CutPrefix(status.User.Username, "system:serviceaccount:")
	parts := strings.Split(name, ":")
	if !ok || len(parts) != 2 {
		return account{}
	}
	return account{namespace: parts[0], name: parts[1], uid: status.User.UID}
}

// client returns one that asks cluster, or over the network and trusting the
// configured CA if that is nil.
func (c kubeConfig) client(cluster http.Handler) *http.Client {
	if cluster != nil {
		return &http.Client{Transport: inproc.Transport{Handler: cluster}}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != "" {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM([]byte(c.ca))
	}
	// No proxy from the environment: the fake never sends anything elsewhere.
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
}
