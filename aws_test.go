package secretref_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
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
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

const (
	awsKeyID  = "AKIDEXAMPLE"
	awsSecret = "key-" + canary
	awsToken  = "token-" + canary
)

// awsEnv removes the AWS settings of this machine: no files, no instance.
func awsEnv(t testing.TB) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			require.NoError(t, os.Unsetenv(name))
		}
	}
	none := t.TempDir()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(none, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(none, "credentials"))
	t.Setenv("AWS_CA_BUNDLE", "")
}

// awsFake starts a fake AWS and sets the environment to it and to a valid key.
func awsFake(t testing.TB) *fakeaws.Server {
	s := fakeaws.New()
	t.Cleanup(s.Close)
	s.AddKey(awsKeyID, awsSecret, awsToken)
	awsEnv(t)
	t.Setenv("AWS_ACCESS_KEY_ID", awsKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", awsSecret)
	t.Setenv("AWS_SESSION_TOKEN", awsToken)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL())
	return s
}

// awsResolver returns a Resolver that is closed after the test. events returns the events
// of all fetches that have ended. By default, nothing is cached.
func awsResolver(t testing.TB, opts secretref.Options) (r *secretref.Resolver,
	events func() []secretref.FetchEvent) {
	var mu sync.Mutex
	var seen []secretref.FetchEvent
	opts.OnFetch = func(e secretref.FetchEvent) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, e)
	}
	opts.TTL = cmp.Or(opts.TTL, -1)
	r = secretref.New(&opts)
	t.Cleanup(func() { r.Close() })
	return r, func() []secretref.FetchEvent {
		mu.Lock()
		defer mu.Unlock()
		return append([]secretref.FetchEvent{}, seen...)
	}
}

func awsDB(pointer string) string {
	return secretref.AWSReference{Region: "eu-west-1", SecretID: "db",
		SecretPointer: secretref.Pointer(pointer)}.String()
}

func TestAWSValues(t *testing.T) {
	s := awsFake(t)
	const jsonWarning, newlineWarning = "is the secretPointer missing?", "ends in a newline"
	for name, c := range map[string]struct{ text, pointer, want, warning string }{
		"a password":            {"hunter2", "", "hunter2", ""},
		"text that is not JSON": {`{"a":`, "", `{"a":`, ""},
		"with white space":      {" hunter2\t", "", " hunter2\t", ""},
		"a trailing newline":    {"hunter2\n", "", "hunter2\n", newlineWarning},
		"a whole JSON object":   {"{\"password\": \"p\" }", "", "{\"password\": \"p\" }", jsonWarning},
		"UTF-8":                 {"pä\u2028ß\U0001f511\x00", "", "pä\u2028ß\U0001f511\x00", ""},
		"UTF-8 with a pointer":  {`{"pä":"ß\ud83d\udd11"}`, "/pä", "ß\U0001f511", ""},
		"escapes":               {`"\"`, "", `"\"`, ""},
		"a number, digit by digit": {`{"port":1.50e+09000000000000000001}`, "/port",
			"1.50e+09000000000000000001", ""},
		"a boolean":          {`{"tls":true}`, "/tls", "true", ""},
		"the last duplicate": {`{"a":{"b":1},"a":{"b":"2"}}`, "/a/b", "2", ""},
		"an escaped pointer": {`{"a/b":{"c~d":["x"]}}`, "/a~1b/c~0d/0", "x", ""},
		"64 KiB": {strings.Repeat("\x01", 64<<10), "",
			strings.Repeat("\x01", 64<<10), ""},
		"65 KiB": {strings.Repeat("\u20ac", 65<<10/3), "",
			strings.Repeat("\u20ac", 65<<10/3), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, put := range map[string]func(){
				"string": func() { s.PutSecret("eu-west-1", "db", c.text) },
				"binary": func() { s.PutBinary("eu-west-1", "db", []byte(c.text)) },
			} {
				put()
				var log bytes.Buffer
				r, _ := awsResolver(t, secretref.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				got, err := r.Resolve(t.Context(), awsDB(c.pointer))
				require.NoError(t, err, kind)
				require.Equal(t, c.want, got.Reveal(), kind)
				if c.warning == "" {
					require.Empty(t, log.String())
				} else {
					require.Contains(t, log.String(), c.warning)
				}
			}
		})
	}
}

