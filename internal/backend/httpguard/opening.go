package httpguard

import (
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// maxAlone is how long requests wait for the first connection. A handshake
// takes three round trips; one that hangs must not hold up the others.
const maxAlone = time.Second

// Opening is a [Pool] that makes the first connection over TLS alone: if it
// turns out to speak HTTP/2, the requests that come meanwhile share it. All of
// them would otherwise shake hands, and all but one throw the result away. After
// a connection that died the next one is the first again.
type Opening struct{ *Pool }

// NewOpening returns an Opening over base, which it changes and owns from now
// on.
func NewOpening(base *http.Transport) *Opening { return &Opening{NewPool(base)} }

// RoundTrip implements http.RoundTripper.
func (o *Opening) RoundTrip(req *http.Request) (*http.Response, error) {
	return o.roundTrip(req, (*connections).openAlone)
}

// gate lets one request at a time pass until there is a connection.
type gate struct {
	turn chan struct{} // has room for the request that makes the first connection
	open chan struct{} // closed when there is one
	once *sync.Once
}

func newGate() gate { return gate{make(chan struct{}, 1), make(chan struct{}), new(sync.Once)} }

func (c *connections) openAlone(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return c.RoundTrip(req)
	}
	select {
	case <-c.open:
		return c.RoundTrip(req)
	default:
	}
	patience := time.NewTimer(maxAlone)
	defer patience.Stop()
	select {
	case <-c.open:
		return c.RoundTrip(req)
	case <-patience.C:
		return c.RoundTrip(req)
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-req.Context().Done():
		closeBody(req)
		return nil, req.Context().Err()
	}
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		c.once.Do(func() { close(c.open) })
	}}
	return c.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
}
