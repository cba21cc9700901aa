package awssm_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

func TestBatchDenied(t *testing.T) {
	for name, prepare := range map[string]func(s *fakeaws.Server){
		"denied": func(s *fakeaws.Server) { s.Deny(batchPermission, "*") },
		"unknown": func(s *fakeaws.Server) {
			s.Fail(1, 400, "UnknownOperationException",
				nil)
		},
		"unknown, as a 404": func(s *fakeaws.Server) {
			s.Fail(1, 404, "UnknownOperationException",
				nil)
		},
		"unknown, without a code": func(s *fakeaws.Server) { s.Fail(1, 404, "", nil) },
		"not implemented":         func(s *fakeaws.Server) { s.Fail(1, 501, "InternalFailure", nil) },
		"stopped on the way":      func(s *fakeaws.Server) { s.Fail(1, 403, "", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s, d := batched(t)
			s.PutSecret(region, "other", "value")
			prepare(s)
			for range 3 {
				got := d.fetch("db", "absent", "other")
				require.Equal(t, "hunter2", got[0].Value.Text)
				require.ErrorIs(t, got[1].Err, fault.NotFound)
				require.Equal(t, "value", got[2].Value.Text)
			}
			requireCalls(t, s, 1, 9)
			require.Equal(t, 1, strings.Count(d.log.String(), "level=WARN"))
			require.Contains(t, d.log.String(), "BatchGetSecretValue")
			if strings.HasPrefix(name, "denied") {
				require.Contains(t, d.log.String(), "needs "+batchPermission)
			}
		})
	}
}

// over answers calls for the secrets ids without a network, for a bubble.
type over func(r *http.Request, ids []string, batch bool) (status int, body string)

func (o over) config() *aws.Config {
	return &aws.Config{Credentials: credentials.NewStaticCredentialsProvider(keyID, key, ""),
		HTTPClient: o}
}

func (o over) Do(req *http.Request) (*http.Response, error) {
	var in struct {
		SecretId     string //nolint:revive,staticcheck // the name in the protocol
		SecretIdList []string
	}
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil {
		return nil, err
	}
	batch := in.SecretIdList != nil
	if !batch {
		in.SecretIdList = []string{in.SecretId}
	}
	status, body := o(req, in.SecretIdList, batch)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: req,
	}, nil
}

func TestBatchDeniedPause(t *testing.T) {
	bare(t)
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) {
		batches := 0
		d := openDesk(t, over(func(_ *http.Request, _ []string, batch bool) (int, string) {
			if !batch {
				return 200, `{"SecretString":"x"}`
			}
			batches++
			return 400, `{"__type":"AccessDeniedException","Message":"not authorized to perform: ` +
				batchPermission + `"}`
		}).config(), nil)
		d.texts("a", "b")
		time.Sleep(5*time.Minute - time.Nanosecond)
		d.texts("a", "b")
		require.Equal(t, 1, batches)
		time.Sleep(time.Nanosecond)
		d.texts("a", "b")
		require.Equal(t, 2, batches)
		require.Equal(t, 2, strings.Count(d.log.String(), "level=WARN"))
	})
}

func TestBatchDeniedWarnsOnce(t *testing.T) {
	s, d := batched(t)
	s.Deny(batchPermission, "*")
	s.Latency(50 * time.Millisecond)
	var callers sync.WaitGroup
	for range 5 {
		callers.Go(func() { d.fetch("db", "other") })
	}
	callers.Wait()
	require.Equal(t, 1, strings.Count(d.log.String(), "level=WARN"))
}

func TestBatchDeniedNewCredentials(t *testing.T) {
	s := fake(t)
	webIdentity(t, s)
	d := openDesk(t, nil, nil)
	s.Deny(batchPermission, "*")
	d.texts("db", s.PutSecret(region, "other", "value"))
	requireCalls(t, s, 1, 2)
	s.ExpireCredentials()
	d.texts("db", "other")
	batches, _ := calls(s)
	require.Zero(t, batches)
	s.Allow(batchPermission, "*")
	d.texts("db", "other")
	requireCalls(t, s, 1, 0)
}

func TestBatchFails(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		code   string
		kind   error
	}{
		"down":        {503, "", fault.Unavailable},
		"failing":     {500, "InternalServiceError", fault.Unavailable},
		"who is that": {400, "UnrecognizedClientException", fault.Unauthenticated},
		"expired":     {400, "ExpiredTokenException", fault.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := batched(t)
			s.PutSecret(region, "other", "value")
			s.Fail(1, c.status, c.code, http.Header{"Retry-After": {"7"}})
			for _, r := range d.fetch("db", "other") {
				require.ErrorIs(t, r.Err, c.kind)
				if wait, again := fault.Transient(r.Err); again {
					require.Equal(t, 7*time.Second, wait)
				}
			}
			requireCalls(t, s, 1, 0)
			require.Equal(t, []string{"hunter2", "value"}, d.texts("db", "other"))
			requireCalls(t, s, 1, 0)
		})
	}
}

func TestBatchReloadsCredentials(t *testing.T) {
	s := fake(t)
	webIdentity(t, s)
	s.PutSecret(region, "other", "value")
	d := openDesk(t, nil, nil)
	d.texts("db", "other")
	s.ExpireCredentials()
	require.Equal(t, []string{"hunter2", "value"}, d.texts("db", "other"))
	require.Len(t, s.STSRequests(), 2)
}

// In some services the first secret that fails makes the call fail.
func TestBatchFailsForOneSecret(t *testing.T) {
	for _, code := range []string{"ResourceNotFoundException", "InvalidRequestException",
		"ValidationException", "InvalidParameterException", "DecryptionFailure"} {
		t.Run(code, func(t *testing.T) {
			s, d := batched(t)
			s.Fail(1, 400, code, nil)
			for range 2 {
				got := d.fetch("absent", "db")
				require.ErrorIs(t, got[0].Err, fault.NotFound)
				require.Equal(t, "hunter2", got[1].Value.Text)
			}
			requireCalls(t, s, 2, 2) // later batches are not affected
			require.NotContains(t, d.log.String(), "level=WARN")
		})
	}
}
