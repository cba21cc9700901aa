package fakevault

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Request is one that the server was sent, whatever it answered.
type Request struct {
	Method    string
	Path      string // with the leading /v1/, unescaped
	RawQuery  string
	Token     string // the token, wherever it was sent
	Namespace string // the X-Vault-Namespace header
	Header    http.Header
}

// control is the part of a server that tests use to watch it and to disturb it.
type control struct {
	mu        sync.Mutex
	requests  []Request
	latency   time.Duration
	failures  []failing
	intercept func(http.ResponseWriter, *http.Request) bool
}

// failing is a number of calls to come that get one and the same answer.
type failing struct {
	calls  int
	status int
	header http.Header
	errors []string
}

// Latency makes every call from now on take d longer.
func (s *Server) Latency(d time.Duration) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	s.control.latency = d
}

// Calls returns how many requests the server was sent since the last ResetCalls.
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

// ResetCalls forgets the requests of the past.
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

// Intercept gives every call to handle first, which returns true when it has
// answered it: with a huge body or half of one, a redirect, a reset connection.
// It runs before Fail and takes none of its calls. Nil ends it.
func (s *Server) Intercept(handle func(w http.ResponseWriter, r *http.Request) bool) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	s.control.intercept = handle
}

// interfere records the call, lets it wait, and reports whether it has been
// answered already.
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

// tokenOf returns the token a request carries. Vault takes it from either
// header, but no other scheme than Bearer.
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
