package transport

import (
	"net/http"
	"net/http/httptrace"
	"sync"
)

// Opening is a RoundTripper that makes the first connection over TLS alone: if
// it turns out to speak HTTP/2, the requests that come meanwhile share it. All
// of them would otherwise shake hands, and all but one throw the result away.
type Opening struct {
	base *http.Transport
	turn chan struct{} // has room for whoever makes the first connection
	open chan struct{} // closed when there is one
	once sync.Once
}

// NewOpening returns an Opening over base.
func NewOpening(base *http.Transport) *Opening {
	return &Opening{base: base, turn: make(chan struct{}, 1), open: make(chan struct{})}
}

// RoundTrip implements http.RoundTripper.
func (o *Opening) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return o.base.RoundTrip(req)
	}
	select {
	case <-o.open:
		return o.base.RoundTrip(req)
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-req.Context().Done():
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, req.Context().Err()
	}
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		o.once.Do(func() { close(o.open) })
	}}
	return o.base.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
}

// CloseIdleConnections closes the connections that no request uses.
func (o *Opening) CloseIdleConnections() { o.base.CloseIdleConnections() }
