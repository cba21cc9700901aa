package awssm_test

import (
	"context"
	"crypto/fips140"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

func TestCredentials_sourceErrors(t *testing.T) {
	status := func(t *testing.T, code int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, canary)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for name, c := range map[string]struct {
		prepare func(*testing.T, *fakeaws.Server)
		kind    error
		text    []string
	}{
		"STS down": {func(t *testing.T,
			s *fakeaws.Server) {
			webIdentity(t, s)
			t.Setenv("AWS_ENDPOINT_URL_STS", closedPort(t))
		}, fault.Unavailable, []string{"AWS STS"}},
		"STS hangs": {func(t *testing.T,
			s *fakeaws.Server) {
			webIdentity(t, s)
			t.Setenv("AWS_ENDPOINT_URL_STS", hangingServer(t))
		}, fault.Unavailable, []string{"AWS STS"}},
		"STS fails": {func(t *testing.T,
			s *fakeaws.Server) {
			webIdentity(t, s)
			s.FailSTS(99, 500, "InternalFailure", nil)
		}, fault.Unavailable, []string{"AWS STS", "InternalFailure"}},
		"STS silent 503": {func(t *testing.T,
			s *fakeaws.Server) {
			webIdentity(t, s)
			s.FailSTS(99, 503, "", nil)
		}, fault.Unavailable, []string{"AWS STS", "503"}},
		"STS throttles": {func(t *testing.T,
			s *fakeaws.Server) {
			webIdentity(t, s)
			s.FailSTS(99, 400, "Throttling", nil)
		}, fault.Unavailable, []string{"AWS STS", "Throttling"}},
		"STS refuses": {func(t *testing.T,
			s *fakeaws.Server) {
			webIdentity(t, s)
			s.Deny("sts:AssumeRole", roleARN)
		},
			fault.Unauthenticated, []string{"AWS STS refuses", "AccessDenied", "trust policy"}},
		"a proxy in front of STS": {func(t *testing.T, s *fakeaws.Server) {
			webIdentity(t, s)
			t.Setenv("AWS_ENDPOINT_URL_STS", status(t, 403))
		},
			fault.Unavailable, []string{"AWS STS", "status 403"}},
		"a gateway in front of STS": {func(t *testing.T, s *fakeaws.Server) {
			webIdentity(t, s)
			t.Setenv("AWS_ENDPOINT_URL_STS", status(t, 404))
		},
			fault.Unavailable, []string{"AWS STS", "status 404"}},
		"a page in place of STS": {func(t *testing.T, s *fakeaws.Server) {
			webIdentity(t, s)
			t.Setenv("AWS_ENDPOINT_URL_STS", status(t, 200))
		},
			fault.Unavailable, []string{"AWS STS"}},
		"a login page before STS": {func(t *testing.T, s *fakeaws.Server) {
			webIdentity(t, s)
			t.Setenv("AWS_ENDPOINT_URL_STS", status(t, 302))
		},
			fault.Unavailable, []string{"AWS STS"}},
		"STS does not know the token": {func(t *testing.T,
			s *fakeaws.Server) {
			webIdentity(t, s)
			s.AddRole(roleARN, "another")
		},
			fault.Unauthenticated, []string{"InvalidIdentityToken", "token"}},
		"a role that may not be assumed": {func(t *testing.T, s *fakeaws.Server) {
			credentialSources["assumed role"].prepare(t, s)
			s.Deny("sts:AssumeRole", roleARN)
		},
			fault.Unauthenticated, []string{"AWS STS refuses", "AccessDenied"}},
		"a token file that is missing": {func(t *testing.T, s *fakeaws.Server) {
			webIdentity(t, s)
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/does/not/exist")
		}, fault.Unauthenticated, []string{"cannot read the web identity token /does/not/exist"}},
		"a token without a role": {func(t *testing.T, s *fakeaws.Server) {
			webIdentity(t, s)
			require.NoError(t, os.Unsetenv("AWS_ROLE_ARN"))
		}, fault.Unauthenticated, []string{"AWS_ROLE_ARN is not"}},
		"container down": {func(t *testing.T,
			_ *fakeaws.Server) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", closedPort(t))
		}, fault.Unavailable, []string{"container"}},
		"container hangs": {func(t *testing.T,
			_ *fakeaws.Server) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", hangingServer(t))
		}, fault.Unavailable, []string{"container"}},
		"container fails": {func(t *testing.T,
			_ *fakeaws.Server) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", status(t, 500))
		}, fault.Unavailable, []string{"container"}},
		"container refuses": {func(t *testing.T, s *fakeaws.Server) {
			container(t, s)
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "t-"+canary)
		}, fault.Unauthenticated, []string{"container", "AWS_CONTAINER_AUTHORIZATION_TOKEN"}},
		"container elsewhere": {func(t *testing.T, _ *fakeaws.Server) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/"+canary)
		}, fault.Unauthenticated, []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "loopback"}},
		"metadata fails": {func(t *testing.T, s *fakeaws.Server) {
			instance(t, s)
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", status(t, 503))
		}, fault.Unavailable, []string{"instance metadata"}},
		"a role through an instance that is none": {func(t *testing.T, s *fakeaws.Server) {
			instance(t, s)
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", closedPort(t))
			file(t, "AWS_CONFIG_FILE",
				"[default]\nrole_arn = "+roleARN+"\ncredential_source = Ec2InstanceMetadata\n")
		}, fault.Unauthenticated, []string{"no AWS credentials found"}},
		"credential_process": {func(t *testing.T, _ *fakeaws.Server) {
			file(t, "AWS_CONFIG_FILE",
				"[default]\ncredential_process = sh -c 'echo "+canary+" >&2; exit 1'\n")
		}, fault.Unauthenticated, []string{"credential_process"}},
		"SSO without a session": {func(t *testing.T, _ *fakeaws.Server) {
			if fips140.Enforced() {
				t.Skip("the SDK names the file of a session after the SHA-1 of its name")
			}
			file(t, "AWS_CONFIG_FILE",
				"[default]\nsso_session = x\nsso_account_id = "+fakeaws.Account+"\nsso_role_name = r\n"+
					"[sso-session x]\nsso_region = eu-west-1\nsso_start_url = https://127.0.0.1:1/start\n")
		}, fault.Unauthenticated, []string{"aws sso login"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := fake(t)
			c.prepare(t, s)
			if strings.HasSuffix(name, "hangs") {
				open(t, nil, nil, 100*time.Millisecond).fails(c.kind, c.text...)
			} else {
				open(t, nil, nil, time.Hour).attemptFails(c.kind, c.text...)
			}
			require.Zero(t, s.Calls())
		})
	}
}

