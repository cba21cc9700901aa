package fakevault

import (
	"io"
	"net/http"
	"net/http/httptest"
)

// NewUnplugged returns a server that listens nowhere and is asked with
// [Server.RoundTrip]. Made in a bubble of testing/synctest, it lives by the
// bubble's clock, which sockets would keep from running.
func NewUnplugged() *Server { return newServer() }

// RoundTrip implements http.RoundTripper: it answers without a connection, for
// whatever host. A call for which [Server.Intercept] panics with
// http.ErrAbortHandler gets no answer.
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) {
	return unplugged{s.handler}.RoundTrip(r)
}

// SetCluster has TokenReviews answered by h instead of the cluster that a login
// is configured with.
func (s *Server) SetCluster(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cluster = h
}

// unplugged takes requests to a handler.
type unplugged struct{ handler http.Handler }

func (u unplugged) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer func() {
		_ = in.Body.Close()
		if p := recover(); p == http.ErrAbortHandler {
			resp, err = nil, io.ErrUnexpectedEOF
		} else if p != nil {
			panic(p)
		}
	}()
	w := httptest.NewRecorder()
	u.handler.ServeHTTP(w, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp = w.Result()
	resp.Request = r
	return resp, nil
}
