package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/cmd/secretref/internal/testcert"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

const (
	rotatePath   = "/rest/secrets/1.0/keys/rotate"
	inactivePath = "/rest/secrets/1.0/keys/inactive"
)

// running is a running service.
type running struct {
	t      *testing.T
	url    string
	token  string
	client *http.Client
	stop   context.CancelFunc
	log    *shared
	ended  chan int
}

// shared is a buffer for several goroutines. If hook is not nil, it is called before
// each write.
type shared struct {
	mu   sync.Mutex
	b    bytes.Buffer
	hook func(line string)
}

func (s *shared) Write(p []byte) (int, error) {
	if s.hook != nil {
		s.hook(string(p))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// serve starts the service and waits until it has printed its URL.
func (f *fixture) serve(log *shared, flags ...string) *running {
	args := serving(flags...)
	for i := range args {
		args[i] = f.fill(args[i])
	}
	ctx, stop := context.WithCancel(f.t.Context())
	r := &running{t: f.t, token: canary + "-token-0123456789",
		client: &http.Client{Transport: &http.Transport{}}, stop: stop, log: log,
		ended: make(chan int, 1)}
	out, in := io.Pipe()
	go func() {
		r.ended <- run(ctx, args, ui.Streams{In: strings.NewReader(""), Out: in, Err: log})
		_ = in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(f.t, err, log)
	r.url = strings.TrimSpace(line)
	f.t.Cleanup(func() {
		r.client.CloseIdleConnections()
		if stop(); r.ended != nil {
			<-r.ended
		}
	})
	return r
}

// end interrupts the service and returns its exit status.
func (r *running) end() int {
	r.stop()
	status := <-r.ended
	r.ended = nil
	return status
}

type answer struct {
	status int
	header http.Header
	body   map[string]any
}

func (r *running) ask(method, path string) answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, nil)
	require.NoError(r.t, err)
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := r.client.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	require.NoError(r.t, json.NewDecoder(resp.Body).Decode(&a.body))
	return a
}

func TestServe_managesKeys(t *testing.T) {
	w := newFixture(t)
	keyringAndToken(w)
	r := w.serve(&shared{}, "-addr", "127.0.0.1:0")
	require.Regexp(t, `^http://127\.0\.0\.1:\d+$`, r.url)

	assert.Equal(t, map[string]any{"inactiveKeys": []any{}}, r.ask("GET", inactivePath).body)
	rotated := r.ask("POST", rotatePath)
	assert.Equal(t, 200, rotated.status)
	assert.Equal(t, "ROTATED", rotated.body["status"])
	assert.Equal(t, "no-store", rotated.header.Get("Cache-Control"))
	assert.Len(t, r.ask("GET", inactivePath).body["inactiveKeys"], 1)
	assert.Len(t, r.ask("DELETE", inactivePath).body["deletedKeys"], 1)

	wrong := r.ask("GET", rotatePath)
	assert.Equal(t, 405, wrong.status)
	assert.Equal(t, "POST", wrong.header.Get("Allow"))
	assert.Equal(t, 404, r.ask("GET", "/").status)

	assert.Contains(t, w.do("", false, on("audit")...).out, "by token@127.0.0.1")
	assert.Equal(t, outcome{out: "canary-db"}, w.do("", false, on("get", "db")...))
	assert.Equal(t, ui.StatusOK, r.end())
	assert.NotContains(t, r.log.String(), canary)
}

func TestServe_requiresToken(t *testing.T) {
	w := newFixture(t)
	keyringAndToken(w)
	r := w.serve(&shared{}, "-addr", "localhost:0")
	right := r.token
	for _, token := range []string{"", "canary", right + "x", right[:len(right)-1],
		strings.ToUpper(right)} {
		r.token = token
		for _, path := range []string{rotatePath, inactivePath, "/"} {
			refused := r.ask("POST", path)
			assert.Equal(t, 401, refused.status)
			assert.Contains(t, refused.header.Get("WWW-Authenticate"), "Bearer")
		}
	}
	assert.NotContains(t, r.log.String(), canary)
	assert.NotContains(t, w.do("", false, on("audit")...).out, "rotate")
}

// The requests lack the token and the body that their headers announce.
func TestServe_respondsWithoutReadingBody(t *testing.T) {
	w := newFixture(t)
	keyringAndToken(w)
	r := w.serve(&shared{}, "-addr", "127.0.0.1:0")
	for range 300 { // more than are served at a time
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c,
			"POST "+rotatePath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		require.Equal(t, 401, resp.StatusCode)
	}
	assert.Equal(t, 200, r.ask("POST", rotatePath).status)
}

func TestServe_rereadsToken(t *testing.T) {
	w := newFixture(t)
	keyringAndToken(w)
	r := w.serve(&shared{}, "-addr", "127.0.0.1:0")
	assert.Equal(t, 200, r.ask("GET", inactivePath).status)

	w.write("token", "canary-next-0123456789")
	assert.Equal(t, 401, r.ask("GET", inactivePath).status)
	r.token = "canary-next-0123456789"
	assert.Equal(t, 200, r.ask("GET", inactivePath).status)

	require.NoError(t, os.Chmod(w.path("token"), 0o644))
	assert.Equal(t, 401, r.ask("GET", inactivePath).status)
	assert.Contains(t, r.log.String(), "chmod o-rwx")
	require.NoError(t, os.Remove(w.path("token")))
	assert.Equal(t, 401, r.ask("GET", inactivePath).status)
	assert.NotContains(t, r.log.String(), canary)
}

func TestServe_reportsRotationInProgress(t *testing.T) {
	w := newFixture(t)
	busy(w)
	w.write("token", canary+"-token-0123456789")
	r := w.serve(&shared{}, "-addr", "127.0.0.1:0")
	refused := r.ask("POST", rotatePath)
	assert.Equal(t, 406, refused.status)
	assert.Equal(t, "IN_PROGRESS", refused.body["status"])
}

func TestServe_reportsDamagedSecret(t *testing.T) {
	w := newFixture(t)
	damaged(w)
	w.write("token", canary+"-token-0123456789")
	r := w.serve(&shared{}, "-addr", "127.0.0.1:0")
	refused := r.ask("POST", rotatePath)
	assert.Equal(t, 406, refused.status)
	assert.Equal(t, "BLOCKED", refused.body["status"])
}

func TestServe_shutdownStopsRotation(t *testing.T) {
	w := newFixture(t)
	keyringAndToken(w)
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		w.must(strings.Repeat("x", ui.MaxSecret), on("put", name)...)
	}
	var r *running
	var once sync.Once
	log := &shared{hook: func(line string) { // called during the rotation
		if strings.Contains(line, "outcome=started") {
			once.Do(func() {
				r.stop()
				untilRefused(t, r.url)
			})
		}
	}}
	r = w.serve(log, "-addr", "127.0.0.1:0")
	got := r.ask("POST", rotatePath)
	assert.Equal(t, 500, got.status)
	assert.Equal(t, "internal error", got.body["message"])
	assert.Equal(t, ui.StatusOK, r.end())
	assert.Contains(t, log.String(), "the next rotation continues from here")

	assert.Contains(t, w.do("", false, on("list")...).out, "retiring")
	w.must("", on("verify")...)
	w.must("", on("rotate")...)
	assert.NotContains(t, w.do("", false, on("list")...).out, "retiring")
}

