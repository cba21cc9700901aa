package azurekeyvault_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/examples/azurekeyvault"
)

const (
	canary    = "canary" // is in every secret and credential
	coords    = `{"vaultUri":"https://corp.vault.azure.net","secretName":"tracker-db"}`
	reference = "{ENC}" + coords
)

// azure stands in for Microsoft Entra and for the vault corp.
type azure struct {
	mu       sync.Mutex
	form     url.Values        // of the logins that are good
	secrets  map[string]string // "name/version": the answer's body
	tokens   []string          // given out; the last one is good
	life     int               // of tokens, in seconds
	logins   int
	requests []string // to the vault, and to nobody that is known

	fail func(w http.ResponseWriter, r *http.Request) bool // answers in azure's place, if it returns true
}

func newAzure() *azure {
	return &azure{
		form: url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {canary + "&secret"}, "scope": {"https://vault.azure.net/.default"}},
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
	text, _ := json.Marshal(map[string]any{"value": value, "id": "https://corp.vault.azure.net/secrets/x/4387", "attributes": map[string]any{"enabled": true}})
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
	case r.Host == "login.microsoftonline.com" && r.Method == http.MethodPost && r.URL.Path == "/tenant/oauth2/v2.0/token":
		a.logins++
		if err := r.ParseForm(); err != nil || r.PostForm.Encode() != a.form.Encode() {
			answer(w, 401, `{"error":"invalid_client","error_description":"canary","error_codes":[7000215]}`)
			return
		}
		a.tokens = append(a.tokens, fmt.Sprintf("%s-token-%d", canary, len(a.tokens)+1))
		answer(w, 200, fmt.Sprintf(`{"token_type":"Bearer","expires_in":%d,"access_token":%q}`, a.life, a.tokens[len(a.tokens)-1]))
	case r.Host != "corp.vault.azure.net":
		a.requests = append(a.requests, r.Host)
		answer(w, 404, `{}`)
	case len(a.tokens) == 0 || r.Header.Get("Authorization") != "Bearer "+a.tokens[len(a.tokens)-1]:
		a.requests = append(a.requests, r.URL.Path)
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net"`)
		answer(w, 401, `{"error":{"code":"Unauthorized","message":"AKV10000: Request is missing a Bearer or PoP token."}}`)
	case r.Method != http.MethodGet || !isSecret || r.URL.RawQuery != "api-version=7.4":
		answer(w, 400, `{"error":{"code":"BadParameter","message":"canary"}}`)
	case name == "disabled/":
		answer(w, 403, `{"error":{"code":"Forbidden","message":"Operation get is not allowed on a disabled secret.","innererror":{"code":"SecretDisabled"}}}`)
	case name == "denied/":
		answer(w, 403, `{"error":{"code":"Forbidden","message":"Caller is not authorized to perform action on resource. canary","innererror":{"code":"ForbiddenByRbac"}}}`)
	case a.secrets[name] == "":
		a.requests = append(a.requests, r.URL.Path)
		answer(w, 404, `{"error":{"code":"SecretNotFound","message":"A secret with (name/id) canary was not found in this key vault."}}`)
	default:
		a.requests = append(a.requests, r.URL.Path)
		answer(w, 200, a.secrets[name])
	}
}

// options are those of a program that uses azure over TLS.
func (a *azure) options(t *testing.T) azurekeyvault.Options {
	server := httptest.NewUnstartedServer(a)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are meant to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // as its certificate says
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	return azurekeyvault.Options{TenantID: "tenant", ClientID: "app", ClientSecret: secretref.NewSecret(canary + "&secret"), Client: &http.Client{Transport: transport}}
}

func (a *azure) resolver(t *testing.T, o azurekeyvault.Options) *secretref.Resolver {
	r := secretref.New(&secretref.Options{Providers: []secretref.Provider{azurekeyvault.Provider(o)}, Timeout: 5 * time.Second})
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestAPasswordInAProductsFileIsInTheVault(t *testing.T) {
	a := newAzure()
	home := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(home, "dbconfig.xml"), []byte(`<?xml version="1.0" encoding="UTF-8"?>
<jira-database-config>
  <jdbc-datasource>
    <url>jdbc:postgresql://dbserver:5432/tracker</url>
    <driver-class>org.postgresql.Driver</driver-class>
    <username>tracker</username>
    <password>`+coords+`</password>
    <atlassian-password-cipher-provider>`+azurekeyvault.ClassName+`</atlassian-password-cipher-provider>
  </jdbc-datasource>
</jira-database-config>`), 0o600))
	config, err := secretref.ReadConfig(home)
	require.NoError(t, err)
	settings, err := a.resolver(t, a.options(t)).ResolveConfig(t.Context(), config)
	require.NoError(t, err)
	assert.Equal(t, "canary-latest é\n", settings.Database.Password.Reveal())
	assert.Equal(t, "tracker", settings.Database.Username)
}

