package faults

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/test/fakeaws"
)

// All tests share the network of this process.
var (
	directory *names
	trusted   tls.Certificate // its CA is in VAULT_CACERT and AWS_CA_BUNDLE
	untrusted tls.Certificate
	toxics    = toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()),
		zerolog.Nop())
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "40") // the tests mostly wait
	dir, err := os.MkdirTemp("", "faults")
	if err == nil {
		err = prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

func prepare(dir string) (err error) {
	if directory, err = serveNames(); err != nil {
		return err
	}
	if trusted, err = selfSigned(); err != nil {
		return err
	}
	if untrusted, err = selfSigned(); err != nil {
		return err
	}
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca,
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trusted.Certificate[0]}),
		0o600); err != nil {
		return err
	}
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") ||
			strings.HasPrefix(name, "VAULT_") {
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"VAULT_CACERT": ca, "AWS_CA_BUNDLE": ca, "AWS_ACCESS_KEY_ID": keyID, "AWS_SECRET_ACCESS_KEY": key,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": filepath.Join(dir, "none"),
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"),
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// selfSigned returns a certificate for 127.0.0.1 that is its own CA.
func selfSigned() (tls.Certificate, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter:    time.Now().Add(time.Hour),
		IPAddresses: []net.IP{{127, 0, 0, 1}}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}

// A world is a secret in a server and the path to it: toxiproxy, then a gate.
type world struct {
	setup
	t       *testing.T
	vault   *vaultServer // or
	aws     *fakeaws.Server
	standby *node // of vault, if it is one of a pair

	name  string // of the secret, of its policy in Vault, and of the host if it has a name
	ref   string
	gate  *gate
	proxy *toxiproxy.Proxy

	mu       sync.Mutex
	token    string
	attempts int       // of the library
	ended    time.Time // end of the last attempt
}

// setup describes how a secret is requested.
type setup struct {
	named  bool                 // the endpoint has a host name
	secure bool                 // over TLS
	allow  func(*url.URL) error // AllowEndpoint
}

var worlds atomic.Int64

func newVaultWorld(t *testing.T, server *vaultServer, s setup) *world {
	t.Helper()
	w := &world{setup: s, t: t, vault: server}
	endpoint := w.connect(server.url)
	server.allow(w.name, "read")
	w.token = server.mint(w.name)
	w.reference(map[string]string{"mount": "secret", "path": w.name, "key": "password",
		"endpoint": endpoint})
	return w
}

func newAWSWorld(t *testing.T, server *fakeaws.Server, s setup) *world {
	t.Helper()
	w := &world{setup: s, t: t, aws: server}
	endpoint := w.connect(server.URL())
	w.reference(map[string]string{"region": region, "secretId": w.name, "secretPointer": "/password",
		"endpointOverride": endpoint})
	return w
}

func (w *world) reference(fields map[string]string) {
	w.t.Helper()
	text, err := json.Marshal(fields)
	require.NoError(w.t, err)
	w.ref = "{ENC}" + string(text)
	w.put(first)
}

// connect creates the path to a server and returns its endpoint.
func (w *world) connect(server string) string {
	w.t.Helper()
	w.name = fmt.Sprintf("w%d.faults.test", worlds.Add(1))
	w.gate = newGate(w.t, server, w.secure)
	w.proxy = w.open("127.0.0.1:0")
	w.t.Cleanup(func() { w.proxy.Stop() })
	host, port, err := net.SplitHostPort(w.proxy.Listen)
	require.NoError(w.t, err)
	if w.named {
		directory.know(w.name, true)
		host = w.name
	}
	scheme, _, _ := strings.Cut(w.gate.web.URL, ":")
	return scheme + "://" + net.JoinHostPort(host, port)
}

// open creates the proxy. The toxics are in JSON.
func (w *world) open(listen string, toxic ...string) *toxiproxy.Proxy {
	w.t.Helper()
	p := toxiproxy.NewProxy(toxics, w.name, listen, w.gate.web.Listener.Addr().String())
	for _, text := range toxic {
		_, err := p.Toxics.AddToxicJson(strings.NewReader(text))
		require.NoError(w.t, err)
	}
	require.Eventually(w.t, func() bool { return p.Start() == nil }, 2*time.Minute,
		10*time.Millisecond, "the port is taken")
	return p
}

// poison closes all connections and applies the toxics to later ones. It creates a new proxy,
// because toxiproxy can block forever when a toxic is removed from a closed connection.
func (w *world) poison(toxic ...string) {
	w.t.Helper()
	w.proxy.Stop()
	w.proxy = w.open(w.proxy.Listen, toxic...)
}

// put writes a new version of the secret directly into the server.
func (w *world) put(value string) {
	w.t.Helper()
	if w.vault != nil {
		w.vault.put(w.name, secret(value))
		return
	}
	text, err := json.Marshal(secret(value))
	require.NoError(w.t, err)
	w.aws.PutSecret(region, w.name, string(text))
}

// answers makes the gate answer every call, as an overloaded server does.
func (w *world) answers(status int, code string, header http.Header) {
	body := `{"errors":["` + code + `"]}`
	if w.aws != nil {
		body = `{"__type":"` + code + `","Message":"` + code + `"}`
	}
	w.gate.intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
		for name := range header {
			rw.Header().Set(name, header.Get(name))
		}
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body)
		return true
	})
}

