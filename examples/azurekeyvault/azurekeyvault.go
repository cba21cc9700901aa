// Package azurekeyvault shows how a program adds a store that secretref does not
// support: here Azure Key Vault, using only its REST API.
//
//	{ENC}{"vaultUri":"https://corp.vault.azure.net","secretName":"db"}
//
// In a configuration file the cipher class is [ClassName] and the value is the same
// JSON object. The product itself needs a cipher class of that name.
package azurekeyvault

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed74218947/secretref"
)

// ClassName is the cipher class in configuration files.
const ClassName = "com.example.secrets.AzureKeyVaultStore"

// Options are the credentials of an application that is registered in Microsoft Entra,
// for the client credentials flow. Empty fields are read from the variables of Azure's
// own libraries at each login.
type Options struct {
	TenantID, ClientID string // if empty, AZURE_TENANT_ID and AZURE_CLIENT_ID

	// ClientSecret is the application's secret. If it is empty, TokenFile names a file
	// with a federated token (workload identity). If both are empty,
	// AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE is used.
	ClientSecret secretref.Secret
	TokenFile    string

	// URL that issues tokens; if empty, AZURE_AUTHORITY_HOST or https://login.microsoftonline.com
	Authority string
	// of the vaults, the only hosts that receive tokens; if empty, vault.azure.net
	Domain string
	Client *http.Client // redirects are not followed; if nil, http.DefaultClient
}

// Provider returns a provider for secretref.Options.Providers.
func Provider(o Options) secretref.Provider {
	o.Domain = cmp.Or(o.Domain, "vault.azure.net")
	s := &store{Options: o,
		// vaultUri, secretName and version, which may be empty: the latest.
		secret: regexp.MustCompile(`^(https://[0-9A-Za-z-]{3,24}\.` + regexp.QuoteMeta(o.Domain) +
			`)/?\n([0-9A-Za-z-]{1,127})\n([0-9A-Za-z]{0,64})$`)}
	s.client = *cmp.Or(o.Client, http.DefaultClient)
	s.client.CheckRedirect = func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}
	return secretref.Provider{ClassName: ClassName, Fields: []string{"vaultUri", "secretName"},
		Fetch: s.fetch}
}

// An Error is an error response of Azure. Messages of the Resolver contain only its
// Kind; use errors.As for the rest.
type Error struct {
	Kind   error  // one of secretref's sentinels
	Host   string // that sent the response
	Status int    // HTTP status code
	Code   string // "SecretDisabled", "invalid_client"; may be empty
	after  time.Duration
}

// RetryAfter is the delay that the host requested. The Resolver waits that long.
func (e *Error) RetryAfter() time.Duration { return e.after }

func (e *Error) Error() string {
	return fmt.Sprintf("%v: %s: %d %s", e.Kind, e.Host, e.Status,
		e.Code)
}

// Unwrap returns Kind.
func (e *Error) Unwrap() error { return e.Kind }

type store struct {
	Options
	client http.Client
	secret *regexp.Regexp
	mu     sync.Mutex // held during a login
	token  string
	until  time.Time
}

// fetch implements Provider.Fetch.
func (s *store) fetch(ctx context.Context, coordinates []byte) ([]byte, error) {
	address, err := s.parse(coordinates)
	if err != nil {
		return nil, err
	}
	token, err := s.login(ctx, "")
	if err != nil {
		return nil, err
	}
	secret, err := s.get(ctx, address, token)
	if errors.Is(err, secretref.ErrUnauthenticated) { // the token was revoked early
		if token, err = s.login(ctx, token); err == nil {
			secret, err = s.get(ctx, address, token)
		}
	}
	return secret, err
}

// parse returns the URL of a secret. It is strict, since the Resolver does not check
// the coordinates in a configuration file. Its error does not quote the text, which
// may be a password.
func (s *store) parse(coordinates []byte) (address string, err error) {
	wrong := fmt.Errorf("%w: azure key vault: the coordinates are vaultUri (https://NAME.%s), "+
		"secretName and optionally version", secretref.ErrSyntax, s.Domain)
	members := map[string]string{"vaultUri": "", "secretName": "", "version": ""}
	d := json.NewDecoder(strings.NewReader(string(coordinates)))
	opened, _ := d.Token()
	for opened == json.Delim('{') && d.More() {
		name, _ := d.Token()
		value, _ := d.Token()
		key, _ := name.(string)
		text, _ := value.(string)
		if before, known := members[key]; !known || before != "" || text == "" {
			return "", wrong // unknown, duplicate, or not a string
		}
		members[key] = text
	}
	closed, _ := d.Token()
	_, end := d.Token()
	parts := s.secret.FindStringSubmatch(members["vaultUri"] + "\n" + members["secretName"] + "\n" +
		members["version"])
	if closed != json.Delim('}') || end != io.EOF || parts == nil {
		return "", wrong
	}
	return parts[1] + "/secrets/" + parts[2] + "/" + parts[3] + "?api-version=7.4", nil
}

