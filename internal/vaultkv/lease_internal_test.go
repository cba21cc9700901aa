package vaultkv

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/transport"
)

// piped is a server that is reached without sockets, which would keep the
// clock of a bubble from running.
func piped(t *testing.T, answer func(*http.Request) string) *server {
	s, err := newServer(&url.URL{Scheme: "http", Host: "vault.example"}, "", &transport.Policy{})
	require.NoError(t, err)
	base := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer func() { _ = there.Close() }()
			for requests := bufio.NewReader(there); ; {
				req, err := http.ReadRequest(requests)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				body := answer(req)
				fmt.Fprintf(there, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			}
		}()
		return here, nil
	}}
	s.guard.Base = base
	return s
}

func TestALoginIsReplacedBeforeItsLeaseEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("jwt"), 0o600))
	for lease, logins := range map[int]int{3600: 3, 0: 1} {
		synctest.Test(t, func(t *testing.T) {
			var given []time.Time
			s := piped(t, func(r *http.Request) string {
				require.True(t, strings.HasSuffix(r.URL.Path, "/v1/auth/kubernetes/login"))
				given = append(given, time.Now())
				return fmt.Sprintf(`{"auth":{"client_token":"t%d","lease_duration":%d}}`, len(given), lease)
			})
			k := newKubernetes(Settings{Role: "app", JWTPath: file, Timeout: 30 * time.Second}, s, slog.New(slog.DiscardHandler))
			for range 100 { // minutes
				got, err := k.token(t.Context())
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("t%d", len(given)), got)
				if lease > 0 {
					require.Less(t, time.Since(given[len(given)-1]), time.Duration(lease)*time.Second)
				}
				time.Sleep(time.Minute)
			}
			if lease > 0 {
				require.Equal(t, 54*time.Minute, given[1].Sub(given[0]), "a tenth before the end")
			}
			require.LessOrEqual(t, len(given), logins)
			k.close()
			s.guard.CloseIdle()
		})
	}
}

func TestOneFlightReplacesOneToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("jwt"), 0o600))
	synctest.Test(t, func(t *testing.T) {
		logins := 0
		s := piped(t, func(*http.Request) string {
			logins++
			time.Sleep(time.Second)
			return fmt.Sprintf(`{"auth":{"client_token":"t%d","lease_duration":3600}}`, logins)
		})
		k := newKubernetes(Settings{Role: "app", JWTPath: file, Timeout: 30 * time.Second}, s, slog.New(slog.DiscardHandler))
		_, err := k.token(t.Context())
		require.NoError(t, err)
		time.Sleep(2 * time.Hour)
		// Some find that the lease has ended, others are refused, early or late.
		got := make(chan string, 30)
		for i := range 30 {
			go func() {
				time.Sleep(time.Duration(i/3) * 300 * time.Millisecond)
				token, err := k.again(t.Context(), []string{"", "t1", "older"}[i%3])
				if err != nil {
					token = err.Error()
				}
				got <- token
			}()
		}
		for range 30 {
			require.Equal(t, "t2", <-got)
		}
		require.Equal(t, 2, logins)
		k.close()
		s.guard.CloseIdle()
	})
}
