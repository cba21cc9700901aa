package secretref_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

// awsCallerConfig returns an aws.Config of the caller for s.
func awsCallerConfig(s *fakeaws.Server) *aws.Config {
	return &aws.Config{
		Region:       "us-east-2",
		BaseEndpoint: aws.String(s.URL()),
		Credentials:  credentials.NewStaticCredentialsProvider(awsKeyID, awsSecret, awsToken),
	}
}

// sender is an HTTP client of the caller.
type sender func(*http.Request) (*http.Response, error)

func (s sender) Do(r *http.Request) (*http.Response, error) { return s(r) }

func TestAWSConfig(t *testing.T) {
	s := awsFake(t)
	s.PutSecret("eu-west-1", "db", "hunter2")
	t.Setenv("AWS_PROFILE", "does-not-exist")
	var sent atomic.Int32
	own := awsCallerConfig(s)
	own.HTTPClient = sender(func(r *http.Request) (*http.Response, error) {
		sent.Add(1)
		return http.DefaultClient.Do(r)
	})
	own.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 9; o.MaxBackoff = time.Millisecond })
	}
	own.RetryMaxAttempts = 9
	r, events := awsResolver(t,
		secretref.Options{AWS: secretref.AWSOptions{Config: own}, Timeout: 2 * time.Second})
	got, err := r.Resolve(t.Context(), awsDB(""))
	require.NoError(t, err)
	require.Equal(t, "hunter2", got.Reveal())
	require.EqualValues(t, 1, sent.Load())
	require.Equal(t, "eu-west-1", s.Requests()[0].Region, "the reference's region")

	s.ResetCalls()
	s.Fail(1000, 503, "", nil)
	_, err = r.Resolve(t.Context(), awsDB(""))
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.Greater(t, s.Calls(), 1)
	// The last attempt may be cut off before it is sent.
	require.InDelta(t, s.Calls(), events()[1].Attempts, 1,
		"the caller's Retryer adds no retry loop")
}

func TestAWSConfig_withoutCredentials(t *testing.T) {
	s := awsFake(t)
	for name, given := range map[string]aws.CredentialsProvider{
		"none": nil, "anonymous": aws.AnonymousCredentials{},
		"failing": aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials,
			error) {
			return aws.Credentials{}, errors.New(canary)
		}),
	} {
		own := awsCallerConfig(s)
		own.Credentials = given
		r, _ := awsResolver(t, secretref.Options{AWS: secretref.AWSOptions{Config: own}})
		_, err := r.Resolve(t.Context(), awsDB(""))
		require.ErrorIs(t, err, secretref.ErrUnauthenticated, name)
		require.Contains(t, err.Error(), "the given aws.Config", name)
		require.NotContains(t, err.Error(), "AWS_ACCESS_KEY_ID", "the environment does not matter")
		requireSilent(t, err)
	}
	require.Zero(t, s.Calls())
}

func TestAWSConfig_credentialsRetrievedOnce(t *testing.T) {
	s := awsFake(t)
	refs := awsHundred(s)
	var retrieved atomic.Int32
	own := awsCallerConfig(s)
	inner := own.Credentials
	own.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		retrieved.Add(1)
		return inner.Retrieve(ctx)
	})
	r, _ := awsResolver(t, secretref.Options{AWS: secretref.AWSOptions{Config: own}})
	_, err := r.ResolveAll(t.Context(), refs...)
	require.NoError(t, err)
	require.EqualValues(t, 1, retrieved.Load())
}

func TestAWSConfig_loadedForAWSReferencesOnly(t *testing.T) {
	awsEnv(t)
	t.Setenv("AWS_PROFILE", "does-not-exist")
	t.Setenv("AWS_CA_BUNDLE", "/does/not/exist")
	vault := httptest.NewServer(http.HandlerFunc(awsWrites(`{"data":{"data":{"password":"hunter2"},"metadata":{"version":1}}}`)))
	defer vault.Close()
	r, _ := awsResolver(t,
		secretref.Options{Vault: secretref.VaultOptions{Token: func(context.Context) (string,
			error) {
			return "t", nil
		}}})
	got, err := r.Resolve(t.Context(),
		`{"mount":"secret","path":"db","key":"password","endpoint":"`+vault.URL+`"}`)
	require.NoError(t, err)
	require.Equal(t, "hunter2", got.Reveal())
	_, err = r.Resolve(t.Context(), awsDB(""))
	require.ErrorIs(t, err, secretref.ErrUnauthenticated)
}

