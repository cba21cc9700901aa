package httpguard

import (
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// maxHandshakeWait is how long requests wait for the first connection. A handshake
// takes three round trips; one that hangs must not hold up the others.
const maxHandshakeWait = time.Second

// HandshakePool is a [Pool] that makes the first connection over TLS alone: if it
// turns out to speak HTTP/2, the requests that come meanwhile share it. All of
// them would otherwise shake hands, and all but one throw the result away. After
// a connection that died the next one is the first again.
type HandshakePool struct{ *Pool }

// NewHandshakePool returns an Opening over base, which it changes and owns from now
// on.
func NewHandshakePool(base *http.Transport) *HandshakePool { return &HandshakePool{NewPool(base)} }

// RoundTrip implements http.RoundTripper.
func (o *HandshakePool) RoundTrip(req *http.Request) (*http.Response, error) {
	return o.roundTrip(req, (*connections).sendAfterHandshake)
}

// handshakeGate lets one request at a time pass until there is a connection.
type handshakeGate struct {
	slot      chan struct{} // has room for the request that makes the first connection
	connected chan struct{} // closed when there is one
	once      *sync.Once
}

func newHandshakeGate() handshakeGate {
	return handshakeGate{make(chan struct{}, 1), make(chan struct{}), new(sync.Once)}
}

func (c *connections) sendAfterHandshake(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return c.RoundTrip(req)
	}
	select {
	case <-c.connected:
		return c.RoundTrip(req)
	default:
	}
	patience := time.NewTimer(maxHandshakeWait)
	defer patience.Stop()
	select {
	case <-c.connected:
		return c.RoundTrip(req)
	case <-patience.C:
		return c.RoundTrip(req)
	case c.slot <- struct{}{}:
		defer func() { <-c.slot }()
	case <-req.Context().Done():
		closeBody(req)
		return nil, req.Context().Err()
	}
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		c.once.Do(func() { close(c.connected) })
	}}
	return c.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
}