func TestAValueNamesASecretAndPerhapsItsVersion(t *testing.T) {
	a := newAzure()
	r := a.resolver(t, a.options(t))
	for value, want := range map[string]string{
		reference: "canary-latest é\n",
		`{"vaultUri":"https://corp.vault.azure.net/","secretName":"tracker-db"}`:     "canary-latest é\n",
		strings.Replace(reference, "}{", `}{"version":"4387e9f3d6e14c45986767",`, 1): "canary-before",
	} {
		secret, err := r.Resolve(t.Context(), value)
		require.NoError(t, err)
		assert.Equal(t, want, secret.Reveal())
	}
	assert.Equal(t, 1, a.logins)
}

func TestALoginIsSharedAndRenewedBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAzure()
		p := azurekeyvault.Provider(azurekeyvault.Options{TenantID: "tenant", ClientID: "app", ClientSecret: secretref.NewSecret(canary + "&secret"), Client: &http.Client{Transport: inProcess{a}}})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				_, err := p.Fetch(t.Context(), []byte(coords))
				assert.NoError(t, err)
			})
		}
		all.Wait()
		assert.Equal(t, 1, a.logins)
		time.Sleep(3599*time.Second - 5*time.Minute - time.Nanosecond)
		_, err := p.Fetch(t.Context(), []byte(coords))
		require.NoError(t, err)
		assert.Equal(t, 1, a.logins)
		time.Sleep(time.Nanosecond)
		_, err = p.Fetch(t.Context(), []byte(coords))
		require.NoError(t, err)
		assert.Equal(t, 2, a.logins)
	})
}

// inProcess answers without a network, so that time can be made to pass.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.Host = r.URL.Host
	p.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestATokenThatIsWithdrawnIsReplacedOnce(t *testing.T) {
	a := newAzure()
	p := azurekeyvault.Provider(a.options(t))
	_, err := p.Fetch(t.Context(), []byte(coords))
	require.NoError(t, err)
	a.tokens[0] = "withdrawn"
	_, err = p.Fetch(t.Context(), []byte(coords))
	require.NoError(t, err)
	assert.Equal(t, 2, a.logins)

	a.fail = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Host == "corp.vault.azure.net" {
			answer(w, 401, `{"error":{"code":"Unauthorized"}}`)
			return true
		}
		return false
	}
	_, err = p.Fetch(t.Context(), []byte(coords))
	require.ErrorIs(t, err, secretref.ErrUnauthenticated)
	assert.Equal(t, 3, a.logins)
}

func TestFailuresAreOfTheirKindAndQuoteNothing(t *testing.T) {
	for name, c := range map[string]struct {
		kind error
		code string
	}{
		"absent":    {secretref.ErrNotFound, "SecretNotFound"},
		"disabled":  {secretref.ErrDenied, "SecretDisabled"},
		"denied":    {secretref.ErrDenied, "ForbiddenByRbac"},
		"no-value":  {secretref.ErrUnsupported, ""},
		"cut-short": {secretref.ErrUnsupported, ""},
		"not-text":  {secretref.ErrUnsupported, ""},
		"too-long":  {secretref.ErrUnsupported, ""},
		"page":      {secretref.ErrUnsupported, ""},
	} {
		a := newAzure()
		_, err := a.resolver(t, a.options(t)).Resolve(t.Context(), strings.Replace(reference, "tracker-db", name, 1))
		require.ErrorIs(t, err, c.kind, name)
		quotesNothing(t, err)
		if failed, ok := errors.AsType[*azurekeyvault.Error](err); ok {
			assert.Equal(t, c.code, failed.Code)
			assert.Equal(t, "corp.vault.azure.net", failed.Host)
		} else {
			assert.Empty(t, c.code, name)
		}
	}
}

// quotesNothing fails if an error or one of its causes holds a canary.
func quotesNothing(t *testing.T, err error) {
	t.Helper()
	assert.NotContains(t, fmt.Sprintf("%v %+v", err, err), canary)
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		quotesNothing(t, err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range err.Unwrap() {
			quotesNothing(t, e)
		}
	}
}

