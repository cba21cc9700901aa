package fakevault

import (
	"net/http"

	"github.com/seed74218947/secretref/internal/test/inproc"
)

// NewInProcess returns a server that listens nowhere and is asked with
// [Server.RoundTrip]. Made in a bubble of testing/synctest, it lives by the
// bubble's clock, which sockets would keep from running.
func NewInProcess() *Server { return newServer() }

// RoundTrip implements http.RoundTripper: it answers without a connection, for
// whatever host. A call for which [Server.Intercept] panics with
// http.ErrAbortHandler gets no answer.
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) {
	return inproc.Transport{Handler: s.handler}.RoundTrip(r)
}

// SetCluster has TokenReviews answered by h instead of the cluster that a login
// is configured with.
func (s *Server) SetCluster(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cluster = h
}
