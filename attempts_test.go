package secretref_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

// answerless is a RoundTripper whose requests all fail with an error.
type answerless struct{ err error }

func (a answerless) RoundTrip(*http.Request) (*http.Response, error) { return nil, a.err }

func TestFailedAttempts(t *testing.T) {
	inproc.SkipWithoutRandom(t)
	refused := &net.OpError{Op: "dial", Net: "tcp",
		Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	unknown := &net.OpError{Op: "dial", Net: "tcp",
		Err: &net.DNSError{Err: "no such host", Name: "vault.example.invalid", IsNotFound: true}}
	token := func(context.Context) (string, error) { return canary, nil }
	value := vaultValue("https://vault.example.invalid", "db", "k")
	t.Run("connection refused", func(t *testing.T) {
		vaultEnv(t)
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			var events []secretref.FetchEvent
			r := secretref.NewOver(answerless{refused},
				&secretref.Options{Vault: secretref.VaultOptions{Token: token},
					OnFetch: func(e secretref.FetchEvent) { events = append(events, e) },
					Logger:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			defer r.Close()
			_, err := r.Resolve(t.Context(), value)
			require.ErrorIs(t, err, secretref.ErrUnavailable)
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			require.Regexp(t, `refuses connections; gave up after \d+ attempts in (2\d|30)s$`, err.Error())
			require.Len(t, events, 1)
			attempts := 0
			for line := range strings.Lines(log.String()) {
				if !strings.Contains(line, "fetch attempt failed") {
					continue
				}
				attempts++
				require.Contains(t, line, "level=DEBUG")
				require.Contains(t, line, "vault.example.invalid")
				require.Contains(t, line, fmt.Sprintf("attempt=%d ", attempts))
				require.Contains(t, line, "refuses connections")
				require.Contains(t, line, "pause=")
			}
			require.Equal(t, events[0].Attempts, attempts)
			require.Contains(t, err.Error(), fmt.Sprintf("after %d attempts", attempts))
			require.NotContains(t, log.String(), canary)

			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err = r.Resolve(ctx, value)
			require.Regexp(t,
				`gave up after \d+ attempts in 5s; the last attempt said: .*refuses connections$`, err.Error())
		})
	})
	t.Run("a host that does not exist", func(t *testing.T) {
		vaultEnv(t)
		synctest.Test(t, func(t *testing.T) {
			r := secretref.NewOver(answerless{unknown},
				&secretref.Options{Vault: secretref.VaultOptions{Token: token}})
			defer r.Close()
			start := time.Now()
			_, err := r.Resolve(t.Context(), value)
			require.ErrorIs(t, err, secretref.ErrUnavailable)
			require.ErrorContains(t, err, "does not resolve; gave up after")
			require.LessOrEqual(t, time.Since(start), 5*time.Second)
		})
	})
	t.Run("a region that does not exist", func(t *testing.T) {
		given := awsCallerConfig(awsFake(t))
		given.BaseEndpoint = nil
		given.HTTPClient = sender(answerless{&net.OpError{Op: "dial",
			Err: &net.DNSError{IsNotFound: true}}}.RoundTrip)
		t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "")
		for _, batch := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				r := secretref.New(&secretref.Options{AWS: secretref.AWSOptions{Config: given, Batch: batch}})
				defer r.Close()
				start := time.Now()
				_, err := r.ResolveAll(t.Context(), `{"region":"eu-wset-1","secretId":"a"}`,
					`{"region":"eu-wset-1","secretId":"b"}`)
				require.ErrorIs(t, err, secretref.ErrUnavailable)
				require.ErrorContains(t, err, `is the region "eu-wset-1" correct?; gave up after`)
				require.LessOrEqual(t, time.Since(start), 5*time.Second)
			})
		}
	})
	t.Run("one attempt", func(t *testing.T) {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			for _, err := range []error{secretref.ErrUnauthenticated, secretref.ErrDenied,
				errors.New("odd")} {
				store.fails(err)
				start := time.Now()
				_, err := r.Resolve(t.Context(), remoteA)
				require.NotContains(t, err.Error(), "gave up")
				require.Equal(t, store.takes, time.Since(start), "there is no retry")
			}
		})
	})
}
