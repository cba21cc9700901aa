package e2e

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A cluster is a fake Kubernetes API that answers TokenReviews. It accepts the JWTs whose
// signature is [goodSignature].
type cluster struct{ url, ca string }

const (
	goodSignature = "Z29vZA"
	reviewerJWT   = "the-reviewers-jwt"
)

func startCluster(t *testing.T) cluster {
	t.Helper()
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Spec struct {
				Token     string   `json:"token"`
				Audiences []string `json:"audiences"`
			} `json:"spec"`
		}
		switch err := json.NewDecoder(r.Body).Decode(&review); {
		case err != nil || r.Method != http.MethodPost ||
			r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews":
			http.Error(w, "not a TokenReview", http.StatusNotFound)
			return
		case r.Header.Get("Authorization") != "Bearer "+reviewerJWT:
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		status := map[string]any{"authenticated": false, "error": "the signature is wrong"}
		if parts := strings.Split(review.Spec.Token, "."); len(parts) == 3 && parts[2] == goodSignature {
			var c claims
			text, _ := base64.RawURLEncoding.DecodeString(parts[1])
			_ = json.Unmarshal(text, &c)
			status = map[string]any{
				"authenticated": true,
				"audiences":     review.Spec.Audiences,
				"user": map[string]any{
					"username": "system:serviceaccount:" + c.Kubernetes.Namespace + ":" +
						c.Kubernetes.Account.Name,
					"uid": c.Kubernetes.Account.UID,
				},
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status,
		})
	}))
	t.Cleanup(web.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	return cluster{web.URL, string(ca)}
}

// config returns the body of a write to auth/kubernetes/config.
func (c cluster) config(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"kubernetes_host":      c.url,
		"kubernetes_ca_cert":   c.ca,
		"token_reviewer_jwt":   reviewerJWT,
		"disable_local_ca_jwt": true,
	})
	require.NoError(t, err)
	return string(text)
}

// claims are the claims of a pod's service account.
type claims struct {
	Audience   []string `json:"aud"`
	Expires    int64    `json:"exp"`
	NotBefore  int64    `json:"nbf"`
	Issued     int64    `json:"iat"`
	Kubernetes struct {
		Namespace string `json:"namespace"`
		Account   struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// jwt returns the token of the account app-sa in the namespace prod. If change is not nil, it
// modifies the claims.
func jwt(t *testing.T, change func(*claims)) string {
	t.Helper()
	c := claims{Audience: []string{"vault"}, Expires: 4e9, NotBefore: 1.7e9, Issued: 1.7e9}
	c.Kubernetes.Namespace = "prod"
	c.Kubernetes.Account.Name = "app-sa"
	c.Kubernetes.Account.UID = "5c1b4d52-0d6c-4b7e-9f0c-0d8f4e0a7f11"
	if change != nil {
		change(&c)
	}
	text, err := json.Marshal(c)
	require.NoError(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(text) + "." + goodSignature
}

// forged returns the JWT with another signature.
func forged(jwt string) string { return strings.TrimSuffix(jwt, goodSignature) + "YmFk" }
