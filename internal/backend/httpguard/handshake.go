package httpguard

import (
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// maxHandshakeWait limits how long a request waits for the handshake of another.
// A handshake takes three round trips; one that hangs must not delay the others.
const maxHandshakeWait = time.Second

// HandshakePool is a [Pool] that makes a single TLS handshake at first: if the
// server speaks HTTP/2, all waiting requests share that connection. Otherwise
// each of them would make its own handshake and all but one would discard it. The
// same applies after a connection has died.
type HandshakePool struct{ *Pool }

// NewHandshakePool returns a HandshakePool over base. It modifies base and takes
// ownership of it.
func NewHandshakePool(base *http.Transport) *HandshakePool { return &HandshakePool{NewPool(base)} }

// RoundTrip implements http.RoundTripper.
func (o *HandshakePool) RoundTrip(req *http.Request) (*http.Response, error) {
	return o.roundTrip(req, (*connections).sendAfterHandshake)
}

// handshakeGate admits one request at a time until there is a connection.
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
	timer := time.NewTimer(maxHandshakeWait)
	defer timer.Stop()
	select {
	case <-c.connected:
		return c.RoundTrip(req)
	case <-timer.C:
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