// resolver returns a Resolver that is closed when the test ends and whose attempts are counted.
func (w *world) resolver(opts secretref.Options) *secretref.Resolver {
	opts.Vault.Token = func(context.Context) (string, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.token, nil
	}
	opts.AllowEndpoint = w.allow
	opts.OnFetch = func(e secretref.FetchEvent) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.attempts += e.Attempts
		w.ended = e.Start.Add(e.Duration)
	}
	r := secretref.New(&opts)
	w.t.Cleanup(func() { assert.NoError(w.t, r.Close()) })
	return r
}

// An outcome is the result of a call and its duration.
type outcome struct {
	value  string
	err    error
	waited time.Duration
}

func (w *world) ask(r *secretref.Resolver) outcome { return w.askWith(w.t.Context(), r) }

func (w *world) askWith(ctx context.Context, r *secretref.Resolver) outcome {
	start := time.Now()
	got, err := r.Resolve(ctx, w.ref)
	return outcome{got.Reveal(), err, time.Since(start)}
}

// A tally has the counts of the library, the gate and the name server.
type tally struct {
	attempts, calls, connections, lookups int
	ended                                 time.Time
}

func (t tally) String() string {
	return fmt.Sprintf("%d attempts, %d calls, %d connections, %d lookups", t.attempts, t.calls,
		t.connections, t.lookups)
}

func (w *world) tally() tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	return tally{w.attempts, int(w.gate.calls.Load()), int(w.gate.connections.Load()),
		directory.lookups(w.name), w.ended}
}

// since returns the counts since before.
func (w *world) since(before tally) tally {
	now := w.tally()
	return tally{now.attempts - before.attempts, now.calls - before.calls,
		now.connections - before.connections, now.lookups - before.lookups, now.ended}
}

// bounded checks that there were at most maxAttempts since before, and no requests beside them.
// An attempt can be two requests: if there is no secret, the mount is looked up, and net/http
// repeats a GET if a reused connection is broken.
func (w *world) bounded(before tally, maxAttempts int) tally {
	w.t.Helper()
	got := w.since(before)
	require.LessOrEqual(w.t, got.attempts, maxAttempts, "%v", got)
	require.LessOrEqual(w.t, got.calls, 2*got.attempts, "%v", got)
	require.LessOrEqual(w.t, got.connections, 2*got.attempts, "%v", got)
	require.LessOrEqual(w.t, got.lookups, 2*got.attempts, "%v", got)
	return got
}

// fails checks that an error is of exactly this kind and contains no secret.
func (w *world) fails(err, kind error) {
	w.t.Helper()
	require.ErrorIs(w.t, err, kind)
	for _, secret := range []string{canary, w.token, key} {
		if secret != "" {
			require.NotContains(w.t, err.Error(), secret)
		}
	}
	for _, other := range []error{secretref.ErrUnavailable, secretref.ErrDenied, secretref.ErrNotFound,
		secretref.ErrUnauthenticated} {
		if other != kind {
			require.NotErrorIs(w.t, err, other)
		}
	}
}
