package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/keyring/httpapi"
)

// pipes is a listener of in-memory connections.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.accepted <- server
	return client
}

// keys is a keyring whose calls last for a duration.
type keys struct{ duration time.Duration }

func (k keys) Rotate(ctx context.Context) (string, int, error) { return "k", 1, k.wait(ctx) }

func (k keys) Inactive(ctx context.Context) ([]string, error) { return nil, k.wait(ctx) }

func (k keys) DeleteInactive(ctx context.Context) ([]string, error) { return nil, k.wait(ctx) }

func (k keys) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(k.duration):
		return nil
	}
}

// serve runs test with the handler in a server that has the given limits.
func serve(t *testing.T, k keys, server *http.Server, test func(t *testing.T, p pipes)) {
	synctest.Test(t, func(t *testing.T) {
		authorize := func(r *http.Request) (string, error) {
			if r.Header.Get("Authorization") != "Bearer right" {
				return "", errors.New("wrong token")
			}
			return "alice", nil
		}
		p := pipes{make(chan net.Conn), make(chan struct{})}
		server.Handler = httpapi.New(k, authorize, slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(p) }()
		test(t, p)
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
}

const request = "POST " + httpapi.RotatePath + " HTTP/1.1\r\nHost: keys\r\n"

// roundTrip sends the head of a request. It returns the response, and how long the response
// and the end of the connection took.
func roundTrip(t *testing.T, c net.Conn, head string) (resp *http.Response, body string, responded,
	closed time.Duration) {
	start := time.Now()
	_, err := io.WriteString(c, head+"\r\n")
	require.NoError(t, err)
	r := bufio.NewReader(c)
	resp, err = http.ReadResponse(r, nil)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	responded = time.Since(start)
	if resp.Close {
		_, err = r.ReadByte()
		require.ErrorIs(t, err, io.EOF)
	}
	return resp, string(text), responded, time.Since(start)
}

// A server may have no timeouts of its own.
func TestHandler_missingBody(t *testing.T) {
	for name, head := range map[string]string{
		"length":         "Content-Length: 10\r\n",
		"long":           "Content-Length: 10000000\r\n",
		"chunks":         "Transfer-Encoding: chunked\r\n",
		"expectation":    "Content-Length: 10\r\nExpect: 100-continue\r\n",
		"half of a body": "Content-Length: 10\r\n\r\nhalf",
	} {
		for _, token := range []string{"", "Authorization: Bearer right\r\n"} {
			t.Run(name+strings.TrimSpace(" "+token), func(t *testing.T) {
				serve(t, keys{}, &http.Server{}, func(t *testing.T, p pipes) {
					c := p.dial()
					defer c.Close()
					resp, _, responded, closed := roundTrip(t, c, request+token+head)
					require.Equal(t, token != "", resp.StatusCode == http.StatusOK)
					require.Zero(t, responded)
					require.True(t, resp.Close)
					require.LessOrEqual(t, closed, 10*time.Second)
				})
			})
		}
	}
}

func TestHandler_closesRefusedConnection(t *testing.T) {
	serve(t, keys{}, &http.Server{}, func(t *testing.T, p pipes) {
		c := p.dial()
		defer c.Close()
		resp, _, _, closed := roundTrip(t, c, request)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		require.True(t, resp.Close)
		require.Zero(t, closed)
	})
}

func TestHandler_keepsAuthorizedConnection(t *testing.T) {
	serve(t, keys{}, &http.Server{}, func(t *testing.T, p pipes) {
		c := p.dial()
		defer c.Close()
		for range 3 {
			resp, _, _, _ := roundTrip(t, c, request+"Authorization: Bearer right\r\n")
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.False(t, resp.Close)
		}
	})
}

// A rotation may take longer than the timeouts of the server.
func TestHandler_slowCall(t *testing.T) {
	for name, head := range map[string]string{
		"POST":           request,
		"POST with body": request + "Content-Length: 10\r\n",
		"GET":            "GET " + httpapi.InactivePath + " HTTP/1.1\r\nHost: keys\r\n",
		"DELETE":         "DELETE " + httpapi.InactivePath + " HTTP/1.1\r\nHost: keys\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			limits := &http.Server{ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
				IdleTimeout: 5 * time.Second}
			serve(t, keys{duration: 10 * time.Minute}, limits, func(t *testing.T, p pipes) {
				c := p.dial()
				defer c.Close()
				resp, body, responded, _ := roundTrip(t, c, head+"Authorization: Bearer right\r\n")
				require.Equal(t, http.StatusOK, resp.StatusCode, body)
				require.Equal(t, 10*time.Minute, responded)
			})
		})
	}
}

// An authorized client does not read the response.
func TestHandler_unreadResponse(t *testing.T) {
	serve(t, keys{duration: time.Minute}, &http.Server{}, func(t *testing.T, p pipes) {
		c := p.dial()
		defer c.Close()
		_, err := io.WriteString(c, request+"Authorization: Bearer right\r\n\r\n")
		require.NoError(t, err)
		time.Sleep(3 * time.Minute)
		_, err = io.ReadAll(c)
		require.NoError(t, err)
	})
}
