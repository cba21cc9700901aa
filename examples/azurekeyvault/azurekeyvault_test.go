package azurekeyvault_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
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

func TestProvider_resolvesConfig(t *testing.T) {
	a := newAzure()
	home := t.TempDir()
	require.NoError(t,
		os.WriteFile(filepath.Join(home, "dbconfig.xml"), []byte(`<?xml version="1.0" encoding="UTF-8"?>
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

func TestProvider_resolvesSecretAndVersion(t *testing.T) {
	a := newAzure()
	r := a.resolver(t, a.options(t))
	for value, want := range map[string]string{
		reference: "canary-latest é\n",
		`{"vaultUri":"https://corp.vault.azure.net/","secretName":"tracker-db"}`: "canary-latest é\n",
		strings.Replace(reference, "}{", `}{"version":"4387e9f3d6e14c45986767",`,
			1): "canary-before",
	} {
		secret, err := r.Resolve(t.Context(), value)
		require.NoError(t, err)
		assert.Equal(t, want, secret.Reveal())
	}
	assert.Equal(t, 1, a.logins)
}

func TestLogin_isSharedAndRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAzure()
		p := azurekeyvault.Provider(azurekeyvault.Options{TenantID: "tenant", ClientID: "app",
			ClientSecret: secretref.NewSecret(canary +
				"&secret"), Client: &http.Client{Transport: inProcess{a}}})
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

// inProcess responds without a network, so that synctest controls the time.
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

func TestLogin_replacesRevokedToken(t *testing.T) {
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

func TestFetch_errorKinds(t *testing.T) {
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
		_, err := a.resolver(t, a.options(t)).Resolve(t.Context(),
			strings.Replace(reference, "tracker-db", name, 1))
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

// quotesNothing fails if an error or one of its causes contains a canary.
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

func TestLogin_refusedIsNotRetried(t *testing.T) {
	a := newAzure()
	o := a.options(t)
	o.ClientSecret = secretref.NewSecret(canary + "-of-yesterday")
	_, err := a.resolver(t, o).Resolve(t.Context(), reference)
	require.ErrorIs(t, err, secretref.ErrUnauthenticated)
	quotesNothing(t, err)
	failed, ok := errors.AsType[*azurekeyvault.Error](err)
	require.True(t, ok)
	assert.Equal(t, azurekeyvault.Error{Kind: secretref.ErrUnauthenticated,
		Host: "login.microsoftonline.com", Status: 401, Code: "invalid_client"}, *failed)
	assert.Equal(t, 1, a.logins)
	assert.Empty(t, a.requests)

	for _, nothing := range []string{`{}`, `{"access_token":"","expires_in":3599}`,
		`{"access_token":"canary","expires_in":"canary"}`, `canary`} {
		a.fail = func(w http.ResponseWriter,
			_ *http.Request) bool {
			answer(w, 200, nothing)
			return true
		}
		_, err = azurekeyvault.Provider(o).Fetch(t.Context(), []byte(coords))
		require.ErrorIs(t, err, secretref.ErrUnauthenticated, nothing)
		quotesNothing(t, err)
	}
}

func TestFetch_retriesAfterRequestedDelay(t *testing.T) {
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
				TenantID: "tenant", ClientID: "app", ClientSecret: secretref.NewSecret(canary +
					"&secret"), Client: &http.Client{Transport: inProcess{a}}})}})
			defer r.Close()
			start := time.Now()
			secret, err := r.Resolve(t.Context(), reference)
			require.NoError(t, err)
			assert.Equal(t, "canary-latest é\n", secret.Reveal())
			assert.Equal(t, 14*time.Second, time.Since(start), "%d: neither earlier nor later",
				status)

			failures = 1000
			_, err = r.Resolve(t.Context(), strings.Replace(reference, "tracker-db", "other", 1))
			require.ErrorIs(t, err, secretref.ErrUnavailable)
			quotesNothing(t, err)
		})
	}
}

func TestFetch_sendsTokenToVaultsOnly(t *testing.T) {
	a := newAzure()
	r := a.resolver(t, a.options(t))
	for _, uri := range []string{
		"http://corp.vault.azure.net", "https://corp.vault.azure.net.evil.example",
		"https://evil.example/corp.vault.azure.net", "https://corp@evil.example",
		"https://vault.azure.net", "https://a.b.vault.azure.net", "https://corp.vault.azure.net:8443",
		"https://corp.vault.azure.net/x", "https://corp.vault.azure.cn",
		"https://corp.vaultXazure.net", "https://evil.example#.vault.azure.net",
		"https://evil.example?.vault.azure.net", "//corp.vault.azure.net", "corp",
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

func TestFetch_doesNotFollowRedirects(t *testing.T) {
	for _, from := range []string{"login.microsoftonline.com", "corp.vault.azure.net"} {
		a := newAzure()
		a.fail = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Host != from {
				return false
			}
			http.Redirect(w, r, "https://evil.vault.azure.net/secrets/x/",
				http.StatusTemporaryRedirect)
			return true
		}
		_, err := a.resolver(t, a.options(t)).Resolve(t.Context(), reference)
		require.ErrorIs(t, err, secretref.ErrUnsupported)
		assert.Empty(t, a.requests)
	}
}

func TestParse_isStrict(t *testing.T) {
	a := newAzure()
	p := azurekeyvault.Provider(a.options(t))
	for _, text := range []string{
		``, `canary`, `null`, `[]`, `{}`, `{"vaultUri"`, coords + `x`, coords +
			coords, coords[:len(coords)-1], coords[:len(coords)-1] + ",",
		`{"vaultUri":"https://corp.vault.azure.net"}`, `{"secretName":"tracker-db"}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":""}`,
		`{"vaultUri":"https://corp.vault.azure.net","SecretName":"tracker-db"}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":5}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":{"a":"b"}}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":"a","secretName":"b"}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":"a","canary":"b"}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":"a/b"}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":".."}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":"a?b"}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":"a","version":"../b"}`,
		`{"vaultUri":"https://corp.vault.azure.net","secretName":"a\nb"}`,
		`{"vaultUri":"https://corp.vault.azure.net\n","secretName":"a"}`,
	} {
		_, err := p.Fetch(t.Context(), []byte(text))
		require.ErrorIs(t, err, secretref.ErrSyntax, text)
		quotesNothing(t, err)
	}
	assert.Zero(t, a.logins)
}

func TestLogin_usesEnvironment(t *testing.T) {
	a := newAzure()
	file := filepath.Join(t.TempDir(), "token")
	o := a.options(t)
	o = azurekeyvault.Options{Client: &http.Client{Transport: overTLS{t, o.Client.Transport}}}
	for _, name := range []string{"TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "FEDERATED_TOKEN_FILE",
		"AUTHORITY_HOST"} {
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

// overTLS fails the test if a request does not use TLS.
type overTLS struct {
	t *testing.T
	http.RoundTripper
}

func (o overTLS) RoundTrip(r *http.Request) (*http.Response, error) {
	assert.Equal(o.t, "https", r.URL.Scheme)
	return o.RoundTripper.RoundTrip(r)
}

func TestFetch_callersDeadlineIsNotShared(t *testing.T) {
	a := newAzure()
	p := azurekeyvault.Provider(a.options(t))
	ended, end := context.WithCancel(t.Context())
	end()
	_, err := p.Fetch(ended, []byte(coords))
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.Fetch(t.Context(), []byte(coords))
	require.NoError(t, err)
}

func TestFetch_untrustedServer(t *testing.T) {
	a := newAzure()
	o := a.options(t)
	o.Client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{}
	_, err := azurekeyvault.Provider(o).Fetch(t.Context(), []byte(coords))
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	quotesNothing(t, err)
	assert.Zero(t, a.logins)
}
