// Package fakeaws is a stand-in for the parts of AWS that secretref talks to: Secrets Manager
// (JSON 1.1 protocol), STS (query protocol), the EC2 instance metadata service (version 2) and
// the ECS container credentials endpoint. It speaks their wire protocols over loopback HTTP,
// verifies Signature Version 4, and needs nothing but the standard library.
//
// Start one with [New], store secrets with [Server.PutSecret], add a key with
// [Server.AddKey], and set the environment of the AWS SDK:
//
//	AWS_ENDPOINT_URL_SECRETS_MANAGER           [Server.URL]
//	AWS_ENDPOINT_URL_STS                       [Server.STSURL]
//	AWS_EC2_METADATA_SERVICE_ENDPOINT          [Server.IMDSURL]
//	AWS_CONTAINER_CREDENTIALS_FULL_URI         [Server.ECSURL]
//	AWS_CONTAINER_AUTHORIZATION_TOKEN          [Server.ECSToken]
//
// It follows the AWS documentation. It must not be exposed to a network: its policy allows
// everything that is not denied.
package fakeaws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seed74218947/secretref/internal/test/inproc"
)

// Account is the AWS account of all resources of the fake.
const Account = "123456789012"

// maxBody limits a request body. The largest body has 20 identifiers of 2048 characters.
const maxBody = 1 << 20

// Server is a running fake. It is safe for concurrent use.
type Server struct {
	api, sts, imds, ecs *endpoint

	closing context.Context // done when Close begins; ends the waits for the latency
	stop    context.CancelFunc

	mu        sync.Mutex
	now       func() time.Time
	latency   time.Duration
	intercept func(http.ResponseWriter, *http.Request) bool
	failures  map[string][]failure // by service, oldest first
	requests  []Request
	secrets   map[secretKey]*secret
	denied    map[denial]bool

	keys     map[string]credential // by access key ID
	lifetime time.Duration
	roles    map[string]role // by ARN

	instanceRoles  []string
	metadataTokens map[string]time.Time  // expiry by token
	delivered      map[string]credential // the current credentials of an instance role or a task
	v1Attempts     int
	ecsToken       string
}

// Request is a request to one of the services. It is recorded before it is verified, so that
// refused and failed calls are included.
type Request struct {
	// Service is "secretsmanager", "sts", "imds" or "ecs".
	Service string
	// Action is the operation, such as "GetSecretValue". For the metadata services it is the
	// method and the path.
	Action string
	// Region is the region of the credential scope.
	Region string
	// SecretIDs are the identifiers as the client wrote them.
	SecretIDs []string
	// AccessKeyID is the key that the client signed with.
	AccessKeyID string
	// Time is the server's time at arrival.
	Time time.Time
}

// failure is an answer prepared by [Server.Fail].
type failure struct {
	left   int
	err    *apiError
	header http.Header
}

// New starts a fake on free loopback ports. It panics if there are none.
func New() *Server {
	s := &Server{
		now:            time.Now,
		failures:       map[string][]failure{},
		secrets:        map[secretKey]*secret{},
		denied:         map[denial]bool{},
		keys:           map[string]credential{},
		roles:          map[string]role{},
		metadataTokens: map[string]time.Time{},
		delivered:      map[string]credential{},
		ecsToken:       randomString(base62, 40),
	}
	s.closing, s.stop = context.WithCancel(context.Background())
	s.api = listen(s.serveSecretsManager)
	s.sts = listen(s.serveSTS)
	s.imds = listen(s.serveIMDS)
	s.ecs = listen(s.serveECS)
	return s
}

// RoundTrip implements http.RoundTripper: Secrets Manager answers requests for any host
// without a connection.
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) {
	return inproc.Transport{Handler: s.api.server.Handler}.RoundTrip(r)
}

// URL returns the Secrets Manager endpoint.
func (s *Server) URL() string { return s.api.url }

// STSURL returns the Security Token Service endpoint.
func (s *Server) STSURL() string { return s.sts.url }

// IMDSURL returns the endpoint of the EC2 instance metadata service.
func (s *Server) IMDSURL() string { return s.imds.url }

// ECSURL returns the full URI of the container credentials.
func (s *Server) ECSURL() string { return s.ecs.url + ecsPath }

// HangUp closes the connections to Secrets Manager on which no request waits.
func (s *Server) HangUp() {
	s.api.server.SetKeepAlivesEnabled(false)
	s.api.server.SetKeepAlivesEnabled(true)
}

// Close ends the server and every connection to it.
func (s *Server) Close() {
	s.stop()
	for _, e := range []*endpoint{s.api, s.sts, s.imds, s.ecs} {
		e.close()
	}
}

// SetClock replaces the clock against which signatures, tokens and credentials are checked. The
// Date header of every answer follows it, since the SDK corrects its own clock by that header.
// nil restores the system's clock.
func (s *Server) SetClock(now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now == nil {
		now = time.Now
	}
	s.now = now
}

// Latency delays every Secrets Manager call by d.
func (s *Server) Latency(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = d
}

