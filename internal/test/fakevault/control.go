package fakevault

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Request is a request that the server received, including those that failed.
type Request struct {
	Method    string
	Path      string // with the leading /v1/, unescaped
	RawQuery  string
	Token     string // the token, from either header
	Namespace string // the X-Vault-Namespace header
	Header    http.Header
}

// control is the part of a server with which tests observe it and make it fail.
type control struct {
	mu        sync.Mutex
	requests  []Request
	latency   time.Duration
	failures  []failing
	intercept func(http.ResponseWriter, *http.Request) bool
}

// failing is a number of future calls that get the same response.
type failing struct {
	calls  int
	status int
	header http.Header
	errors []string
}

// Latency delays every later call by d.
func (s *Server) Latency(d time.Duration) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	s.control.latency = d
}

// Calls returns the number of requests since the last ResetCalls.
func (s *Server) Calls() int {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	return len(s.control.requests)
}

// Requests returns the requests that Calls counts, in order of arrival.
func (s *Server) Requests() []Request {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	return slices.Clone(s.control.requests)
}

// ResetCalls removes the recorded requests.
func (s *Server) ResetCalls() {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	s.control.requests = nil
}

// Fail answers the next n calls with the status, the header (nil for none) and
// a body that holds errors as Vault does. Several Fails queue up; with n = 0
// the queue is emptied.
func (s *Server) Fail(n, status int, header http.Header, errors ...string) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	if n == 0 {
		s.control.failures = nil
		return
	}
	s.control.failures = append(s.control.failures, failing{n, status, header.Clone(), errors})
}

// Intercept passes every call to handle first. If handle returns true, it has answered the
// call, for example with half a body, a redirect or a reset connection. handle runs before
// Fail, whose count does not include the calls that handle answers. A nil handle ends this.
func (s *Server) Intercept(handle func(w http.ResponseWriter, r *http.Request) bool) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	s.control.intercept = handle
}

// interfere records the call, waits for the latency, and reports whether the call was
// answered.
func (c *control) interfere(w http.ResponseWriter, r *http.Request, closed <-chan struct{}) bool {
	c.mu.Lock()
	c.requests = append(c.requests, Request{
		Method:    r.Method,
		Path:      r.URL.Path,
		RawQuery:  r.URL.RawQuery,
		Token:     tokenOf(r),
		Namespace: r.Header.Get("X-Vault-Namespace"),
		Header:    r.Header.Clone(),
	})
	latency, intercept := c.latency, c.intercept
	c.mu.Unlock()

	if latency > 0 {
		wait := time.NewTimer(latency)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
			return true
		case <-closed:
			return true
		}
	}
	if intercept != nil && intercept(w, r) {
		return true
	}
	if f := c.nextFailure(); f != nil {
		for name, values := range f.header {
			w.Header()[name] = values
		}
		writeJSON(w, f.status, errorBody{Errors: f.errors})
		return true
	}
	return false
}

func (c *control) nextFailure() *failing {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) == 0 {
		return nil
	}
	f := c.failures[0]
	if c.failures[0].calls--; c.failures[0].calls <= 0 {
		c.failures = c.failures[1:]
	}
	return &f
}

// tokenOf returns the token of a request. Vault reads it from either header. The only
// accepted scheme is Bearer.
func tokenOf(r *http.Request) string {
	if token := r.Header.Get("X-Vault-Token"); token != "" {
		return token
	}
	for _, value := range r.Header.Values("Authorization") {
		if token, ok := strings.CutPrefix(value, "Bearer "); ok {
			return strings.TrimSpace(token)
		}
	}
	return ""
}
