package secretref_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

// awsWithoutKeys removes the access keys that awsFake sets and returns the directory of
// the configuration files.
func awsWithoutKeys(t *testing.T) (dir string) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		require.NoError(t, os.Unsetenv(name))
	}
	t.Setenv("HOME", filepath.Dir(os.Getenv("AWS_CONFIG_FILE")))
	return filepath.Dir(os.Getenv("AWS_CONFIG_FILE"))
}

// awsHangs returns the URL of a server that accepts connections and never responds.
func awsHangs(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	}()
	return "http://" + l.Addr().String()
}

// awsResets returns the URL of a server that resets each connection.
func awsResets(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func awsAlways(t *testing.T, status int) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// awsSources are credential sources on the network, and a process. use selects a source
// that works, fail makes it fail.
var awsSources = map[string]struct {
	use  func(t *testing.T, s *fakeaws.Server)
	fail map[string]func(t *testing.T)
}{
	"metadata": {func(t *testing.T, s *fakeaws.Server) {
		s.AddInstanceRole("app")
		t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.IMDSURL())
	}, awsEndpointFails("AWS_EC2_METADATA_SERVICE_ENDPOINT", 401)},
	"container": {func(t *testing.T, s *fakeaws.Server) {
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.ECSURL())
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", s.ECSToken())
	}, awsEndpointFails("AWS_CONTAINER_CREDENTIALS_FULL_URI", 0)},
	"web identity": {func(t *testing.T, s *fakeaws.Server) {
		const role = "arn:aws:iam::" + fakeaws.Account + ":role/app"
		s.AddRole(role, "jwt")
		token := filepath.Join(t.TempDir(), "token")
		require.NoError(t, os.WriteFile(token, []byte("jwt"), 0o600))
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token)
		t.Setenv("AWS_ROLE_ARN", role)
		t.Setenv("AWS_ENDPOINT_URL_STS", s.STSURL())
	}, awsEndpointFails("AWS_ENDPOINT_URL_STS", 0)},
	"process": {func(t *testing.T, _ *fakeaws.Server) {
		awsProcess(t,
			fmt.Sprintf(`echo '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s","SessionToken":"%s","Expiration":"2001-01-01T00:00:00Z"}'`, awsKeyID, awsSecret, awsToken))
	}, map[string]func(t *testing.T){"hangs": func(t *testing.T) { awsProcess(t, "exec sleep 20") }}},
}

func awsEndpointFails(variable string, refusal int) map[string]func(t *testing.T) {
	fail := map[string]func(t *testing.T){
		"hangs":               func(t *testing.T) { t.Setenv(variable, awsHangs(t)) },
		"resets":              func(t *testing.T) { t.Setenv(variable, awsResets(t)) },
		"refuses connections": func(t *testing.T) { t.Setenv(variable, "http://127.0.0.1:1") },
		"503":                 func(t *testing.T) { t.Setenv(variable, awsAlways(t, 503)) },
	}
	if refusal != 0 {
		fail[fmt.Sprint(refusal)] = func(t *testing.T) { t.Setenv(variable, awsAlways(t, refusal)) }
	}
	return fail
}

// awsProcess writes the credential_process of the default profile.
func awsProcess(t *testing.T, line string) {
	if runtime.GOOS == "windows" {
		t.Skip("the process is a shell script")
	}
	dir := filepath.Dir(os.Getenv("AWS_CONFIG_FILE"))
	script := filepath.Join(dir, "give.sh")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"+line+"\n"), 0o700))
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "config"),
			[]byte("[default]\ncredential_process = "+script+"\n"), 0o600))
}

// awsSkipSimilar skips, in short mode, the failures that resemble a 503 or a hang. Each
// takes its timeout in real time.
func awsSkipSimilar(t *testing.T, how string) {
	if testing.Short() && (how == "resets" || how == "refuses connections") {
		t.Skip("similar to 503")
	}
}

func TestAWSCredentials_sourceUnavailable(t *testing.T) {
	for name, source := range awsSources {
		for how, fail := range source.fail {
			t.Run(name+" "+how, func(t *testing.T) {
				awsSkipSimilar(t, how)
				s := awsFake(t)
				awsWithoutKeys(t)
				source.use(t, s)
				fail(t)
				timeout := 100 * time.Millisecond
				if name == "metadata" && how != "hangs" { // the response must arrive in time
					timeout = 500 * time.Millisecond
				}
				r, _ := awsResolver(t, secretref.Options{Timeout: timeout})
				_, err := r.Resolve(t.Context(), awsDB(""))
				require.ErrorIs(t, err, secretref.ErrUnavailable)
				if ambiguous := name == "metadata" &&
					(how == "hangs" || how == "refuses connections"); ambiguous {
					require.ErrorIs(t, err, secretref.ErrUnauthenticated, "this machine may not be an instance")
				} else {
					require.NotErrorIs(t, err, secretref.ErrUnauthenticated)
				}
			})
		}
	}
	t.Run("process that fails", func(t *testing.T) {
		awsFake(t)
		awsWithoutKeys(t)
		awsProcess(t, "exit 3")
		r, events := awsResolver(t, secretref.Options{})
		_, err := r.Resolve(t.Context(), awsDB(""))
		require.ErrorIs(t, err, secretref.ErrUnauthenticated)
		require.NotErrorIs(t, err, secretref.ErrUnavailable)
		require.Equal(t, 1, events()[0].Attempts)
	})
	t.Run("the caller's source", func(t *testing.T) {
		s := awsFake(t)
		own := awsCallerConfig(s)
		own.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			<-t.Context().Done()
			return aws.Credentials{}, ctx.Err()
		})
		r, _ := awsResolver(t,
			secretref.Options{Timeout: 200 * time.Millisecond, AWS: secretref.AWSOptions{Config: own}})
		_, err := r.Resolve(t.Context(), awsDB(""))
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		require.NotErrorIs(t, err, secretref.ErrUnauthenticated)
		require.ErrorContains(t, err, "the given aws.Config")
	})
}

