package secretref_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

// answering is an aws.Config whose service gives the same answer to each call, and
// counts the calls.
func answering(status int, body string) (*aws.Config, *atomic.Int32) {
	var calls atomic.Int32
	return &aws.Config{
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", canary, ""),
		HTTPClient: doFunc(func(r *http.Request) (*http.Response, error) {
			calls.Add(1)
			return &http.Response{StatusCode: status, Request: r,
				Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
				Body:   io.NopCloser(strings.NewReader(body))}, nil
		}),
	}, &calls
}

type doFunc func(*http.Request) (*http.Response, error)

func (d doFunc) Do(r *http.Request) (*http.Response, error) { return d(r) }

func awsValues(n int) (values []string) {
	for i := range n {
		values = append(values, fmt.Sprintf(`{"region":"eu-west-1","secretId":"s%d"}`, i))
	}
	return values
}

// TestBatch_outage counts the calls to a service that is down: secrets that failed
// together are fetched together again.
func TestBatch_outage(t *testing.T) {
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) {
		config, calls := answering(503, "")
		r := secretref.New(&secretref.Options{Timeout: 5 * time.Second,
			AWS: secretref.AWSOptions{Config: config, Batch: true}})
		defer r.Close()
		_, err := r.ResolveAll(t.Context(), awsValues(100)...)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		// 5 calls, and at most 13 for each of the 6 further attempts that fit into the
		// Timeout. Were each secret fetched by itself, there would be 700.
		require.LessOrEqual(t, int(calls.Load()), 5+6*13)
	})
}

// panicking is a log handler that panics when a fetch begins.
type panicking struct{ slog.Handler }

func (p panicking) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "fetch begins" {
		panic("log handler")
	}
	return nil
}

func TestClose_afterPanickingLogger(t *testing.T) {
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) {
		config, calls := answering(200, `{"SecretString":"x"}`)
		debug := slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})
		r := secretref.New(&secretref.Options{Logger: slog.New(panicking{debug}),
			AWS: secretref.AWSOptions{Config: config, Batch: true}})
		for range 10 { // more than calls at a time
			_, err := r.ResolveAll(t.Context(), awsValues(3)...)
			require.Error(t, err)
		}
		require.NoError(t, r.Close())
		require.Zero(t, calls.Load(), "no caller waited for a call")
	})
}
