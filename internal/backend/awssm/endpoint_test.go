package awssm_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

// endpointRecorder is an AllowEndpoint that records the endpoints it is called with.
type endpointRecorder struct {
	mu      sync.Mutex
	checked []string
	allow   []string // if nil, all
}

func (g *endpointRecorder) check(u *url.URL) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checked = append(g.checked, u.String())
	for _, prefix := range g.allow {
		if strings.HasPrefix(u.String(), prefix) {
			return nil
		}
	}
	if g.allow == nil {
		return nil
	}
	return errors.New("refused")
}

func TestAllowEndpoint(t *testing.T) {
	for name, c := range map[string]struct {
		prepare  func(t *testing.T, url string)
		override bool
		want     string // empty: the fake's
	}{
		"of the region": {func(t *testing.T, _ string) {}, false,
			"https://secretsmanager.eu-west-1.amazonaws.com"},
		"FIPS": {func(t *testing.T, _ string) { t.Setenv("AWS_USE_FIPS_ENDPOINT", "true") },
			false, "https://secretsmanager-fips.eu-west-1.amazonaws.com"},
		"of the reference": {func(t *testing.T, _ string) {}, true, ""},
		"of the reference, not the environment's": {func(t *testing.T,
			_ string) {
			t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "https://127.0.0.1:1")
		}, true, ""},
		"of the environment": {func(t *testing.T,
			url string) {
			t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
		}, false, ""},
		"of the environment, for all": {func(t *testing.T,
			url string) {
			t.Setenv("AWS_ENDPOINT_URL", url)
		}, false, ""},
		"of the profile": {func(t *testing.T, url string) {
			file(t, "AWS_CONFIG_FILE", "[default]\nendpoint_url = "+url+"\n")
		}, false, ""},
		"of the profile's services": {func(t *testing.T, url string) {
			file(t, "AWS_CONFIG_FILE",
				"[default]\nservices = local\n[services local]\nsecrets_manager =\n  endpoint_url = "+url+"\n")
		}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := fake(t)
			bare(t)
			webIdentity(t, s)
			t.Setenv("AWS_ENDPOINT_URL_STS", s.STSURL())
			c.prepare(t, s.URL())
			ref := db("eu-west-1")
			if c.override {
				ref.EndpointOverride = s.URL() + "/"
			}
			want := c.want
			if want == "" {
				want = s.URL()
			}
			g := &endpointRecorder{allow: []string{"https://elsewhere"}}
			err := open(t, nil, g.check, time.Minute).get(ref)[0].Err
			require.ErrorIs(t, err, fault.Denied)
			require.Contains(t, err.Error(), "AllowEndpoint refused "+want)
			require.Equal(t, []string{want}, trimmed(g.checked))
			require.Zero(t, s.Calls())
			require.Empty(t, s.STSRequests(), "no credentials are fetched")

			if c.want == "" {
				g = &endpointRecorder{allow: []string{want}}
				got := open(t, nil, g.check, time.Minute).get(ref)[0]
				require.NoError(t, got.Err)
				require.Equal(t, "hunter2", got.Text)
				require.Equal(t, []string{want}, trimmed(g.checked), "once for each fetch")
			}
		})
	}
}

func trimmed(urls []string) []string {
	for i := range urls {
		urls[i] = strings.TrimSuffix(urls[i], "/")
	}
	return urls
}

// callerConfig returns a configuration of the caller.
func callerConfig(s *fakeaws.Server) *aws.Config {
	return &aws.Config{BaseEndpoint: aws.String(s.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(keyID, key, "")}
}

func TestAllowEndpoint_callerConfig(t *testing.T) {
	s, other := fake(t), fake(t)
	own := callerConfig(s)
	own.APIOptions = append(own.APIOptions, func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("elsewhere",
			func(ctx context.Context, in middleware.DeserializeInput,
				next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				in.Request.(*smithyhttp.Request).URL.Host = strings.TrimPrefix(other.URL(), "http://")
				return next.HandleDeserialize(ctx, in)
			}), middleware.After)
	})
	g := &endpointRecorder{allow: []string{s.URL()}}
	open(t, own, g.check, time.Minute).fails(fault.Denied, "AllowEndpoint refused "+other.URL())
	require.Zero(t, other.Calls())
	require.Len(t, g.checked, 2)
}

func TestCallerClient_answers(t *testing.T) {
	s := fake(t)
	own := callerConfig(s)
	own.HTTPClient = http.DefaultClient
	open(t, own, nil, time.Minute).good()
	s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write([]byte("{\"SecretString\":\"\xff" + canary + "\"}"))
		return true
	})
	open(t, own, nil, time.Minute).fails(fault.Unavailable, "UTF-8")
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = w.Write([]byte(`{"SecretString":"`))
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				break
			}
		}
		return true
	})
	open(t, own, nil, time.Minute).fails(fault.Unavailable, "8 MiB")
}

