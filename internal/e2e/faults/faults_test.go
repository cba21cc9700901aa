package faults

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// The values of the secret before and after it is rotated.
const (
	canary = "c4nary"
	first  = canary + "-1"
	second = canary + "-2"
)

const (
	// slack is what a busy machine may add to a wait: together with staleTimeout it is less than
	// fullTimeout, so that a caller that waits for the full timeout fails the test.
	slack = 14 * time.Second
	// After untilStale a value cached with shortTTL is stale.
	shortTTL, untilStale = 50 * time.Millisecond, 250 * time.Millisecond
	// staleTimeout is how long a fetch may take while there is a stale value.
	staleTimeout = 3 * time.Second
	// minBackoff is the least time between a failed fetch and the next one.
	minBackoff = 500 * time.Millisecond
	// fullTimeout is the Options.Timeout of most Resolvers.
	fullTimeout = 20 * time.Second
)

// A fault is something that goes wrong between a caller and a secret.
type fault struct {
	name string
	setup
	own  bool   // the server is not shared with other tests
	pair bool   // the server is one of two nodes
	only string // the backend, if not both

	begin, end func(w *world)

	// kind is the error without a cached value. If nil, the value arrives in spite of the fault.
	kind error
	// hangs: an attempt ends when its time is up. With other faults it ends at once.
	hangs bool
	// lasting: a second attempt within the timeout is useless and is not made.
	lasting bool
	// retryAfter is the Retry-After of the server.
	retryAfter time.Duration
}

// servesStale reports whether a cached value is served during the fault.
func (f fault) servesStale() bool { return f.kind == secretref.ErrUnavailable }

// attempts returns how many attempts a fetch without a cached value makes at most within timeout.
func (f fault) attempts() (maxAttempts int, timeout time.Duration) {
	if f.lasting || f.kind == nil {
		return 1, fullTimeout
	}
	return 7, 2*time.Second + 2*f.retryAfter // after 0.05 s at least, then 0.1 s, 0.2 s …
}

// toxic is a fault of the connection.
func toxic(text string) func(*world) {
	return func(w *world) { w.poison(text) }
}

func cure(w *world) { w.poison() }

func openGate(w *world) { w.gate.intercept(nil) }

var all = []fault{
	{
		name:  "latency within the time there is",
		begin: toxic(`{"type":"latency","attributes":{"latency":300}}`), end: cure,
	},
	{
		name:  "latency",
		begin: toxic(`{"type":"latency","attributes":{"latency":60000}}`), end: cure,
		kind: secretref.ErrUnavailable, hangs: true,
	},
	{
		name:  "slow bytes",
		begin: toxic(`{"type":"slicer","attributes":{"average_size":1,"delay":20000}}`), end: cure,
		kind: secretref.ErrUnavailable, hangs: true,
	},
	{
		name:  "reset",
		begin: toxic(`{"type":"reset_peer","attributes":{"timeout":0}}`), end: cure,
		kind: secretref.ErrUnavailable,
	},
	{
		name:  "half an answer",
		begin: toxic(`{"type":"limit_data","attributes":{"bytes":2000}}`), end: cure,
		kind: secretref.ErrUnavailable,
	},
	{
		name:  "closed port",
		begin: func(w *world) { w.proxy.Stop() }, end: cure,
		kind: secretref.ErrUnavailable,
	},
	{
		name: "429, in a second", only: "vault",
		begin: func(w *world) {
			w.answers(429, "request path quota exceeded",
				http.Header{"Retry-After": {"1"}})
		}, end: openGate,
		kind: secretref.ErrUnavailable, retryAfter: time.Second,
	},
	{
		name: "429, in a second", only: "aws",
		begin: func(w *world) {
			w.answers(429, "ThrottlingException",
				http.Header{"Retry-After": {"1"}})
		}, end: openGate,
		kind: secretref.ErrUnavailable, retryAfter: time.Second,
	},
	{
		name: "429, in an hour", only: "vault",
		begin: func(w *world) {
			w.answers(429, "request path quota exceeded",
				http.Header{"Retry-After": {"3600"}})
		}, end: openGate,
		kind: secretref.ErrUnavailable, retryAfter: time.Hour, lasting: true,
	},
	{
		name: "429, in an hour", only: "aws",
		begin: func(w *world) {
			w.answers(429, "ThrottlingException",
				http.Header{"Retry-After": {"3600"}})
		}, end: openGate,
		kind: secretref.ErrUnavailable, retryAfter: time.Hour, lasting: true,
	},
	{
		name: "503, sealed", only: "vault", own: true,
		begin: func(w *world) { w.vault.seal() }, end: func(w *world) { w.vault.unsealAgain() },
		kind: secretref.ErrUnavailable,
	},
	{
		name: "503", only: "aws",
		begin: func(w *world) { w.answers(503, "ServiceUnavailable", nil) }, end: openGate,
		kind: secretref.ErrUnavailable,
	},
	{
		name: "a name that does not resolve", setup: setup{named: true},
		begin: func(w *world) { directory.know(w.name, false); w.poison() },
		end:   func(w *world) { directory.know(w.name, true) },
		kind:  secretref.ErrUnavailable,
	},
	{
		name: "a certificate that is not trusted", setup: setup{secure: true},
		begin: func(w *world) { w.gate.untrusted.Store(true); w.poison() },
		end:   func(w *world) { w.gate.untrusted.Store(false) },
		kind:  secretref.ErrUnavailable, lasting: true,
	},
	{
		name: "a token revoked mid-flight", only: "vault",
		begin: revokeMidFlight, end: func(w *world) { w.renew() },
		kind: secretref.ErrUnauthenticated, lasting: true,
	},
	{
		name: "a standby that redirects", only: "vault", pair: true,
		begin: standBy, end: openGate,
		kind: secretref.ErrUnavailable, lasting: true,
	},
	{
		name: "a standby that redirects to where it may", only: "vault", pair: true,
		setup: setup{allow: func(*url.URL) error { return nil }},
		begin: standBy, end: openGate,
	},
	{
		name: "denied", only: "vault",
		begin: func(w *world) { w.vault.allow(w.name, "deny") },
		end:   func(w *world) { w.vault.allow(w.name, "read") },
		kind:  secretref.ErrDenied, lasting: true,
	},
	{
		name: "denied", only: "aws",
		begin: func(w *world) { w.aws.Deny("secretsmanager:GetSecretValue", w.name) },
		end:   func(w *world) { w.aws.Allow("secretsmanager:GetSecretValue", w.name) },
		kind:  secretref.ErrDenied, lasting: true,
	},
	{
		name: "not found", only: "vault",
		begin: func(w *world) { w.vault.must("DELETE", "secret/data/"+w.name, nil) },
		end:   func(w *world) { w.put(second) },
		kind:  secretref.ErrNotFound, lasting: true,
	},
	{
		name: "not found", only: "aws",
		begin: func(w *world) { w.aws.DeleteSecret(region, w.name) },
		end:   func(w *world) { w.aws.RestoreSecret(region, w.name) },
		kind:  secretref.ErrNotFound, lasting: true,
	},
}

