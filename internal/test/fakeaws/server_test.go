package fakeaws

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFail(t *testing.T) {
	s := start(t)
	c := client(t)
	s.PutSecret(testRegion, "db", "v")

	s.Fail(2, 400, "ThrottlingException", http.Header{"Retry-After": {"7"}})
	s.Fail(1, 503, "", nil)
	for range 2 {
		_, err := get(t, c, "db")
		assertCode(t, err, "ThrottlingException")
		var resp *smithyhttp.ResponseError
		require.ErrorAs(t, err, &resp)
		assert.Equal(t, 400, resp.HTTPStatusCode())
		assert.Equal(t, "7", resp.HTTPResponse().Header.Get("Retry-After"))
	}
	_, err := get(t, c, "db")
	var resp *smithyhttp.ResponseError
	require.ErrorAs(t, err, &resp)
	assert.Equal(t, 503, resp.HTTPStatusCode())
	assert.Equal(t, "v", mustGet(t, c, "db"))
	assert.Equal(t, 4, s.Calls(), "failed calls count")

	s.Fail(1, 400, "DecryptionFailure", nil)
	_, err = get(t, c, "db")
	var undecryptable *types.DecryptionFailure
	require.ErrorAs(t, err, &undecryptable)
	s.Fail(1, 500, "InternalServiceError", nil)
	_, err = get(t, c, "db")
	var internal *types.InternalServiceError
	require.ErrorAs(t, err, &internal)

	s.Fail(9, 400, "ThrottlingException", nil)
	s.Fail(0, 0, "", nil)
	assert.Equal(t, "v", mustGet(t, c, "db"), "0 forgets what is queued")
}

func TestFail_SDKRetries(t *testing.T) {
	s := start(t)
	s.PutSecret(testRegion, "db", "v")
	s.Fail(2, 400, "ThrottlingException", nil)
	c := client(t, config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	}))
	assert.Equal(t, "v", mustGet(t, c, "db"))
	assert.Equal(t, 3, s.Calls())
}

func TestLatency(t *testing.T) {
	s := start(t)
	s.PutSecret(testRegion, "db", "v")
	s.Latency(20 * time.Millisecond)
	began := time.Now()
	assert.Equal(t, "v", mustGet(t, client(t), "db"))
	assert.GreaterOrEqual(t, time.Since(began), 20*time.Millisecond)

	s.Latency(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := loopbackOnly().Do(signed(t, s, longTerm, time.Now()).WithContext(ctx))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	arrived := make(chan struct{}, 8)
	s.SetClock(func() time.Time { // a request first calls the clock
		select {
		case arrived <- struct{}{}:
		default:
		}
		return time.Now()
	})
	answered := make(chan error, 1)
	r := signed(t, s, longTerm, time.Now())
	go func() {
		resp, err := loopbackOnly().Do(r)
		if err == nil {
			_ = resp.Body.Close()
			err = errors.New("answered")
		}
		answered <- err
	}()
	<-arrived
	s.Close()
	assert.NotEqual(t, "answered", (<-answered).Error())
}

func TestIntercept(t *testing.T) {
	s := start(t)
	s.PutSecret(testRegion, "db", "v")
	c := client(t)

	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.JSONEq(t, `{"SecretId":"db"}`, string(body))
		return false
	})
	assert.Equal(t, "v", mustGet(t, c, "db"), "the hook may look on")

	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		conn, _, err := w.(http.Hijacker).Hijack()
		if assert.NoError(t, err) {
			_ = conn.(*net.TCPConn).SetLinger(0) // makes the close a reset
			_ = conn.Close()
		}
		return true
	})
	_, err := get(t, c, "db")
	var sending *smithyhttp.RequestSendError
	assert.ErrorAs(t, err, &sending)

	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte(`{"SecretString":"v`))
		return true
	})
	_, err = get(t, c, "db")
	assert.Error(t, err)

	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		chunk := []byte(strings.Repeat(" ", 1<<16))
		for {
			if _, err := w.Write(chunk); err != nil {
				return true
			}
		}
	})
	resp, err := loopbackOnly().Do(signed(t, s, longTerm, time.Now()))
	require.NoError(t, err)
	n, err := io.CopyN(io.Discard, resp.Body, 4<<20)
	require.NoError(t, err)
	assert.EqualValues(t, 4<<20, n)
	_ = resp.Body.Close()

	s.Intercept(nil)
	assert.Equal(t, "v", mustGet(t, c, "db"))
	assert.Equal(t, 5, s.Calls(), "intercepted calls count")
}

func TestProtocol_errors(t *testing.T) {
	s := start(t)
	now := time.Now()
	for name, change := range map[string]func(*http.Request){
		"GET":          func(r *http.Request) { r.Method = http.MethodGet },
		"path":         func(r *http.Request) { r.URL.Path = "/x" },
		"content type": func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
	} {
		resp, body := do(t, signed(t, s, longTerm, now, change))
		assert.Equal(t, http.StatusNotFound, resp.StatusCode, name)
		assert.Contains(t, body, "UnknownOperationException", name)
	}
	for want, change := range map[string]func(*http.Request){
		"UnknownOperationException": func(r *http.Request) {
			r.Header.Set("X-Amz-Target",
				"secretsmanager.ListSecrets")
		},
		"SerializationException": func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(`{"SecretId":"db"`))
			r.ContentLength = 16
		},
	} {
		assert.Equal(t, want, code(t, signed(t, s, longTerm, now, change)))
	}
	resp, body := do(t, signed(t, s, longTerm, now, func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat(" ", maxBody+1))),
			maxBody+1
	}))
	assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	assert.Contains(t, body, "RequestEntityTooLargeException")
}

func TestProtocol_wrongTypes(t *testing.T) {
	for _, body := range []string{`[]`, `"db"`, `{"SecretId":7}`, `{"SecretIdList":"db"}`} {
		var get getInput
		var list batchInput
		fault := decode([]byte(body), &get)
		if fault == nil {
			fault = decode([]byte(body), &list)
		}
		if assert.NotNil(t, fault, body) {
			assert.Equal(t, "SerializationException", fault.code)
		}
	}
	fault := getInput{}.validate()
	require.NotNil(t, fault)
	assert.Equal(t, "ValidationException", fault.code)
}

// This is a test for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := start(t)
	c := client(t)
	s.PutSecret(testRegion, "db", "v")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				_, err := get(t, c, "db")
				assert.NoError(t, err)
			}
		})
		wg.Go(func() {
			for range 10 {
				s.PutSecret(testRegion, "db", "v")
				s.Deny("kms:Decrypt", "other")
				s.Allow("kms:Decrypt", "other")
				s.AddKey("AKIAOTHER", "s", "")
				s.Calls()
			}
		})
	}
	wg.Wait()
	assert.Equal(t, 80, s.Calls())
}
