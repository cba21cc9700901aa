package httpguard_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
)

// raw starts a listener that passes each connection to serve, and returns its address.
func raw(t *testing.T, serve func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

// says reads a request and writes the text.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = bufio.NewReader(c).ReadString('\n')
		_, _ = io.WriteString(c, text)
	}
}

// tlsServer starts a TLS server without a log.
func tlsServer(t *testing.T, config *tls.Config) *httptest.Server {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = config
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestExplain(t *testing.T) {
	const canary = "c4nary"
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	silent := raw(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	wantsCertificate := tlsServer(t, &tls.Config{ClientAuth: tls.RequireAnyClientCert})
	oldTLS := tlsServer(t,
		&tls.Config{MaxVersion: tls.VersionTLS11}) //nolint:gosec // this is tested
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	host := func(s *httptest.Server) string {
		return strings.TrimPrefix(strings.TrimPrefix(s.URL, "https://"), "http://")
	}

	for name, c := range map[string]struct {
		scheme, host string
		trust        bool
		words        string
		lasting      bool
	}{
		"closed port": {"http", closed.Addr().String(), false, "refuses connections", false},
		"no such name": {"http", "nonexistent.invalid", false,
			"the name of nonexistent.invalid", false},
		"hangs up": {"http", raw(t, says("")), false, "closed the connection", false},
		"hangs up half-way": {"http", raw(t, says("HTTP/1.1 200 OK\r\nX: "+canary)), false,
			"closed the connection", false},
		"hangs up in HTTP": {"http", raw(t, says("HTT")), false, "closed the connection", false},
		"hangs up in status": {"http", raw(t, says("HTTP/1.1 2")), false,
			"closed the connection", false},
		"a status that is none": {"http", raw(t, says("HTTP/1.1 ok\r\n\r\n")), false,
			"does not speak HTTP", true},
		"no HTTP": {"http", raw(t, says("\x15\x03\x01\x00\x02\x02"+canary+"\n")), false,
			"does not speak HTTP", true},
		"huge headers": {"http",
			raw(t, says("HTTP/1.1 200 OK\r\nX: "+strings.Repeat(canary, 1<<20)+"\r\n\r\n")), false,
			"headers of the answer", true},
		"silence":           {"http", silent, false, "did not answer in time", false},
		"silence under TLS": {"https", silent, false, "did not answer in time", false},
		"https to http":     {"https", host(plain), false, "does not speak TLS", true},
		"TLS that is none": {"https", raw(t, says(canary+"\n\n\n")), false,
			"does not speak TLS", true},
		"untrusted": {"https", host(tlsServer(t, nil)), false, "is not trusted", true},
		"wrong name": {"https", "localhost:" + portOf(host(tlsServer(t, nil))), true,
			"is not trusted", true},
		"wants a certificate": {"https", host(wantsCertificate), true, "certificate required", true},
		"speaks an old TLS":   {"https", host(oldTLS), true, "protocol version", true},
		"hangs up in handshake": {"https", raw(t, func(net.Conn) {}), false,
			"closed the connection", false},
	} {
		t.Run(name, func(t *testing.T) {
			most := 10 * time.Second
			if c.words == "did not answer in time" {
				most = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), most)
			defer cancel()
			base := &http.Transport{MaxResponseHeaderBytes: 64 << 10, TLSClientConfig: &tls.Config{}}
			defer base.CloseIdleConnections()
			if c.trust {
				base.TLSClientConfig.RootCAs = wantsCertificate.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.scheme+"://"+c.host+"/v1/x", nil)
			require.NoError(t, err)
			resp, err := (&http.Client{Transport: &httpguard.Transport{Base: base, MaxBody: 100}}).Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			require.Error(t, err)
			got := httpguard.Explain(err, c.host)
			require.ErrorIs(t, got, fault.Unavailable)
			require.Contains(t, got.Error(), c.words, "%v", err)
			require.Contains(t, got.Error(), c.host)
			require.NotContains(t, got.Error(), canary)
			_, again := fault.Transient(got)
			require.Equal(t, c.lasting, !again)
		})
	}
}

func portOf(hostPort string) string { return hostPort[strings.LastIndex(hostPort, ":")+1:] }

func TestExplain_proxyUnreachable(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	base := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: closed.Addr().String(),
		User: url.UserPassword("user", "pw")})}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"https://vault.example/v1/x", nil)
	require.NoError(t, err)
	_, err = base.RoundTrip(req)
	require.ErrorContains(t, httpguard.Explain(err, "vault.example"),
		"the proxy to vault.example cannot be reached: check HTTPS_PROXY")
}

func TestExplain_context(t *testing.T) {
	require.ErrorContains(t, httpguard.Explain(context.Canceled, "h"), "was canceled")
	require.ErrorContains(t, httpguard.Explain(context.DeadlineExceeded, "h"), "in time")
	require.ErrorContains(t, httpguard.Explain(io.ErrClosedPipe, "h"), "no answer from h")
	own := fault.New(fault.Denied, "own")
	require.Same(t, own, httpguard.Explain(&url.Error{Op: "Get", URL: "https://h", Err: own}, "h"))
}

func TestHandshake_firstConnectionAlone(t *testing.T) {
	for name, http2 := range map[string]bool{"http/2": true, "http/1.1": false} {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int32
			hold := make(chan struct{})
			var waiting atomic.Int32
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				if waiting.Add(1) == 50 {
					close(hold)
				}
				<-hold
			}))
			s.EnableHTTP2 = http2
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			s.StartTLS()
			defer s.Close()
			base := s.Client().Transport.(*http.Transport)
			base.ForceAttemptHTTP2 = http2
			opening := httpguard.NewHandshakePool(base)
			defer opening.CloseIdleConnections()
			ended := make(chan error)
			for range 50 {
				go func() {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
					if err == nil {
						var resp *http.Response
						if resp, err = opening.RoundTrip(req); err == nil {
							err = resp.Body.Close()
						}
					}
					ended <- err
				}()
			}
			for range 50 {
				require.NoError(t, <-ended)
			}
			if http2 {
				require.EqualValues(t, 1, connections.Load())
			} else {
				require.EqualValues(t, 50, connections.Load(), "there is a connection for each request")
			}
		})
	}
}

func TestHandshake_firstConnectionFails(t *testing.T) {
	s := tlsServer(t, nil) // its certificate is not trusted
	opening := httpguard.NewHandshakePool(&http.Transport{})
	silent := raw(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	ask := func(ctx context.Context, to string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, to, strings.NewReader("x"))
		require.NoError(t, err)
		_, err = opening.RoundTrip(req)
		return err
	}
	for range 3 {
		require.ErrorContains(t, ask(t.Context(), s.URL), "certificate")
	}
	stuck, release := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- ask(stuck, "https://"+silent) }()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, ask(short, "https://"+silent), context.DeadlineExceeded)
	release()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.ErrorContains(t, ask(t.Context(), s.URL), "certificate")
}
