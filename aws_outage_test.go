package secretref_test

import (
	"context"
	"crypto/fips140"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/backend/backendtest"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

// awsAnswer is a response of the fake that replaces its own.
type awsAnswer struct {
	status      int
	contentType string
	header      map[string]string
	body        string
}

func (a awsAnswer) write(w http.ResponseWriter) {
	if a.header["X-Amzn-Requestid"] == "" {
		w.Header().Del("X-Amzn-Requestid") // only AWS sends a request ID
	}
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	if a.contentType != "" {
		w.Header().Set("Content-Type", a.contentType)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// Each mark of a response of AWS is sufficient: some emulators and VPC endpoints omit the
// others.
func TestAWSErrors_marks(t *testing.T) {
	const js = "application/x-amz-json-1.1"
	id := map[string]string{"X-Amzn-Requestid": "5b2a"}
	header := func(code string) map[string]string {
		return map[string]string{"X-Amzn-Requestid": "5b2a", "X-Amzn-Errortype": code}
	}
	for name, c := range map[string]struct {
		answer awsAnswer
		want   error
	}{
		"type": {awsAnswer{400, js, id, `{"__type":"ResourceNotFoundException"}`},
			secretref.ErrNotFound},
		"without a request ID": {awsAnswer{400, js, nil, `{"__type":"AccessDeniedException"}`},
			secretref.ErrDenied},
		"with a namespace": {awsAnswer{400, js, nil,
			`{"__type":"com.amazonaws.secretsmanager#ResourceNotFoundException"}`}, secretref.ErrNotFound},
		"404 of an emulator": {awsAnswer{404, "text/html", nil,
			`{"__type":"ResourceNotFoundException"}`}, secretref.ErrNotFound},
		"header": {awsAnswer{400, js, header("AccessDeniedException"),
			`{"Message":"no"}`}, secretref.ErrDenied},
		"header with an address": {awsAnswer{400, js,
			header("ResourceNotFoundException:http://internal.amazon.com/"), `{}`}, secretref.ErrNotFound},
		"a VPC endpoint's policy": {awsAnswer{400, js, id,
			`{"__type":"AccessDeniedException","Message":"User: arn:aws:iam::123456789012:user/u is not authorized to perform: secretsmanager:GetSecretValue because no VPC endpoint policy allows the action"}`},
			secretref.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			s := awsFake(t)
			s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { c.answer.write(w); return true })
			r, _ := awsResolver(t, secretref.Options{})
			_, err := r.Resolve(t.Context(), awsDB(""))
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestAWSClock(t *testing.T) {
	for _, off := range []time.Duration{10 * time.Minute, -10 * time.Minute, time.Hour, -time.Hour,
		26 * time.Hour} {
		for _, batch := range []bool{false, true} {
			t.Run(fmt.Sprint(off, " in batches ", batch), func(t *testing.T) {
				s := awsFake(t)
				refs := awsHundred(s)[:2]
				s.SetClock(func() time.Time { return time.Now().Add(off) })
				r, events := awsResolver(t, secretref.Options{AWS: secretref.AWSOptions{Batch: batch}})
				for range 2 {
					got, err := r.ResolveAll(t.Context(), refs...)
					require.NoError(t, err)
					require.Equal(t, "value of secret-1", got[1].Reveal())
				}
				require.Equal(t, 1, events()[0].Attempts)
				s.ResetCalls()
				s.SetClock(nil) // correct again
				_, err := r.ResolveAll(t.Context(), refs...)
				require.NoError(t, err)
				require.LessOrEqual(t, s.Calls(), 4)
				s.ResetCalls()
				_, err = r.ResolveAll(t.Context(), refs...)
				require.NoError(t, err)
				require.LessOrEqual(t, s.Calls(), 2, "the offset is remembered")
			})
		}
	}
	t.Run("STS", func(t *testing.T) {
		s := awsFake(t)
		s.PutSecret("eu-west-1", "db", "hunter2")
		const role = "arn:aws:iam::" + fakeaws.Account + ":role/app"
		s.AddRole(role, "")
		t.Setenv("AWS_ENDPOINT_URL_STS", s.STSURL())
		dir := awsWithoutKeys(t)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config"), fmt.Appendf(nil,
			"[default]\nrole_arn = %s\nsource_profile = base\n[profile base]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n",
			role, awsKeyID, awsSecret, awsToken), 0o600))
		s.SetClock(func() time.Time { return time.Now().Add(time.Hour) })
		r, _ := awsResolver(t, secretref.Options{Timeout: time.Minute})
		got, err := r.Resolve(t.Context(), awsDB(""))
		require.NoError(t, err)
		require.Equal(t, "hunter2", got.Reveal())
		require.Len(t, s.STSRequests(), 2)
	})
	for _, code := range []string{"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture",
		"SignatureDoesNotMatch"} {
		t.Run(code, func(t *testing.T) {
			s := awsFake(t)
			s.PutSecret("eu-west-1", "db", "hunter2")
			s.SetClock(func() time.Time { return time.Now().Add(20 * time.Minute) })
			s.Fail(1, 403, code, nil)
			r, _ := awsResolver(t, secretref.Options{Timeout: time.Minute})
			_, err := r.Resolve(t.Context(), awsDB(""))
			require.NoError(t, err)
			require.Equal(t, 2, s.Calls())
		})
	}
	t.Run("is corrected once", func(t *testing.T) {
		s := awsFake(t)
		t.Setenv("AWS_MAX_ATTEMPTS", "9")
		s.SetClock(func() time.Time { return time.Now().Add(time.Hour) })
		s.Fail(99, 400, "RequestTimeTooSkewed", nil)
		r, _ := awsResolver(t, secretref.Options{Timeout: time.Minute})
		_, err := r.Resolve(t.Context(), awsDB(""))
		require.ErrorIs(t, err, secretref.ErrUnauthenticated)
		require.ErrorContains(t, err, "clock")
		require.LessOrEqual(t, s.Calls(), 2)
	})
}

// awsWithoutKeys removes the access keys that awsFake sets and returns the directory of
// the configuration files.
func awsWithoutKeys(t *testing.T) (dir string) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		require.NoError(t, os.Unsetenv(name))
	}
	t.Setenv("HOME", filepath.Dir(os.Getenv("AWS_CONFIG_FILE")))
	return filepath.Dir(os.Getenv("AWS_CONFIG_FILE"))
}