// Fail makes the next n Secrets Manager calls fail with the status, the error code and the header
// fields. Throttling is 400 ThrottlingException. An empty code means a response without a body,
// as from a load balancer. Several Fails queue up; n = 0 empties the queue.
func (s *Server) Fail(n, status int, code string, header http.Header) {
	s.fail("secretsmanager", n, status, code, header)
}

// FailSTS is [Server.Fail] for the Security Token Service.
func (s *Server) FailSTS(n, status int, code string, header http.Header) {
	s.fail("sts", n, status, code, header)
}

func (s *Server) fail(service string, n, status int, code string, header http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n <= 0 {
		delete(s.failures, service)
		return
	}
	s.failures[service] = append(s.failures[service], failure{
		left:   n,
		err:    &apiError{status: status, code: code, message: failureMessage(code)},
		header: header.Clone(),
	})
}

// failureMessage returns the message of AWS for a code that tests use.
func failureMessage(code string) string {
	switch code {
	case "ThrottlingException", "Throttling":
		return "Rate exceeded"
	case "DecryptionFailure":
		return "Secrets Manager can't decrypt the protected secret text using the provided KMS key."
	case "InternalServiceError":
		return "An error occurred on the server side."
	}
	return "injected failure"
}

// Intercept passes every Secrets Manager request to f first. If f returns true, it has answered
// the request or broken the connection. The body can be read again. f must return when the
// request's context ends. A nil f ends this.
func (s *Server) Intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Calls returns the number of Secrets Manager calls since the start or the last
// [Server.ResetCalls].
func (s *Server) Calls() int { return len(s.Requests()) }

// Requests returns the Secrets Manager calls, oldest first.
func (s *Server) Requests() []Request { return s.requestsOf("secretsmanager") }

// STSRequests returns the calls of the Security Token Service, oldest first.
func (s *Server) STSRequests() []Request { return s.requestsOf("sts") }

// MetadataRequests returns the calls of the instance metadata service and of the container
// credentials endpoint, oldest first.
func (s *Server) MetadataRequests() []Request { return s.requestsOf("imds", "ecs") }

func (s *Server) requestsOf(services ...string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Request
	for _, r := range s.requests {
		if slices.Contains(services, r.Service) {
			out = append(out, r)
		}
	}
	return out
}

// ResetCalls removes the recorded requests of every service and resets [Server.V1Attempts].
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
	s.v1Attempts = 0
}

// clock returns the server's time.
func (s *Server) clock() time.Time {
	s.mu.Lock()
	now := s.now
	s.mu.Unlock()
	return now() // outside the lock: the caller's clock may use the server
}

func (s *Server) record(r Request) {
	r.Time = s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
}

// nextFailure removes and returns the next failure of the service from the queue.
func (s *Server) nextFailure(service string) (failure, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := s.failures[service]
	if len(queue) == 0 {
		return failure{}, false
	}
	f := queue[0]
	if queue[0].left--; queue[0].left == 0 {
		s.failures[service] = queue[1:]
	}
	return f, true
}

// wait waits for the configured latency. It returns false if the request or the server has ended.
func (s *Server) wait(ctx context.Context) bool {
	s.mu.Lock()
	d := s.latency
	s.mu.Unlock()
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.closing.Done():
		return false
	}
}

// begin sets the header fields of every response of AWS: the server's date and a request ID.
func (s *Server) begin(w http.ResponseWriter) (requestID string) {
	requestID = newUUID()
	w.Header().Set("x-amzn-RequestId", requestID)
	w.Header().Set("Date", s.clock().UTC().Format(http.TimeFormat))
	return requestID
}

// readBody reads a body of limited size. The body can be read again.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *apiError) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &apiError{status: http.StatusRequestEntityTooLarge,
			code: "RequestEntityTooLargeException", common: true,
			message: "The request is larger than the service accepts."}
	case err != nil:
		return nil, &apiError{status: http.StatusBadRequest, code: "SerializationException", common: true,
			message: "The body cannot be read."}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

// apiError is an error answer.
type apiError struct {
	status        int
	code, message string
	// common marks an error of the framework of all AWS services, whose member is "message".
	// In errors of the service it is "Message".
	common bool
}

// writeJSON answers in the JSON 1.1 protocol.
func (e *apiError) writeJSON(w http.ResponseWriter) {
	if e.code == "" {
		w.WriteHeader(e.status)
		return
	}
	name := "Message"
	if e.common {
		name = "message"
	}
	writeJSON(w, e.status, map[string]string{"__type": e.code, name: e.message})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("fakeaws: %T does not marshal", v))
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have disconnected
}

// endpoint is one HTTP server on a loopback port.
type endpoint struct {
	url    string
	server *http.Server
	served chan struct{}
}

func listen(h http.HandlerFunc) *endpoint {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("fakeaws: no loopback port: %v", err))
	}
	e := &endpoint{
		url: "http://" + l.Addr().String(),
		// Clients of a fake break connections on purpose.
		server: &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second,
			ErrorLog: log.New(io.Discard, "", 0)},
		served: make(chan struct{}),
	}
	go func() {
		defer close(e.served)
		_ = e.server.Serve(l) // ends with ErrServerClosed
	}()
	return e
}

func (e *endpoint) close() {
	_ = e.server.Close()
	<-e.served
}