func TestAWSTLS_bundle(t *testing.T) {
	s := awsFake(t)
	s.PutSecret("eu-west-1", "db", "hunter2")
	to, err := url.Parse(s.URL())
	require.NoError(t, err)
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Host = p.In.Host // it is signed
	}})
	defer front.Close()
	front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", front.URL)

	r, _ := awsResolver(t, secretref.Options{})
	_, err = r.Resolve(t.Context(), awsDB(""))
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.Contains(t, err.Error(), "not trusted")
	require.Zero(t, s.Calls())

	bundle := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t,
		os.WriteFile(bundle,
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600))
	t.Setenv("AWS_CA_BUNDLE", bundle)
	r, _ = awsResolver(t, secretref.Options{})
	got, err := r.Resolve(t.Context(), awsDB(""))
	require.NoError(t, err)
	require.Equal(t, "hunter2", got.Reveal())
}

// awsNotLoopback replaces the loopback address with 0.0.0.0, which is this machine, but
// not loopback for the clear text warning and for the proxy variables of net/http.
func awsNotLoopback(serverURL string) string {
	return strings.Replace(serverURL, "127.0.0.1", "0.0.0.0", 1)
}

func TestAWSClearText_warning(t *testing.T) {
	s := awsFake(t)
	refs := awsHundred(s)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", awsNotLoopback(s.URL()))
	var log bytes.Buffer
	r, _ := awsResolver(t, secretref.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	_, err := r.ResolveAll(t.Context(), refs...)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), log.String())
	require.Contains(t, log.String(), "clear text")
}

// net/http reads the proxy variables once for each process, so this test runs in a child
// process, whose proxy records requests.
func TestAWSClearText_proxy(t *testing.T) {
	if os.Getenv("SECRETREF_BEHIND_PROXY") != "" {
		s := awsFake(t)
		s.PutSecret("eu-west-1", "db", "hunter2")
		s.AddInstanceRole("app")
		for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
			"AWS_EC2_METADATA_DISABLED"} {
			require.NoError(t, os.Unsetenv(name))
		}
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", awsNotLoopback(s.IMDSURL()))
		t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", awsNotLoopback(s.URL()))
		proxy, err := http.ProxyFromEnvironment(httptest.NewRequest(http.MethodGet,
			awsNotLoopback(s.URL()), nil))
		require.NoError(t, err)
		require.NotNil(t, proxy, "net/http itself would go through the proxy")
		r, _ := awsResolver(t, secretref.Options{Timeout: 3 * time.Second})
		got, err := r.Resolve(t.Context(), awsDB(""))
		require.NoError(t, err)
		require.Equal(t, "hunter2", got.Reveal())
		r, _ = awsResolver(t, secretref.Options{Timeout: 500 * time.Millisecond})
		_, err = r.Resolve(t.Context(),
			`{"region":"eu-west-1","secretId":"db","endpointOverride":"https://0.0.0.0:1"}`)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		return
	}
	var seen sync.Map
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Method+" "+r.RequestURI, true)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "SECRETREF_BEHIND_PROXY=1", "NO_PROXY=", "no_proxy=",
		"HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL, "http_proxy="+proxy.URL,
		"https_proxy="+proxy.URL)
	out, err := child.CombinedOutput()
	require.NoError(t, err, string(out))
	seen.Range(func(request, _ any) bool {
		require.Equal(t, "CONNECT 0.0.0.0:1", request,
			"only https is proxied, in a tunnel")
		return true
	})
	_, tunnelled := seen.Load("CONNECT 0.0.0.0:1")
	require.True(t, tunnelled)
}