// untilRefused waits until a service accepts no more connections.
func untilRefused(t *testing.T, url string) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			return
		}
		_ = c.Close()
	}
	t.Error("the service still accepts connections")
}

func TestServe_reloadsCertificate(t *testing.T) {
	w := newFixture(t)
	keyringAndToken(w)
	first := testcert.Write(w.t, w.dir, "cert")
	r := w.serve(&shared{}, "-addr", "127.0.0.1:0", "-tls-cert", "DIR/cert.pem", "-tls-key",
		"DIR/cert.key")
	require.Regexp(t, `^https://`, r.url)
	trust := func(c *x509.Certificate) {
		r.client.CloseIdleConnections()
		pool := x509.NewCertPool()
		pool.AddCert(c)
		r.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool},
			ForceAttemptHTTP2: true}}
	}
	trust(first)
	assert.Equal(t, 200, r.ask("POST", rotatePath).status)

	// The certificate is replaced before its key.
	key, err := os.ReadFile(w.path("cert.key"))
	require.NoError(t, err)
	second := testcert.Write(w.t, w.dir, "cert")
	next, err := os.ReadFile(w.path("cert.key"))
	require.NoError(t, err)
	w.write("cert.key", string(key))
	trust(first)
	assert.Equal(t, 200, r.ask("GET", inactivePath).status)
	assert.Contains(t, r.log.String(), "cannot reload the certificate")
	w.write("cert.key", string(next))
	trust(second)
	assert.Equal(t, 200, r.ask("GET", inactivePath).status)

	// A key that others can read is not loaded.
	testcert.Write(w.t, w.dir, "cert")
	require.NoError(t, os.Chmod(w.path("cert.key"), 0o644))
	trust(second)
	assert.Equal(t, 200, r.ask("GET", inactivePath).status)
	assert.Contains(t, r.log.String(), "chmod o-rwx")

	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11,
		MinVersion: tls.VersionTLS10}
	_, err = tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), old)
	assert.Error(t, err)
	resp, err := http.Get(strings.Replace(r.url, "https", "http", 1))
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 400, resp.StatusCode)
}

func TestServe_reportsAddressInUse(t *testing.T) {
	w := newFixture(t)
	keyringAndToken(w)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	got := w.do("", false, serving("-addr", taken.Addr().String())...)
	assert.Equal(t, ui.StatusFailed, got.status)
	assert.Contains(t, got.err, "cannot listen")
}