func TestCallerClient_proxy(t *testing.T) {
	s := fake(t)
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter,
		*http.Request) {
		t.Error("the proxy was used")
	}))
	t.Cleanup(proxy.Close)
	through, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	own := callerConfig(s)
	own.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.Proxy = http.ProxyURL(through) })
	open(t, own, nil, time.Minute).good()
}

func TestRedirect_anotherHost(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		s, other := fake(t), fake(t)
		keyed(t)
		t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL())
		s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, other.URL(), status)
			return true
		})
		open(t, nil, nil, time.Minute).fails(fault.Unavailable) // not an error of the secret
		require.Zero(t, other.Calls(), status)
		require.Equal(t, 1, s.Calls())

		refusing := &endpointRecorder{allow: []string{s.URL()}}
		open(t, nil, refusing.check, time.Minute).fails(fault.Unavailable)
		require.Zero(t, other.Calls(), status)
	}
}

func TestRedirect_approved(t *testing.T) {
	s, other := fake(t), fake(t)
	keyed(t)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL())
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL(), http.StatusTemporaryRedirect)
		return true
	})
	// The signature is valid only for the host that was signed.
	open(t, nil, (&endpointRecorder{}).check, time.Minute).fails(fault.Unauthenticated,
		"redirects to "+strings.TrimPrefix(other.URL(), "http://"), "endpointOverride")
	require.Equal(t, 1, other.Calls())
}

func TestRedirect_loop(t *testing.T) {
	s := fake(t)
	keyed(t)
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, s.URL()+"/again", http.StatusPermanentRedirect)
		return true
	})
	open(t, nil, nil, time.Minute).fails(fault.Unavailable, "more than 3 times")
	require.Equal(t, 4, s.Calls())
}

func TestClients(t *testing.T) {
	s, other := fake(t), fake(t)
	keyed(t)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL())
	moved := db("us-east-1")
	moved.EndpointOverride = other.URL()
	for _, got := range open(t, nil, nil, time.Minute).get(db("eu-west-1"), db("us-east-1"), moved) {
		require.NoError(t, got.Err)
	}
	require.Equal(t, 2, s.Calls())
	require.Equal(t, 1, other.Calls())
	require.Equal(t, "us-east-1", other.Requests()[0].Region)
}

func TestEndpoint_withoutTLS(t *testing.T) {
	fake(t)
	keyed(t)
	plain := httptest.NewServer(nil)
	t.Cleanup(plain.Close)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", strings.Replace(plain.URL, "http", "https", 1))
	open(t, nil, nil, 300*time.Millisecond).fails(fault.Unavailable)
}

func TestRegion_invalid(t *testing.T) {
	fake(t)
	bare(t)
	keyed(t)
	got := open(t, nil, nil, time.Second).get(ref.Reference{Kind: ref.AWS, Region: "eu west",
		SecretID: "db"})[0]
	require.ErrorIs(t, got.Err, fault.Syntax)
	require.Contains(t, got.Err.Error(), `"eu west"`)
}

// The endpoint of the environment must have the same form as that of a reference.
func TestEndpoint_environment(t *testing.T) {
	for endpoint, words := range map[string]string{
		"http://\u2460\u2461\u2466.0.0.1:1": "127.0.0.1",
		"http://local\u00adhost:1":          "localhost",
		"http://0x7f.1:1":                   "four decimal numbers",
		"http://user:" + canary + "@h:1":    "user info",
		"http://h:1?a=b":                    "query",
		"ftp://h":                           "http://",
		"http://h:0":                        "port",
		"://":                               "is not a URL",
	} {
		for _, name := range []string{"AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL", "profile"} {
			t.Run(endpoint+" "+name, func(t *testing.T) {
				fake(t)
				bare(t)
				keyed(t)
				if name == "profile" {
					file(t, "AWS_CONFIG_FILE", "[default]\nendpoint_url = "+endpoint+"\n")
				} else {
					t.Setenv(name, endpoint)
				}
				open(t, nil, func(*url.URL) error { t.Error("AllowEndpoint was called"); return nil },
					time.Minute).fails(fault.Syntax, words)
			})
		}
	}
}

func TestEndpoint_spelling(t *testing.T) {
	s := fake(t)
	keyed(t)
	t.Setenv("AWS_ENDPOINT_URL",
		strings.Replace(s.URL(), "http://127.0.0.1", "HTTP://[0::ffff:127.0.0.1]", 1))
	g := &endpointRecorder{}
	open(t, nil, g.check, time.Minute).good()
	require.Equal(t, []string{s.URL()}, trimmed(g.checked))
}
