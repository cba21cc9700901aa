package fakevault

import (
	"net/http"

	"github.com/seed74218947/secretref/internal/test/inproc"
)

// NewInProcess returns a server without a listener, which is called with
// [Server.RoundTrip]. In a bubble of testing/synctest it uses the bubble's clock,
// which does not advance while a goroutine waits for a socket.
func NewInProcess() *Server { return newServer() }

// RoundTrip implements http.RoundTripper: it answers requests for any host without a
// connection. A call for which [Server.Intercept] panics with http.ErrAbortHandler
// gets no answer.
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) {
	return inproc.Transport{Handler: s.handler}.RoundTrip(r)
}

// SetCluster makes h answer TokenReviews instead of the configured cluster.
func (s *Server) SetCluster(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cluster = h
}
