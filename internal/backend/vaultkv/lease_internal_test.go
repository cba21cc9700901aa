package vaultkv

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

type answers func(*http.Request) string

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(a(r))),
		Request: r}, nil
}

func TestLease_replacedOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("jwt"), 0o600))
	inproc.SkipWithoutRandom(t)
	synctest.Test(t, func(t *testing.T) {
		logins := 0
		settings := Settings{Role: "app", JWTPath: file, Timeout: 30 * time.Second,
			Transport: answers(func(*http.Request) string {
				logins++
				time.Sleep(time.Second)
				return fmt.Sprintf(`{"auth":{"client_token":"t%d","lease_duration":3600}}`, logins)
			})}
		s, err := newServer(&url.URL{Scheme: "https", Host: "vault.example"}, settings,
			&httpguard.Policy{})
		require.NoError(t, err)
		k := newKubernetesLogin(settings, s, slog.New(slog.DiscardHandler))
		defer k.close()
		_, err = k.token(t.Context())
		require.NoError(t, err)
		time.Sleep(2 * time.Hour)
		// Some callers find that the lease has ended, others are refused, early or late.
		got := make(chan string, 30)
		for i := range 30 {
			go func() {
				time.Sleep(time.Duration(i/3) * 300 * time.Millisecond)
				token, err := k.usableToken(t.Context(), []string{"", "t1", "older"}[i%3])
				if err != nil {
					got <- err.Error()
					return
				}
				got <- token.token
			}()
		}
		for range 30 {
			require.Equal(t, "t2", <-got)
		}
		require.Equal(t, 2, logins)
	})
}