func (a awsAnswer) answer() backendtest.Answer {
	header := maps.Clone(a.header)
	if header == nil {
		header = map[string]string{}
	}
	if a.contentType != "" {
		header["Content-Type"] = a.contentType
	}
	return backendtest.Answer{Status: a.status, Header: header, Body: a.body}
}

func TestAWSLastKnown_oddAnswers(t *testing.T) {
	for _, name := range []string{
		"403 page of a proxy", "403 of a gateway", "no such path of Amazon API Gateway",
		"302 to a login page",
		"404 page", "200 of a gateway", "201 with a secret that is not stored",
	} {
		t.Run("in batches/"+name, func(t *testing.T) {
			backendtest.RequireLastGood(t, awsBackend().StartInProcess(t), awsOddAnswers()[name],
				backendtest.Options{Batch: true})
		})
	}
	t.Run("an error of another host", func(t *testing.T) {
		const other = "other.example"
		denied := backendtest.Answer{Status: 403, Body: `{"__type":"AccessDeniedException"}`,
			Header: map[string]string{"X-Amzn-Requestid": "5b2a",
				"Content-Type": "application/x-amz-json-1.1"}}
		redirect := backendtest.Answer{Status: 307,
			Header: map[string]string{"Location": "http://" + other}}
		var redirected atomic.Bool
		backendtest.RequireLastGood(t, awsBackend().StartInProcess(t),
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Host == other {
					redirected.Store(true)
					denied.ServeHTTP(w, r)
				} else {
					redirect.ServeHTTP(w, r)
				}
			}),
			backendtest.Options{AllowEndpoint: func(*url.URL) error { return nil }})
		require.True(t, redirected.Load())
	})
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

