package azurekeyvault_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/examples/azurekeyvault"
)

// azure is a fake of Microsoft Entra and of the vault corp.
type azure struct {
	mu       sync.Mutex
	form     url.Values        // the expected form of a login
	secrets  map[string]string // response bodies by "name/version"
	tokens   []string          // the issued tokens, of which the last is valid
	life     int               // of tokens, in seconds
	logins   int
	requests []string // to the vault, and to unknown paths

	// returns true if it wrote the response itself
	fail func(w http.ResponseWriter, r *http.Request) bool
}

func newAzure() *azure {
	return &azure{
		form: url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"},
			"client_secret": {canary + "&secret"}, "scope": {"https://vault.azure.net/.default"}},
		secrets: map[string]string{
			"tracker-db/":                       body("canary-latest é\n"),
			"tracker-db/4387e9f3d6e14c45986767": body("canary-before"),
			"no-value/":                         `{"id":"https://corp.vault.azure.net/secrets/no-value"}`,
			"cut-short/":                        `{"value":"canary`,
			"not-text/":                         "{\"value\":\"canary\xff\"}",
			"too-long/":                         body(strings.Repeat("canary", 1<<18)),
			"page/":                             "<html>canary</html>",
		},
		life: 3599,
	}
}

func body(value string) string {
	text, _ := json.Marshal(map[string]any{"value": value,
		"id":         "https://corp.vault.azure.net/secrets/x/4387",
		"attributes": map[string]any{"enabled": true}})
	return string(text)
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (a *azure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil && a.fail(w, r) {
		return
	}
	name, isSecret := strings.CutPrefix(r.URL.Path, "/secrets/")
	switch {
	case r.Host == "login.microsoftonline.com" && r.Method == http.MethodPost &&
		r.URL.Path == "/tenant/oauth2/v2.0/token":
		a.logins++
		if err := r.ParseForm(); err != nil || r.PostForm.Encode() != a.form.Encode() {
			answer(w, 401, `{"error":"invalid_client","error_description":"canary","error_codes":[7000215]}`)
			return
		}
		a.tokens = append(a.tokens, fmt.Sprintf("%s-token-%d", canary, len(a.tokens)+1))
		answer(w, 200, fmt.Sprintf(`{"token_type":"Bearer","expires_in":%d,"access_token":%q}`,
			a.life, a.tokens[len(a.tokens)-1]))
	case r.Host != "corp.vault.azure.net":
		a.requests = append(a.requests, r.Host)
		answer(w, 404, `{}`)
	case len(a.tokens) == 0 || r.Header.Get("Authorization") != "Bearer "+a.tokens[len(a.tokens)-1]:
		a.requests = append(a.requests, r.URL.Path)
		w.Header().Set("WWW-Authenticate",
			`Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net"`)
		answer(w, 401,
			`{"error":{"code":"Unauthorized","message":"AKV10000: Request is missing a Bearer or PoP token."}}`)
	case r.Method != http.MethodGet || !isSecret || r.URL.RawQuery != "api-version=7.4":
		answer(w, 400, `{"error":{"code":"BadParameter","message":"canary"}}`)
	case name == "disabled/":
		answer(w, 403,
			`{"error":{"code":"Forbidden","message":"Operation get is not allowed on a disabled secret.","innererror":{"code":"SecretDisabled"}}}`)
	case name == "denied/":
		answer(w, 403,
			`{"error":{"code":"Forbidden","message":"Caller is not authorized to perform action on resource. canary","innererror":{"code":"ForbiddenByRbac"}}}`)
	case a.secrets[name] == "":
		a.requests = append(a.requests, r.URL.Path)
		answer(w, 404,
			`{"error":{"code":"SecretNotFound","message":"A secret with (name/id) canary was not found in this key vault."}}`)
	default:
		a.requests = append(a.requests, r.URL.Path)
		answer(w, 200, a.secrets[name])
	}
}

// options returns the options of a program that uses the fake over TLS.
func (a *azure) options(t *testing.T) azurekeyvault.Options {
	server := httptest.NewUnstartedServer(a)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // some handshakes fail on purpose
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // the name in its certificate
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	return azurekeyvault.Options{TenantID: "tenant", ClientID: "app",
		ClientSecret: secretref.NewSecret(canary +
			"&secret"), Client: &http.Client{Transport: transport}}
}

func (a *azure) resolver(t *testing.T, o azurekeyvault.Options) *secretref.Resolver {
	r := secretref.New(&secretref.Options{Providers: []secretref.Provider{azurekeyvault.Provider(o)},
		Timeout: 5 * time.Second})
	t.Cleanup(func() { _ = r.Close() })
	return r
}
