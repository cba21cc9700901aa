// Package backendtest is the conformance suite of the backends. It runs over a
// Resolver, as a user of the library sees it, with a fake server that speaks the
// protocol of the backend.
package backendtest

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
)

// Backend is one backend under test.
type Backend struct {
	// Start starts a fake server, and sets the environment so that a Resolver with
	// default options reads from it.
	Start func(t testing.TB) *Server

	// StartInProcess is Start for a server whose Resolvers reach it without sockets. It
	// is called outside, and Open inside a bubble of testing/synctest.
	StartInProcess func(t testing.TB) *Server

	// Transient are failures of one call, after which the next one succeeds.
	Transient map[string]func(*Server)

	// Refusals are answers about a secret that are final.
	Refusals map[string]Refusal

	// Odd are answers that do not come from the backend's service, for example from
	// a proxy, a gateway or a login page.
	Odd map[string]Answer

	// DeadConnections start a server over each kind of connection.
	DeadConnections map[string]func(t testing.TB) Listener

	// RequireSilent fails the test if v, or anything that is reachable from it,
	// prints a secret.
	RequireSilent func(t *testing.T, v any)

	// Canary is part of every secret of the fake server.
	Canary string
}

// Server is a fake server. Its fields are functions, since the fakes of the
// backends have no common type.
type Server struct {
	URL       string
	Put       func(name, value string)
	Reference func(name string) string           // of a secret
	At        func(endpoint, name string) string // a reference with an endpoint

	Intercept  func(func(http.ResponseWriter, *http.Request) bool)
	Latency    func(time.Duration)
	Calls      func() int
	ResetCalls func()
	Close      func()

	Open  func(t testing.TB, o Options) Resolver
	Token string // that authenticates, if known
	Fake  any    // the fake itself, for Transient and Refusals
}

// Options are those of a Resolver. By default nothing is cached.
type Options struct {
	Timeout       time.Duration
	TTL           time.Duration
	AllowEndpoint func(*url.URL) error
	Logger        *slog.Logger
	LastKnown     string                        // the path of a keyring, if not empty
	OnFetch       func(attempts int, event any) // may be nil
	Batch         bool
}

// Resolver is a secretref.Resolver.
type Resolver interface {
	ResolveAll(ctx context.Context, references ...string) ([]string, error)
	Close() error
}

// Refusal is a final answer about a secret.
type Refusal struct {
	Prepare func(t *testing.T, s *Server) (reference string)
	Kind    error
	Text    []string // parts of the error's text
	Calls   int      // zero if the number does not matter
}

// Listener is a server at an address.
type Listener struct {
	Address   string
	Reference func(address string) string // of a secret whose value is "good"
	Open      func(t testing.TB, o Options) Resolver
}

// Answer is an answer to any request.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// ServeHTTP implements http.Handler.
func (a Answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	clear(w.Header()) // the fake has set those of its own answers
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write([]byte(a.Body))
}

// Run runs the suite.
func Run(t *testing.T, b Backend) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Backend)
	}{
		{"retries_transient_failures", retriesTransientFailures},
		{"honours_retry_after", honoursRetryAfter},
		{"explains_refusals", explainsRefusals},
		{"odd_answers_are_unavailable", oddAnswersAreUnavailable},
		{"keeps_last_good_value", keepsLastGoodValue},
		{"limits_answers", limitsAnswers},
		{"ends_at_timeout", endsAtTimeout},
		{"refuses_redirects", refusesRedirects},
		{"replaces_dead_connections", replacesDeadConnections},
		{"fetches_a_secret_once", fetchesSecretOnce},
		{"makes_fifty_calls_at_a_time", makesFiftyCalls},
		{"keeps_connections", keepsConnections},
		{"survives_canceled_caller", survivesCanceledCaller},
		{"checks_endpoint_first", checksEndpointFirst},
		{"leaks_no_secret", leaksNoSecret},
		{"close_leaves_nothing_running", closeLeavesNothingRunning},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, b) })
	}
}

// resolve resolves one reference.
func resolve(t *testing.T, r Resolver, reference string) (string, error) {
	values, err := r.ResolveAll(t.Context(), reference)
	if len(values) == 0 {
		return "", err
	}
	return values[0], err
}

// requireOnly requires that err has the kind and no other.
func requireOnly(t *testing.T, err, kind error) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	for _, other := range []error{
		fault.Unavailable, fault.Denied, fault.NotFound, fault.Unauthenticated, fault.Unsupported,
	} {
		if other != kind { //nolint:errorlint // kinds are compared by identity
			require.NotErrorIs(t, err, other)
		}
	}
}