// If a credential source is unavailable, the last known value is served.
func TestAWSLastKnown_credentialSources(t *testing.T) {
	for name, source := range awsSources {
		for how := range source.fail {
			t.Run(name+" "+how, func(t *testing.T) {
				awsSkipSimilar(t, how)
				s := awsFake(t)
				s.PutSecret("eu-west-1", "db", "hunter2")
				awsWithoutKeys(t)
				source.use(t, s)
				keys, err := secretref.OpenKeyring(t.Context(),
					secretref.FileStore(filepath.Join(t.TempDir(), "s.db")), nil)
				require.NoError(t, err)
				defer keys.Close()
				opts := &secretref.Options{LastKnown: keys, TTL: time.Nanosecond,
					Logger: slog.New(slog.DiscardHandler)}
				good := func(r *secretref.Resolver) {
					t.Helper()
					got, err := r.Resolve(t.Context(), awsDB(""))
					require.NoError(t, err)
					require.Equal(t, "hunter2", got.Reveal())
				}
				first := secretref.New(opts)
				good(first)
				require.NoError(t, first.Close())
				opts.Timeout = 100 * time.Millisecond // the last known value is served after it
				r := secretref.New(opts)
				good(r)
				source.fail[how](t)
				s.ExpireCredentials()
				good(r)
				require.NoError(t, r.Close())
				r = secretref.New(opts)
				defer r.Close()
				good(r)
			})
		}
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

// awsFailsAtOnce requires an error of the kind, with the text, after one attempt.
func awsFailsAtOnce(t *testing.T, kind error, text ...string) {
	t.Helper()
	r, events := awsResolver(t, secretref.Options{Timeout: 10 * time.Minute})
	_, err := r.Resolve(t.Context(), awsDB(""))
	require.ErrorIs(t, err, kind)
	for _, text := range text {
		require.ErrorContains(t, err, text)
	}
	requireSilent(t, err)
	require.Equal(t, 1, events()[0].Attempts)
	require.Less(t, events()[0].Duration, time.Minute)
}

func TestAWSCredentials_localMistakes(t *testing.T) {
	unauthenticated := secretref.ErrUnauthenticated
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		for what, end := range map[string]string{"newline": "\n", "carriage return": "\r", "tab": "\t",
			"space": " ", "control": "\x01", "no-break space": "\u00a0", "DEL": "\x7f"} {
			t.Run(name+" "+what, func(t *testing.T) {
				s := awsFake(t)
				t.Setenv(name, os.Getenv(name)+end)
				awsFailsAtOnce(t, unauthenticated, name)
				require.Zero(t, s.Calls())
			})
		}
	}
	t.Run("in the shared file", func(t *testing.T) {
		awsFake(t)
		awsWithoutKeys(t)
		path := os.Getenv("AWS_SHARED_CREDENTIALS_FILE")
		require.NoError(t,
			os.WriteFile(path,
				[]byte("[default]\naws_access_key_id = "+awsKeyID+
					"\naws_secret_access_key = k\naws_session_token = a\x01b\n"), 0o600))
		awsFailsAtOnce(t, unauthenticated, path, "aws_session_token")
	})
	t.Run("from a process", func(t *testing.T) {
		awsFake(t)
		awsWithoutKeys(t)
		awsProcess(t,
			`printf '{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b","SessionToken":"c\\n"}'`)
		awsFailsAtOnce(t, unauthenticated, "credential_process")
	})
	pod := func(t *testing.T) (s *fakeaws.Server, token string) {
		s = awsFake(t)
		token = filepath.Join(awsWithoutKeys(t), "token")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.ECSURL())
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
		return s, token
	}
	t.Run("pod identity token file missing", func(t *testing.T) {
		_, token := pod(t)
		awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
	})
	t.Run("pod identity token file is a directory", func(t *testing.T) {
		_, token := pod(t)
		require.NoError(t, os.Mkdir(token, 0o700))
		awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
	})
	for what, end := range map[string]string{"newline": "\n", "control": "\x01"} {
		t.Run("pod identity token file with "+what, func(t *testing.T) {
			s, token := pod(t)
			require.NoError(t, os.WriteFile(token, []byte(s.ECSToken()+end), 0o600))
			awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
		})
		t.Run("container token with "+what, func(t *testing.T) {
			s, _ := pod(t)
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", s.ECSToken()+end)
			awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_AUTHORIZATION_TOKEN ")
		})
	}
	t.Run("the token instead of its file", func(t *testing.T) {
		pod(t)
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", canary)
		awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
	})
	t.Run("container URI with a newline", func(t *testing.T) {
		s, token := pod(t)
		require.NoError(t, os.WriteFile(token, []byte(s.ECSToken()), 0o600))
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.ECSURL()+"\n")
		awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2\n")
		awsFailsAtOnce(t, unauthenticated, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
	})
	t.Run("container endpoint with an untrusted certificate", func(t *testing.T) {
		s, token := pod(t)
		require.NoError(t, os.WriteFile(token, []byte(s.ECSToken()), 0o600))
		to, err := url.Parse(s.ECSURL())
		require.NoError(t, err)
		front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: to.Scheme, Host: to.Host}) }})
		front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
		front.StartTLS()
		t.Cleanup(front.Close)
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", front.URL+to.Path)
		awsFailsAtOnce(t, secretref.ErrUnavailable, "certificate", "AWS_CA_BUNDLE", "container")

		bundle := filepath.Join(t.TempDir(), "ca.pem")
		require.NoError(t,
			os.WriteFile(bundle,
				pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600))
		t.Setenv("AWS_CA_BUNDLE", bundle)
		s.PutSecret("eu-west-1", "db", "hunter2")
		r, _ := awsResolver(t, secretref.Options{})
		_, err = r.Resolve(t.Context(), awsDB(""))
		require.NoError(t, err, "the bundle applies to the container endpoint, too")
	})
	webIdentity := func(t *testing.T) {
		s := awsFake(t)
		awsWithoutKeys(t)
		awsSources["web identity"].use(t, s)
	}
	t.Run("web identity token with a newline", func(t *testing.T) {
		webIdentity(t)
		path := os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
		require.NoError(t, os.WriteFile(path, []byte("jwt\n"), 0o600))
		awsFailsAtOnce(t, unauthenticated, path)
	})
	t.Run("role with a newline", func(t *testing.T) {
		webIdentity(t)
		t.Setenv("AWS_ROLE_ARN", os.Getenv("AWS_ROLE_ARN")+"\n")
		awsFailsAtOnce(t, unauthenticated, "AWS_ROLE_ARN")
	})
	t.Run("invalid role in a profile", func(t *testing.T) {
		s := awsFake(t)
		awsWithoutKeys(t)
		t.Setenv("AWS_ENDPOINT_URL_STS", s.STSURL())
		require.NoError(t,
			os.WriteFile(os.Getenv("AWS_CONFIG_FILE"),
				fmt.Appendf(nil,
					"[default]\nrole_arn = app-role-of-production\nsource_profile = base\n[profile base]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n", awsKeyID, awsSecret, awsToken), 0o600))
		awsFailsAtOnce(t, unauthenticated, "role_arn")
	})
	t.Run("region of STS with a newline", func(t *testing.T) {
		webIdentity(t)
		require.NoError(t, os.Unsetenv("AWS_ENDPOINT_URL_STS"))
		t.Setenv("AWS_REGION", "eu-west-1\n")
		awsFailsAtOnce(t, unauthenticated, "AWS_REGION")
	})
	t.Run("endpoint of Secrets Manager with a newline", func(t *testing.T) {
		s := awsFake(t)
		t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.URL()+"\n")
		awsFailsAtOnce(t, secretref.ErrSyntax, "AWS_ENDPOINT_URL_SECRETS_MANAGER")
	})
	sso := func(t *testing.T, token string) {
		if fips140.Enforced() {
			t.Skip("the SDK names the file of a session after the SHA-1 of its name")
		}
		awsFake(t)
		dir := awsWithoutKeys(t)
		require.NoError(t,
			os.WriteFile(filepath.Join(dir, "config"),
				[]byte("[default]\nsso_session = s\nsso_account_id = "+fakeaws.Account+
					"\nsso_role_name = r\n[sso-session s]\nsso_start_url = https://x.awsapps.com/start\nsso_region = eu-west-1\n"), 0o600))
		cache := filepath.Join(dir, ".aws", "sso", "cache")
		require.NoError(t, os.MkdirAll(cache, 0o700))
		const sha1OfS = "a0f1490a20d0211c997b44bc357e1972deab8ae3"
		require.NoError(t, os.WriteFile(filepath.Join(cache, sha1OfS+".json"), []byte(token), 0o600))
	}
	t.Run("expired SSO session", func(t *testing.T) {
		sso(t, `{"accessToken":"`+canary+`","expiresAt":"2001-01-01T00:00:00Z"}`)
		awsFailsAtOnce(t, unauthenticated, "aws sso login")
	})
	t.Run("damaged SSO session", func(t *testing.T) {
		sso(t, `{"accessToken":"`+canary)
		awsFailsAtOnce(t, unauthenticated, "aws sso login")
	})
	t.Run("SSO that does not answer", func(t *testing.T) {
		sso(t, `{"accessToken":"`+canary+`","expiresAt":"2999-01-01T00:00:00Z"}`)
		t.Setenv("AWS_ENDPOINT_URL_SSO", awsHangs(t))
		r, _ := awsResolver(t, secretref.Options{Timeout: 200 * time.Millisecond})
		_, err := r.Resolve(t.Context(), awsDB(""))
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		require.NotErrorIs(t, err, secretref.ErrUnauthenticated)
	})
}

