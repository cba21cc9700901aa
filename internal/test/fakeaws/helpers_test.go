package fakeaws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"github.com/stretchr/testify/require"
)

const (
	testRegion = "eu-west-1"
	testKey    = "AKIAIOSFODNN7EXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// start starts a fake with the test key, and sets the environment of the SDK to it.
func start(t *testing.T) *Server {
	t.Helper()
	s := New()
	t.Cleanup(s.Close)
	s.AddKey(testKey, testSecret, "")
	dir := t.TempDir()
	for name, value := range map[string]string{
		"AWS_REGION":         testRegion,
		"AWS_DEFAULT_REGION": "",
		"AWS_PROFILE":        "",
		// with it set, LoadDefaultConfig refuses a plain *http.Client
		"AWS_CA_BUNDLE":                          "",
		"AWS_ACCESS_KEY_ID":                      testKey,
		"AWS_SECRET_ACCESS_KEY":                  testSecret,
		"AWS_SESSION_TOKEN":                      "",
		"AWS_ROLE_ARN":                           "",
		"AWS_WEB_IDENTITY_TOKEN_FILE":            "",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI":     "",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN":      "",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "",
		"AWS_EC2_METADATA_DISABLED":              "true",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT":      s.IMDSURL(),
		"AWS_ENDPOINT_URL":                       s.URL(),
		"AWS_ENDPOINT_URL_SECRETS_MANAGER":       s.URL(),
		"AWS_ENDPOINT_URL_STS":                   s.STSURL(),
		"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS":    "",
		"AWS_CONFIG_FILE":                        filepath.Join(dir, "config"),
		"AWS_SHARED_CREDENTIALS_FILE":            filepath.Join(dir, "credentials"),
		"HOME":                                   dir,
	} {
		t.Setenv(name, value)
	}
	return s
}

// loopbackOnly refuses to connect to anything that is not this machine.
func loopbackOnly() *http.Client {
	var d net.Dialer
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
				return nil, fmt.Errorf("a test tried to reach %s", addr)
			}
			return d.DialContext(ctx, network, addr)
		},
	}}
}

func loadConfig(t *testing.T, opts ...func(*config.LoadOptions) error) aws.Config {
	t.Helper()
	hc := loopbackOnly()
	t.Cleanup(hc.CloseIdleConnections)
	cfg, err := config.LoadDefaultConfig(t.Context(), append([]func(*config.LoadOptions) error{
		config.WithHTTPClient(hc), config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithLogger(logging.Nop{}),
	}, opts...)...)
	require.NoError(t, err)
	return cfg
}

func client(t *testing.T, opts ...func(*config.LoadOptions) error) *secretsmanager.Client {
	return secretsmanager.NewFromConfig(loadConfig(t, opts...))
}

func stsClient(t *testing.T, opts ...func(*config.LoadOptions) error) *sts.Client {
	return sts.NewFromConfig(loadConfig(t, opts...))
}

func get(t *testing.T, c *secretsmanager.Client, id string) (*secretsmanager.GetSecretValueOutput,
	error) {
	return c.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id})
}

// mustGet reads a text secret.
func mustGet(t *testing.T, c *secretsmanager.Client, id string) string {
	t.Helper()
	out, err := get(t, c, id)
	require.NoError(t, err)
	require.NotNil(t, out.SecretString)
	return *out.SecretString
}

// do sends a raw request and returns the response and its body.
func do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	hc := loopbackOnly()
	defer hc.CloseIdleConnections()
	resp, err := hc.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// at is a stopped clock.
func at(now time.Time) func() time.Time { return func() time.Time { return now } }

// signedCall returns a request with the body, signed with the test key.
func signedCall(t *testing.T,
	endpoint, service, contentType, operation, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint+"/",
		strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", contentType)
	if operation != "" {
		r.Header.Set("X-Amz-Target", targetPrefix+operation)
	}
	digest := sha256.Sum256([]byte(body))
	keys := aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret}
	require.NoError(t,
		v4.NewSigner().SignHTTP(t.Context(), keys, r, hex.EncodeToString(digest[:]), service, testRegion,
			time.Now()))
	return r
}
