package faults

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A gate is a proxy in front of a server: it counts requests and can answer them itself.
type gate struct {
	web         *httptest.Server
	calls       atomic.Int64
	connections atomic.Int64
	untrusted   atomic.Bool // it presents a certificate that is not trusted

	mu     sync.Mutex
	answer func(http.ResponseWriter, *http.Request) bool // reports whether it answered the request
}

func newGate(t *testing.T, server string, secure bool) *gate {
	t.Helper()
	g, forward := &gate{}, forwarder(t, server)
	g.web = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.calls.Add(1)
		g.mu.Lock()
		answer := g.answer
		g.mu.Unlock()
		if answer == nil || !answer(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	g.web.Config.ErrorLog = quiet
	g.web.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			g.connections.Add(1)
		}
	}
	g.web.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if g.untrusted.Load() {
			return &tls.Config{Certificates: []tls.Certificate{untrusted}}, nil
		}
		return &tls.Config{Certificates: []tls.Certificate{trusted}}, nil
	}}
	if secure {
		g.web.StartTLS()
	} else {
		g.web.Start()
	}
	t.Cleanup(func() {
		g.web.CloseClientConnections()
		g.web.Close()
	})
	return g
}

// quiet discards the messages about connections that end early.
var quiet = log.New(io.Discard, "", 0)

// forwarder returns a handler that forwards requests to a server.
func forwarder(t *testing.T, server string) http.Handler {
	t.Helper()
	target, err := url.Parse(server)
	require.NoError(t, err)
	connections := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(connections.CloseIdleConnections)
	return &httputil.ReverseProxy{Transport: connections, ErrorLog: quiet,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is part of AWS signatures
		}}
}

// intercept calls answer for every request from now on, unless it is nil.
func (g *gate) intercept(answer func(http.ResponseWriter, *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = answer
}