func TestAWSBatch_refused(t *testing.T) {
	for _, code := range []string{"ThrottlingException", "AccessDeniedException"} {
		t.Run(code, func(t *testing.T) {
			s := awsFake(t)
			refs := awsHundred(s)[:40]
			var batches, singles atomic.Int32
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".BatchGetSecretValue") {
					singles.Add(1)
					return false
				}
				batches.Add(1)
				w.WriteHeader(400)
				_ = json.NewEncoder(w).Encode(map[string]string{"__type": code})
				return true
			})
			r, _ := awsResolver(t,
				secretref.Options{AWS: secretref.AWSOptions{Batch: true},
					Logger: slog.New(slog.DiscardHandler)})
			got, err := r.ResolveAll(t.Context(), refs...)
			require.NoError(t, err)
			require.Equal(t, "value of secret-39", got[39].Reveal())
			require.EqualValues(t, 40, singles.Load())
			require.LessOrEqual(t, batches.Load(), int32(4))
			_, err = r.ResolveAll(t.Context(), refs...)
			require.NoError(t, err)
			require.EqualValues(t, 80, singles.Load())
			require.LessOrEqual(t, batches.Load(), int32(4), "batches pause")
		})
	}
}

func TestAWSErrors_codes(t *testing.T) {
	for code, want := range map[string]error{
		"NotAuthorized": secretref.ErrDenied, "ValidationError": secretref.ErrSyntax,
		"RequestAbortedException": secretref.ErrUnavailable,
		"AccessDeniedException":   secretref.ErrDenied, "EncryptionFailure": secretref.ErrDenied,
		"DecryptionFailure":              secretref.ErrDenied,
		"ExpiredTokenException":          secretref.ErrUnauthenticated,
		"IncompleteSignature":            secretref.ErrUnauthenticated,
		"InvalidClientTokenId":           secretref.ErrUnauthenticated,
		"UnrecognizedClientException":    secretref.ErrUnauthenticated,
		"MissingAuthenticationToken":     secretref.ErrUnauthenticated,
		"RequestExpired":                 secretref.ErrUnauthenticated,
		"InternalFailure":                secretref.ErrUnavailable,
		"InternalServiceFailure":         secretref.ErrUnavailable,
		"InternalServiceError":           secretref.ErrUnavailable,
		"ServiceUnavailable":             secretref.ErrUnavailable,
		"RequestTimeoutException":        secretref.ErrUnavailable,
		"ThrottlingException":            secretref.ErrUnavailable,
		"LimitExceededException":         secretref.ErrUnavailable,
		"UnknownOperationException":      secretref.ErrUnsupported,
		"InvalidAction":                  secretref.ErrUnsupported,
		"RequestEntityTooLargeException": secretref.ErrSyntax,
		"InvalidParameterException":      secretref.ErrSyntax, "MissingParameter": secretref.ErrSyntax,
		"InvalidParameterCombination": secretref.ErrSyntax,
		"ResourceNotFoundException":   secretref.ErrNotFound,
	} {
		t.Run(code, func(t *testing.T) {
			s := awsFake(t)
			s.Fail(99, 400, code, nil)
			opts := secretref.Options{}
			if want == secretref.ErrUnavailable { // attempts are repeated until then
				opts.Timeout = 100 * time.Millisecond
			}
			r, _ := awsResolver(t, opts)
			_, err := r.Resolve(t.Context(), awsDB(""))
			require.ErrorIs(t, err, want)
		})
	}
}