func TestAWSCredentials_rotated(t *testing.T) {
	rotate := func(s *fakeaws.Server) (id, secret string) {
		s.RemoveKey(awsKeyID)
		s.AddKey("AKIDNEW", "new-"+canary, "")
		return "AKIDNEW", "new-" + canary
	}
	for name, c := range map[string]struct {
		use, replace func(t *testing.T, s *fakeaws.Server)
	}{
		"shared file": {func(t *testing.T, s *fakeaws.Server) {
			require.NoError(t, os.WriteFile(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"),
				fmt.Appendf(nil,
					"[default]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n",
					awsKeyID, awsSecret, awsToken), 0o600))
		}, func(t *testing.T, s *fakeaws.Server) {
			id, secret := rotate(s)
			require.NoError(t, os.WriteFile(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"),
				fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id,
					secret), 0o600))
		}},
		"shared file of a role": {func(t *testing.T, s *fakeaws.Server) {
			const role = "arn:aws:iam::" + fakeaws.Account + ":role/app"
			s.AddRole(role, "")
			t.Setenv("AWS_ENDPOINT_URL_STS", s.STSURL())
			require.NoError(t, os.WriteFile(os.Getenv("AWS_CONFIG_FILE"),
				fmt.Appendf(nil,
					"[default]\nrole_arn = %s\nsource_profile = default\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n", role, awsKeyID, awsSecret, awsToken), 0o600))
		}, func(t *testing.T, s *fakeaws.Server) {
			id, secret := rotate(s)
			s.ExpireCredentials()
			require.NoError(t, os.WriteFile(os.Getenv("AWS_CONFIG_FILE"),
				fmt.Appendf(nil,
					"[default]\nrole_arn = arn:aws:iam::%s:role/app\nsource_profile = default\naws_access_key_id = %s\naws_secret_access_key = %s\n", fakeaws.Account, id, secret), 0o600))
		}},
		"environment": {func(t *testing.T, s *fakeaws.Server) {
			t.Setenv("AWS_ACCESS_KEY_ID", awsKeyID)
			t.Setenv("AWS_SECRET_ACCESS_KEY", awsSecret)
			t.Setenv("AWS_SESSION_TOKEN", awsToken)
		}, func(t *testing.T, s *fakeaws.Server) {
			id, secret := rotate(s)
			t.Setenv("AWS_ACCESS_KEY_ID", id)
			t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
			t.Setenv("AWS_SESSION_TOKEN", "")
		}},
		"web identity": {awsSources["web identity"].use,
			func(_ *testing.T, s *fakeaws.Server) { s.ExpireCredentials() }},
		"container": {awsSources["container"].use,
			func(_ *testing.T, s *fakeaws.Server) { s.ExpireCredentials() }},
		"instance": {awsSources["metadata"].use,
			func(_ *testing.T, s *fakeaws.Server) { s.ExpireCredentials() }},
	} {
		for _, batch := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " in batches ", batch), func(t *testing.T) {
				s := awsFake(t)
				refs := awsHundred(s)
				awsWithoutKeys(t)
				c.use(t, s)
				r, events := awsResolver(t, secretref.Options{AWS: secretref.AWSOptions{Batch: batch}})
				_, err := r.ResolveAll(t.Context(), refs...)
				require.NoError(t, err)
				for range 2 {
					c.replace(t, s)
					got, err := r.ResolveAll(t.Context(), refs...)
					require.NoError(t, err)
					require.Equal(t, "value of secret-99", got[99].Reveal())
				}
				require.LessOrEqual(t, len(s.STSRequests()), 6)
				require.LessOrEqual(t, len(s.MetadataRequests()), 12)
				for _, e := range events() {
					require.NoError(t, e.Err)
				}
			})
		}
	}
}

// If new credentials are refused, others are not requested at once.
func TestAWSCredentials_refused(t *testing.T) {
	for _, batch := range []bool{false, true} {
		s := awsFake(t)
		refs := awsHundred(s)
		awsWithoutKeys(t)
		awsSources["web identity"].use(t, s)
		r, _ := awsResolver(t, secretref.Options{AWS: secretref.AWSOptions{Batch: batch}})
		_, err := r.ResolveAll(t.Context(), refs...)
		require.NoError(t, err)
		s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
			awsAnswer{400, "application/x-amz-json-1.1", nil,
				`{"__type":"UnrecognizedClientException"}`}.write(w)
			return true
		})
		for range 20 {
			_, err = r.Resolve(t.Context(), refs[0])
			require.ErrorIs(t, err, secretref.ErrUnauthenticated)
		}
		require.LessOrEqual(t, len(s.STSRequests()), 3)
		require.LessOrEqual(t, s.Calls(), 100+21)
		s.Intercept(nil)
		_, err = r.ResolveAll(t.Context(), refs...)
		require.NoError(t, err)
	}
}