func TestALoginThatIsRefusedIsNotTriedAgain(t *testing.T) {
	a := newAzure()
	o := a.options(t)
	o.ClientSecret = secretref.NewSecret(canary + "-of-yesterday")
	_, err := a.resolver(t, o).Resolve(t.Context(), reference)
	require.ErrorIs(t, err, secretref.ErrUnauthenticated)
	quotesNothing(t, err)
	failed, ok := errors.AsType[*azurekeyvault.Error](err)
	require.True(t, ok)
	assert.Equal(t, azurekeyvault.Error{Kind: secretref.ErrUnauthenticated, Host: "login.microsoftonline.com", Status: 401, Code: "invalid_client"}, *failed)
	assert.Equal(t, 1, a.logins)
	assert.Empty(t, a.requests)

	for _, nothing := range []string{`{}`, `{"access_token":"","expires_in":3599}`, `{"access_token":"canary","expires_in":"canary"}`, `canary`} {
		a.fail = func(w http.ResponseWriter, _ *http.Request) bool { answer(w, 200, nothing); return true }
		_, err = azurekeyvault.Provider(o).Fetch(t.Context(), []byte(coords))
		require.ErrorIs(t, err, secretref.ErrUnauthenticated, nothing)
		quotesNothing(t, err)
	}
}

func TestWhatPassesIsTriedAgainWhenAzureSaysSo(t *testing.T) {
	for _, status := range []int{408, 429, 500, 503} {
		synctest.Test(t, func(t *testing.T) {
			a := newAzure()
			failures := 2
			a.fail = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Host != "corp.vault.azure.net" || failures == 0 {
					return false
				}
				failures--
				w.Header().Set("Retry-After", "7")
				answer(w, status, `{"error":{"code":"Throttled","message":"canary"}}`)
				return true
			}
			r := secretref.New(&secretref.Options{Providers: []secretref.Provider{azurekeyvault.Provider(azurekeyvault.Options{
				TenantID: "tenant", ClientID: "app", ClientSecret: secretref.NewSecret(canary + "&secret"), Client: &http.Client{Transport: inProcess{a}}})}})
			defer r.Close()
			start := time.Now()
			secret, err := r.Resolve(t.Context(), reference)
			require.NoError(t, err)
			assert.Equal(t, "canary-latest é\n", secret.Reveal())
			assert.Equal(t, 14*time.Second, time.Since(start), "%d: neither earlier nor later", status)

			failures = 1000
			_, err = r.Resolve(t.Context(), strings.Replace(reference, "tracker-db", "other", 1))
			require.ErrorIs(t, err, secretref.ErrUnavailable)
			quotesNothing(t, err)
		})
	}
}

func TestTheTokenGoesToVaultsOnly(t *testing.T) {
	a := newAzure()
	r := a.resolver(t, a.options(t))
	for _, uri := range []string{
		"http://corp.vault.azure.net", "https://corp.vault.azure.net.evil.example", "https://evil.example/corp.vault.azure.net", "https://corp@evil.example",
		"https://vault.azure.net", "https://a.b.vault.azure.net", "https://corp.vault.azure.net:8443", "https://corp.vault.azure.net/x", "https://corp.vault.azure.cn",
		"https://corp.vaultXazure.net", "https://evil.example#.vault.azure.net", "https://evil.example?.vault.azure.net", "//corp.vault.azure.net", "corp",
	} {
		value, err := json.Marshal(map[string]string{"vaultUri": uri, "secretName": "tracker-db"})
		require.NoError(t, err)
		_, err = r.Resolve(t.Context(), string(value))
		require.ErrorIs(t, err, secretref.ErrSyntax, uri)
	}
	assert.Zero(t, a.logins)
	assert.Empty(t, a.requests)

	o := a.options(t)
	o.Domain = "vault.azure.cn"
	a.form.Set("scope", "https://vault.azure.cn/.default")
	_, err := a.resolver(t, o).Resolve(t.Context(), strings.Replace(reference, ".net", ".cn", 1))
	require.ErrorIs(t, err, secretref.ErrNotFound)
	assert.Equal(t, []string{"corp.vault.azure.cn"}, a.requests)
}

func TestARedirectIsNotFollowed(t *testing.T) {
	for _, from := range []string{"login.microsoftonline.com", "corp.vault.azure.net"} {
		a := newAzure()
		a.fail = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Host != from {
				return false
			}
			http.Redirect(w, r, "https://evil.vault.azure.net/secrets/x/", http.StatusTemporaryRedirect)
			return true
		}
		_, err := a.resolver(t, a.options(t)).Resolve(t.Context(), reference)
		require.ErrorIs(t, err, secretref.ErrUnsupported)
		assert.Empty(t, a.requests)
	}
}

