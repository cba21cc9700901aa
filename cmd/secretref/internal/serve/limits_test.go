package serve

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/testcert"
	"github.com/seed74218947/secretref/internal/keyring/httpapi"
)

// pipes is a listener of connections in memory, which work in a synctest bubble.
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

// dial waits until a connection is accepted and returns it. It is closed at the end of
// the test.
func (p pipes) dial(t *testing.T) net.Conn {
	ours, theirs := net.Pipe()
	p.accepted <- theirs
	t.Cleanup(func() { _ = ours.Close() })
	return ours
}

// testToken is the token of the service under test.
const testToken = "canary-token-0123456789"

// noKeys is a keyring without a file, since file locks block a bubble.
type noKeys struct{}

func (noKeys) Rotate(context.Context) (string, int, error)      { return "k", 0, nil }
func (noKeys) Inactive(context.Context) ([]string, error)       { return nil, nil }
func (noKeys) DeleteInactive(context.Context) ([]string, error) { return nil, nil }

// limitedService runs test in a bubble with a running server of the API.
func limitedService(t *testing.T, withTLS bool, test func(t *testing.T, p pipes)) {
	var config *tls.Config
	if withTLS {
		dir := t.TempDir()
		testcert.Write(t, dir, "cert")
		v := service{cert: certificateFiles{
			certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "cert.key"),
			log: slog.New(slog.DiscardHandler),
		}}
		config = v.tls()
	}
	token := tokenFile{path: writeToken(t, testToken), log: slog.New(slog.DiscardHandler)}
	handler := httpapi.New(noKeys{}, token.authorize, slog.New(slog.DiscardHandler))
	synctest.Test(t, func(t *testing.T) {
		p := pipes{make(chan net.Conn), make(chan struct{})}
		server := newServer(handler, slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		go func() { ended <- serveLimited(server, p, config) }()
		test(t, p)
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
}

// endsWithin fails if the server does not close a connection within the limit.
func endsWithin(t *testing.T, limit time.Duration, c net.Conn, name string) {
	start := time.Now()
	_, _ = io.Copy(io.Discard, c)
	assert.LessOrEqual(t, time.Since(start), limit, name)
}

func TestServer_closesSilentConnections(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing":             "",
		"half a line":         "POST /re",
		"half of the headers": "POST / HTTP/1.1\r\nHost: x\r\n",
		"no body":             "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
		"no body, expectation": "POST / HTTP/1.1\r\nHost: x\r\nExpect: " +
			"100-continue\r\nContent-Length: 10\r\n\r\n",
		"no chunks":     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"large headers": "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 100<<10),
		"no request":    "canary\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			limitedService(t, false, func(t *testing.T, p pipes) {
				c := p.dial(t)
				go func() { _, _ = io.WriteString(c, sent) }()
				endsWithin(t, 15*time.Second, c, name)
			})
		})
	}
}

// Sending the header byte by byte does not extend the limit.
func TestServer_closesOnSlowHeader(t *testing.T) {
	limitedService(t, false, func(t *testing.T, p pipes) {
		c := p.dial(t)
		go func() {
			for range 1000 {
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		endsWithin(t, 15*time.Second, c, "")
		time.Sleep(time.Second) // lets the writer fail
	})
}

func TestServer_closesOnSlowHandshake(t *testing.T) {
	limitedService(t, true, func(t *testing.T, p pipes) {
		c := p.dial(t)
		go func() { _, _ = c.Write([]byte{22, 3, 1, 1, 0, 1}) }()
		endsWithin(t, 15*time.Second, c, "")
	})
}

// Requests with the token are answered no matter how many connections are held open.
func TestServer_respondsBesideHeldConnections(t *testing.T) {
	limitedService(t, false, func(t *testing.T, p pipes) {
		start := time.Now()
		for range 3 * maxConnections {
			c := p.dial(t) // waits while all slots are taken
			_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\n")
			require.NoError(t, err)
		}
		assert.Positive(t, time.Since(start))
		c := p.dial(t)
		_, err := io.WriteString(c,
			"GET "+"/rest/secrets/1.0/keys/inactive"+" HTTP/1.1\r\nHost: "+
				"x\r\nAuthorization: Bearer "+testToken+"\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Less(t, time.Since(start), time.Minute)
	})
}

func TestServer_closesSilentHTTP2Connections(t *testing.T) {
	const fields = "\x83\x87\x84\x01\x01x" // POST https://x/
	const (
		headers, settings    = 1, 4
		endStream, endHeader = 1, 4
	)
	noWindow := frame(settings, 0, 0, "\x00\x04\x00\x00\x00\x00") // SETTINGS_INITIAL_WINDOW_SIZE
	for name, sent := range map[string]string{
		"nothing":           "",
		"half a frame":      frame(settings, 0, 0, "") + "\x00\x00",
		"half of a header":  frame(settings, 0, 0, "") + frame(headers, endStream, 1, fields),
		"no body":           frame(settings, 0, 0, "") + frame(headers, endHeader, 1, fields),
		"no window":         noWindow + frame(headers, endHeader|endStream, 1, fields),
		"no window or body": noWindow + frame(headers, endHeader, 1, fields),
	} {
		t.Run(name, func(t *testing.T) {
			limitedService(t, true, func(t *testing.T, p pipes) {
				raw := p.dial(t)
				c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true,
					NextProtos: []string{"h2"}})
				require.NoError(t, c.HandshakeContext(context.Background()))
				require.Equal(t, "h2", c.ConnectionState().NegotiatedProtocol)
				go func() { _, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+sent) }()
				endsWithin(t, 100*time.Second, c, name)
			})
		})
	}
}

// frame returns an HTTP/2 frame.
func frame(kind, flags byte, stream uint32, payload string) string {
	head := []byte{0, byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return string(binary.BigEndian.AppendUint32(head, stream)) + payload
}