// get reads a secret: GET {vault}/secrets/{name}/{version}?api-version=7.4.
// https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret
func (s *store) get(ctx context.Context, address, token string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	body, err := s.do(req, map[int]error{401: secretref.ErrUnauthenticated,
		403: secretref.ErrDenied, 404: secretref.ErrNotFound})
	if err != nil {
		return nil, err
	}
	value, err := secretref.Pointer("/value").LookupScalar(body)
	if err != nil {
		return nil, fmt.Errorf("%w: azure key vault: the response has no value",
			secretref.ErrUnsupported)
	}
	return []byte(value), nil
}

// login returns a token other than the refused one. One caller fetches it while the
// others wait, and it is cached until shortly before it expires.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
func (s *store) login(ctx context.Context, refused string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != "" && s.token != refused && time.Now().Before(s.until) {
		return s.token, nil
	}
	tenant, form, err := s.credentials()
	if err != nil {
		return "", err
	}
	authority := strings.TrimRight(cmp.Or(s.Authority, os.Getenv("AZURE_AUTHORITY_HOST"),
		"https://login.microsoftonline.com"), "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		authority+"/"+url.PathEscape(tenant)+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil || req.URL.Scheme != "https" {
		return "", fmt.Errorf("%w: azure key vault: Authority must be an https URL",
			secretref.ErrUnauthenticated)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	body, err := s.do(req, map[int]error{400: secretref.ErrUnauthenticated,
		401: secretref.ErrUnauthenticated, 403: secretref.ErrUnauthenticated})
	if err != nil {
		return "", err
	}
	token, noToken := secretref.Pointer("/access_token").LookupScalar(body)
	expires, noTime := secretref.Pointer("/expires_in").LookupScalar(body)
	seconds, notANumber := strconv.Atoi(expires) // its error would quote the text
	if noToken != nil || noTime != nil || notANumber != nil || token == "" {
		return "", fmt.Errorf("%w: azure key vault: the login response has no token",
			secretref.ErrUnauthenticated)
	}
	life := time.Duration(seconds) * time.Second
	s.token, s.until = token, time.Now().Add(life-min(5*time.Minute, life/2))
	return token, nil
}

// credentials returns the tenant and the form values for a login.
func (s *store) credentials() (tenant string, form url.Values, err error) {
	tenant = cmp.Or(s.TenantID, os.Getenv("AZURE_TENANT_ID"))
	client := cmp.Or(s.ClientID, os.Getenv("AZURE_CLIENT_ID"))
	secret, file := s.ClientSecret.Reveal(), s.TokenFile
	if secret == "" && file == "" {
		secret, file = os.Getenv("AZURE_CLIENT_SECRET"), os.Getenv("AZURE_FEDERATED_TOKEN_FILE")
	}
	if tenant == "" || client == "" || secret == "" && file == "" {
		return "", nil, fmt.Errorf("%w: azure key vault: missing tenant, client, or its secret "+
			"or token file", secretref.ErrUnauthenticated)
	}
	form = url.Values{"grant_type": {"client_credentials"}, "client_id": {client},
		"scope": {"https://" + s.Domain + "/.default"}}
	if secret != "" {
		form.Set("client_secret", secret)
		return tenant, form, nil
	}
	assertion, err := os.ReadFile(file)
	if err != nil {
		return "", nil, fmt.Errorf("%w: azure key vault: cannot read the token file",
			secretref.ErrUnauthenticated)
	}
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", strings.TrimSpace(string(assertion)))
	return tenant, form, nil
}

// do sends a request and returns the body of the response, or an error of the kind for
// its status. Temporary errors wrap ErrUnavailable, so that the Resolver retries.
func (s *store) do(req *http.Request, kinds map[int]error) ([]byte, error) {
	host := req.URL.Host
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", secretref.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	// secrets have at most 25 KB, and truncated JSON does not parse
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", secretref.ErrUnavailable, err)
	} else if resp.StatusCode == http.StatusOK {
		return body, nil
	}
	failed := &Error{Kind: cmp.Or(kinds[resp.StatusCode], secretref.ErrUnsupported), Host: host,
		Status: resp.StatusCode, Code: code(body)}
	if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode == http.StatusRequestTimeout {
		failed.Kind = secretref.ErrUnavailable
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		failed.after = time.Duration(max(0, min(seconds, 3600))) * time.Second
	}
	return nil, failed
}

// code returns the innermost error code of a response body, or "".
func code(body []byte) string {
	word := regexp.MustCompile(`^[A-Za-z_]{1,64}$`)
	for _, p := range []secretref.Pointer{"/error/innererror/code", "/error/code", "/error"} {
		if text, err := p.LookupScalar(body); err == nil && word.MatchString(text) {
			return text
		}
	}
	return ""
}