// revokeMidFlight revokes the token while the next request with it is on its way.
func revokeMidFlight(w *world) {
	var once sync.Once
	w.gate.intercept(func(http.ResponseWriter, *http.Request) bool {
		once.Do(func() { w.vault.revoke(w.token) })
		return false
	})
}

// standBy forwards requests to the standby node of a pair.
func standBy(w *world) {
	forward := forwarder(w.t, w.standby.url)
	w.gate.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		forward.ServeHTTP(rw, r)
		return true
	})
}

// renew replaces the token.
func (w *world) renew() {
	token := w.vault.mint(w.name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.token = token
}

func TestFaults(t *testing.T) {
	vault, aws := startVault(t), startAWS(t)
	active, standby := startPair(t)
	for _, f := range all {
		for _, backend := range []string{"vault", "aws"} {
			if f.only != "" && f.only != backend {
				continue
			}
			for _, s := range states {
				if !s.fits(f) {
					continue
				}
				// All worlds exist before the first fault begins, so that none takes the port of
				// another.
				t.Run(f.name+"/"+backend+"/"+s.name, func(t *testing.T) {
					var w *world
					switch {
					case backend == "vault" && f.own:
						w = newVaultWorld(t, startVault(t), f.setup)
					case f.pair:
						w = newVaultWorld(t, active, f.setup)
						w.standby = standby
					case backend == "vault":
						w = newVaultWorld(t, vault, f.setup)
					case f.own:
						w = newAWSWorld(t, startAWS(t), f.setup)
					default:
						w = newAWSWorld(t, aws, f.setup)
					}
					t.Parallel()
					s.test(w, f)
				})
			}
		}
	}
}

// A response can be truncated anywhere: in the status line, the headers or the body. Wherever it
// is, the fetch is retried.
func TestTruncatedResponse(t *testing.T) {
	vault, aws := startVault(t), startAWS(t)
	for bytes := 1; bytes < 5000; bytes += 1 + max(0, bytes-14)/6 {
		for _, backend := range []string{"vault", "aws"} {
			t.Run(fmt.Sprintf("%s_after_%d_bytes", backend, bytes), func(t *testing.T) {
				var w *world
				if backend == "vault" {
					w = newVaultWorld(t, vault, setup{})
				} else {
					w = newAWSWorld(t, aws, setup{})
				}
				t.Parallel()
				w.poison(fmt.Sprintf(`{"type":"limit_data","attributes":{"bytes":%d}}`, bytes))
				r := w.resolver(secretref.Options{Timeout: fullTimeout})
				done := make(chan outcome, 1)
				go func() { done <- w.ask(r) }()
				require.Eventually(t, func() bool { return w.gate.calls.Load() > 1 || len(done) > 0 },
					10*time.Second, time.Millisecond)
				w.poison()
				got := <-done
				require.NoError(t, got.err)
				require.Equal(t, first, got.value)
			})
		}
	}
}