func TestConfig_errors(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*testing.T)
		text    string
	}{
		"no such profile": {func(t *testing.T) { t.Setenv("AWS_PROFILE", "does-not-exist") },
			`the AWS profile "does-not-exist" does not exist`},
		"no such bundle": {func(t *testing.T) { t.Setenv("AWS_CA_BUNDLE", "/does/not/exist") },
			"cannot read /does/not/exist"},
		"an empty bundle": {func(t *testing.T) { file(t, "AWS_CA_BUNDLE", canary) }, "AWS_CA_BUNDLE"},
		"not a file": {func(t *testing.T) { t.Setenv("AWS_CONFIG_FILE", t.TempDir()) },
			os.TempDir()},
		"half a role": {func(t *testing.T) {
			file(t, "AWS_CONFIG_FILE", "[default]\nrole_arn = "+roleARN+"\nsource_profile = "+"none\n")
		}, `the AWS profile "none" does not exist`},
		"a bad number": {func(t *testing.T) { t.Setenv("AWS_MAX_ATTEMPTS", canary) },
			"cannot be loaded"},
		"invalid credentials file": {func(t *testing.T) {
			file(t, "AWS_SHARED_CREDENTIALS_FILE",
				"[default\n"+canary)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := fake(t)
			c.prepare(t)
			open(t, nil, nil, time.Second).fails(fault.Unauthenticated, c.text)
			require.Zero(t, s.Calls())
		})
	}
}

func TestCredentials_sourceRecovers(t *testing.T) {
	s := fake(t)
	webIdentity(t, s)
	t.Setenv("AWS_ENDPOINT_URL_STS", hangingServer(t))
	w := open(t, nil, nil, 200*time.Millisecond)
	w.fails(fault.Unavailable, "AWS STS", "does not answer")
	w.timeout = time.Minute
	t.Setenv("AWS_ENDPOINT_URL_STS", s.STSURL())
	w.good()
}

func TestCredentials_canceledCaller(t *testing.T) {
	s := fake(t)
	webIdentity(t, s)
	to, err := url.Parse(s.STSURL())
	require.NoError(t, err)
	arrived, proceed := make(chan struct{}, 9), make(chan struct{})
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		arrived <- struct{}{}
		<-proceed
		p.SetURL(to)
	}})
	t.Cleanup(front.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", front.URL)
	w := open(t, nil, nil, 10*time.Second)
	ctx, leave := context.WithCancel(t.Context())
	var first, second sync.WaitGroup
	first.Go(func() {
		require.ErrorIs(t, w.getWith(ctx, db("us-east-1"))[0].Err, context.Canceled)
	})
	<-arrived
	leave()
	first.Wait()
	time.Sleep(20 * time.Millisecond) // the fetch ends after its last caller has left
	second.Go(w.good)
	time.Sleep(20 * time.Millisecond)
	close(proceed)
	second.Wait()
	require.Len(t, s.STSRequests(), 1)
}