func TestAWSPointer_errors(t *testing.T) {
	s := awsFake(t)
	for text, pointer := range map[string]string{
		`{"a":"` + canary + `"}`: "/b", `{"a":{"b":"` + canary + `"}}`: "/a", `{"a":null}`: "/a",
		`{"a":["` + canary + `"]}`: "/a/1",
		canary:                     "/a", `{"a":"` + canary + `"} x`: "/a",
		"{\"a\":\"\xff" + canary + "\"}": "/a",
		`{"a":"` + canary:                "/a",
	} {
		s.PutBinary("eu-west-1", "db", []byte(text))
		r, _ := awsResolver(t, secretref.Options{})
		_, err := r.Resolve(t.Context(), awsDB(pointer))
		require.ErrorIs(t, err, secretref.ErrPointer, "%s", strings.ReplaceAll(text, canary, "x"))
		requireSilent(t, err)
	}
}

func TestAWSSecretID(t *testing.T) {
	s := awsFake(t)
	arn := s.PutSecret("eu-west-1", "prod/db", "hunter2")
	r, _ := awsResolver(t, secretref.Options{})
	for _, id := range []string{"prod/db", arn, arn[:len(arn)-len("-abcdef")]} {
		got, err := r.ResolveReference(t.Context(),
			secretref.AWSReference{Region: "eu-west-1", SecretID: id})
		require.NoError(t, err)
		require.Equal(t, "hunter2", got.Reveal())
	}
}

func TestAWSErrors_as(t *testing.T) {
	s := awsFake(t)
	s.Fail(1, 400, "DecryptionFailure", nil)
	r, _ := awsResolver(t, secretref.Options{})
	_, err := r.Resolve(t.Context(), awsDB(""))
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, "DecryptionFailure", api.ErrorCode())
	require.Empty(t, api.ErrorMessage())
}

// Other servers, or malicious ones, send these responses.
func TestAWSAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		want   error
		text   string
	}{
		"not JSON": {awsWrites(`{"SecretString":"` + canary), secretref.ErrUnavailable, "JSON"},
		"HTML": {awsWrites("<html><body>" + canary + "</body></html>"),
			secretref.ErrUnavailable, "JSON"},
		"nothing": {awsWrites(""), secretref.ErrUnavailable, "JSON"},
		"two documents": {awsWrites(`{"SecretString":"` + canary + `"}{}`), secretref.ErrUnavailable,
			"JSON"},
		"invalid UTF-8": {awsWrites("{\"SecretString\":\"\xff" + canary + "\"}"),
			secretref.ErrUnavailable, "UTF-8"},
		"half a surrogate": {awsWrites(`{"SecretString":"\ud83d` + canary + `"}`),
			secretref.ErrUnavailable, "surrogate"},
		"null": {awsWrites(`null`), secretref.ErrUnavailable, "not that of AWS"},
		"an array": {awsWrites(`["` + canary + `"]`), secretref.ErrUnavailable,
			"not that of AWS"},
		"no value": {awsWrites(`{"Name":"` + canary + `"}`), secretref.ErrNotFound, "no value"},
		"a number": {awsWrites(`{"SecretString":1234}`), secretref.ErrUnavailable,
			"not that of AWS"},
		"broken base64": {awsWrites(`{"SecretBinary":"` + canary + `"}`), secretref.ErrUnavailable,
			"not that of AWS"},
		"HTML as an error": {func(w http.ResponseWriter,
			r *http.Request) {
			w.WriteHeader(400)
			awsWrites("<html>"+canary)(w, r)
		}, secretref.ErrUnavailable, "is it AWS Secrets Manager?"},
	} {
		t.Run(name, func(t *testing.T) {
			s := awsFake(t)
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool { c.answer(w, r); return true })
			r, _ := awsResolver(t, secretref.Options{})
			_, err := r.Resolve(t.Context(), awsDB(""))
			require.ErrorIs(t, err, c.want)
			require.Contains(t, err.Error(), c.text)
			requireSilent(t, err)
			require.Equal(t, 1, s.Calls(), "an invalid response is not retried")
		})
	}
}

