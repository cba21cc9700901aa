package secretref_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