func TestCoordinatesAreReadStrictly(t *testing.T) {
	a := newAzure()
	p := azurekeyvault.Provider(a.options(t))
	for _, text := range []string{
		``, `canary`, `null`, `[]`, `{}`, `{"vaultUri"`, coords + `x`, coords + coords, coords[:len(coords)-1], coords[:len(coords)-1] + ",",
		`{"vaultUri":"https://corp.vault.azure.net"}`, `{"secretName":"tracker-db"}`, `{"vaultUri":"https://corp.vault.azure.net","secretName":""}`,
		`{"vaultUri":"https://corp.vault.azure.net","SecretName":"tracker-db"}`, `{"vaultUri":"https://corp.vault.azure.net","secretName":5}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":{"a":"b"}}`, `{"vaultUri":"https://corp.vault.azure.net","secretName":"a","secretName":"b"}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":"a","canary":"b"}`, `{"vaultUri":"https://corp.vault.azure.net","secretName":"a/b"}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":".."}`, `{"vaultUri":"https://corp.vault.azure.net","secretName":"a?b"}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":"a","version":"../b"}`, `{"vaultUri":"https://corp.vault.azure.net","secretName":"a\nb"}`,
		`{"vaultUri":"https://corp.vault.azure.net\n","secretName":"a"}`,
	} {
		_, err := p.Fetch(t.Context(), []byte(text))
		require.ErrorIs(t, err, secretref.ErrSyntax, text)
		quotesNothing(t, err)
	}
	assert.Zero(t, a.logins)
}

func TestTheEnvironmentSaysWhoAsks(t *testing.T) {
	a := newAzure()
	file := filepath.Join(t.TempDir(), "token")
	o := a.options(t)
	o = azurekeyvault.Options{Client: &http.Client{Transport: overTLS{t, o.Client.Transport}}}
	for _, name := range []string{"TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "FEDERATED_TOKEN_FILE", "AUTHORITY_HOST"} {
		t.Setenv("AZURE_"+name, "")
	}
	p := azurekeyvault.Provider(o)
	fetch := func() error {
		_, err := p.Fetch(t.Context(), []byte(coords))
		return err
	}
	require.ErrorIs(t, fetch(), secretref.ErrUnauthenticated)
	t.Setenv("AZURE_TENANT_ID", "tenant")
	t.Setenv("AZURE_CLIENT_ID", "app")
	require.ErrorIs(t, fetch(), secretref.ErrUnauthenticated)
	t.Setenv("AZURE_AUTHORITY_HOST", "http://login.microsoftonline.com/")
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)
	require.ErrorIs(t, fetch(), secretref.ErrUnauthenticated, "there is no file")
	require.NoError(t, os.WriteFile(file, []byte("canary.jwt\n"), 0o600))
	require.ErrorIs(t, fetch(), secretref.ErrUnauthenticated, "not over http")
	assert.Zero(t, a.logins)
	t.Setenv("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/")

	a.form.Del("client_secret")
	a.form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	a.form.Set("client_assertion", "canary.jwt")
	require.NoError(t, fetch())
	a.tokens[0] = "withdrawn"
	a.form.Set("client_assertion", "canary.next")
	require.NoError(t, os.WriteFile(file, []byte("canary.next"), 0o600))
	require.NoError(t, fetch(), "the file is read again")
}

// overTLS fails the test when a request is not.
type overTLS struct {
	t *testing.T
	http.RoundTripper
}

func (o overTLS) RoundTrip(r *http.Request) (*http.Response, error) {
	assert.Equal(o.t, "https", r.URL.Scheme)
	return o.RoundTripper.RoundTrip(r)
}

func TestAnEndThatACallerMeetsAloneIsHisOwn(t *testing.T) {
	a := newAzure()
	p := azurekeyvault.Provider(a.options(t))
	ended, end := context.WithCancel(t.Context())
	end()
	_, err := p.Fetch(ended, []byte(coords))
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.Fetch(t.Context(), []byte(coords))
	require.NoError(t, err)
}

func TestAServerThatIsNotTrustedGetsNothing(t *testing.T) {
	a := newAzure()
	o := a.options(t)
	o.Client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{}
	_, err := azurekeyvault.Provider(o).Fetch(t.Context(), []byte(coords))
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	quotesNothing(t, err)
	assert.Zero(t, a.logins)
}