func awsWrites(body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

// awsHundred stores 100 secrets and returns references to them.
func awsHundred(s *fakeaws.Server) []string {
	refs := make([]string, 100)
	for i := range refs {
		name := fmt.Sprintf("secret-%d", i)
		s.PutSecret("eu-west-1", name, "value of "+name)
		refs[i] = secretref.AWSReference{Region: "eu-west-1", SecretID: name}.String()
	}
	return refs
}

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

func BenchmarkAWSColdResolve(b *testing.B) {
	s := awsFake(b)
	s.PutSecret("eu-west-1", "db", "hunter2")
	b.ReportAllocs()
	for b.Loop() {
		r := secretref.New(nil)
		_, err := r.Resolve(b.Context(), awsDB(""))
		require.NoError(b, err)
		r.Close()
	}
}

func BenchmarkAWSHundredReferencesOneSecret(b *testing.B) {
	s := awsFake(b)
	s.PutSecret("eu-west-1", "db", `{"password":"hunter2"}`)
	refs := make([]string, 100)
	for i := range refs {
		refs[i] = awsDB("/password")
	}
	r := secretref.New(&secretref.Options{TTL: -1})
	defer r.Close()
	b.ReportAllocs()
	for b.Loop() {
		_, err := r.ResolveAll(b.Context(), refs...)
		require.NoError(b, err)
	}
}

// The latency is 5 ms. "open" uses existing connections.
func BenchmarkAWSHundredSecrets(b *testing.B) {
	for _, c := range []struct {
		name        string
		batch, cold bool
	}{{"open", false, false}, {"cold", false, true}, {"batch open", true, false},
		{"batch cold", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			s := awsFake(b)
			refs := awsHundred(s)
			s.Latency(5 * time.Millisecond)
			opts := &secretref.Options{TTL: -1, AWS: secretref.AWSOptions{Batch: c.batch}}
			r := secretref.New(opts)
			if !c.cold {
				_, err := r.ResolveAll(b.Context(), refs...)
				require.NoError(b, err)
			}
			s.ResetCalls()
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				_, err := r.ResolveAll(b.Context(), refs...)
				require.NoError(b, err)
				if n++; c.cold {
					r.Close()
					r = secretref.New(opts)
				}
			}
			b.ReportMetric(float64(s.Calls())/float64(n), "calls/op")
			r.Close()
		})
	}
}

func TestAWSBatch(t *testing.T) {
	s := awsFake(t)
	refs := awsHundred(s)
	missing := secretref.AWSReference{Region: "eu-west-1", SecretID: "missing"}.String()
	elsewhere := secretref.AWSReference{Region: "us-east-1", SecretID: "db"}.String()
	s.PutSecret("us-east-1", "db", "elsewhere")
	opts := secretref.Options{TTL: 5 * time.Minute, AWS: secretref.AWSOptions{Batch: true}}
	right := func(got []secretref.Secret) {
		for i := range 100 {
			require.Equal(t, fmt.Sprint("value of secret-", i), got[i].Reveal())
		}
	}
	t.Run("together", func(t *testing.T) {
		s.ResetCalls()
		r, events := awsResolver(t, opts)
		got, err := r.ResolveAll(t.Context(), refs...)
		require.NoError(t, err)
		right(got)
		calls := s.Calls()
		require.Equal(t, 5, calls)
		require.Len(t, events(), 100, "each secret has an event")
		got, err = r.ResolveAll(t.Context(), refs...)
		require.NoError(t, err)
		right(got)
		require.Equal(t, calls, s.Calls())
	})
	t.Run("from 100 goroutines", func(t *testing.T) {
		s.ResetCalls()
		r, _ := awsResolver(t, opts)
		_, err := r.Resolve(t.Context(), elsewhere) // loads the configuration
		require.NoError(t, err)
		var callers sync.WaitGroup
		got := make([]secretref.Secret, 100)
		for i, ref := range refs {
			callers.Go(func() { got[i], _ = r.Resolve(t.Context(), ref) })
		}
		callers.Wait()
		right(got)
		require.LessOrEqual(t, s.Calls(), 20, "5 if all of them are queued before the first call")
	})
	t.Run("a missing secret fails alone", func(t *testing.T) {
		s.ResetCalls()
		r, _ := awsResolver(t, opts)
		got, err := r.ResolveAll(t.Context(), append([]string{missing, elsewhere}, refs...)...)
		require.ErrorIs(t, err, secretref.ErrNotFound)
		require.ErrorContains(t, err, "value 1")
		require.NotContains(t, err.Error(), "value 2")
		require.Equal(t, "elsewhere", got[1].Reveal())
		right(got[2:])
		require.Equal(t, 7, s.Calls(), "six batches of one region, and one call of the other")
	})
	t.Run("throttled", func(t *testing.T) {
		s.ResetCalls()
		s.Fail(5, 400, "ThrottlingException", nil)
		r, _ := awsResolver(t, opts)
		got, err := r.ResolveAll(t.Context(), refs...)
		require.NoError(t, err)
		right(got)
		require.LessOrEqual(t, s.Calls(), 105, "the secrets of a throttled batch are fetched one by one")
	})
	t.Run("denied", func(t *testing.T) {
		s.ResetCalls()
		s.Deny("secretsmanager:BatchGetSecretValue", "*")
		r, _ := awsResolver(t, opts)
		got, err := r.ResolveAll(t.Context(), refs...)
		require.NoError(t, err)
		right(got)
		require.LessOrEqual(t, s.Calls(), 110)
	})
}
