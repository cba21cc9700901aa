package backendtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
)

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func debugLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w,
		&slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
}

func checksEndpointFirst(t *testing.T, b Backend) {
	s := b.Start(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	var connections atomic.Int32
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = c.Close()
		}
	}()
	var checked []string
	r := s.Open(t, Options{Timeout: 100 * time.Millisecond, AllowEndpoint: func(u *url.URL) error {
		checked = append(checked, u.String())
		u.Host = "mutated.example"
		return errNotAllowed
	}})
	base := "http://" + listener.Addr().String() + "/base%2Fpath"
	_, err = resolve(t, r, s.At(base, "db"))
	require.ErrorIs(t, err, fault.Denied)
	require.ErrorIs(t, err, errNotAllowed)
	require.ErrorContains(t, err, "AllowEndpoint refused "+base+": not in the list")
	require.Equal(t, []string{base}, checked)
	require.Zero(t, connections.Load())
	require.Zero(t, s.Calls())
}

// leaksNoSecret uses a server that sends back everything that it received.
func leaksNoSecret(t *testing.T, b Backend) {
	s := b.Start(t)
	s.Put("db", b.Canary)
	var mu sync.Mutex
	var log bytes.Buffer
	logger := debugLogger(&log)
	r := s.Open(t,
		Options{Timeout: 150 * time.Millisecond, Logger: logger, OnFetch: func(_ int, e any) {
			mu.Lock()
			defer mu.Unlock()
			logger.Info("event", "event", e)
			fmt.Fprintf(&log, "%+v %#v", e, e)
		}})
	resolveAll := func() {
		for _, name := range []string{"db", "missing"} {
			if _, err := resolve(t, r, s.Reference(name)); err != nil {
				b.RequireSilent(t, err)
				logger.Error("failed", "error", err)
				text, _ := json.Marshal(err)
				mu.Lock()
				log.Write(text)
				mu.Unlock()
			}
		}
	}
	resolveAll()
	secrets := []string{b.Canary}
	for _, status := range []int{200, 301, 307, 400, 401, 403, 404, 500} {
		s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			body, _ := io.ReadAll(r.Body)
			echo := string(body) + b.Canary
			mu.Lock()
			for _, name := range []string{"X-Vault-Token", "X-Amz-Security-Token", "Authorization"} {
				if value := r.Header.Get(name); value != "" {
					secrets, echo = append(secrets, value), echo+value
				}
			}
			mu.Unlock()
			text, _ := json.Marshal(echo)
			w.Header().Set("Location",
				"https://"+b.Canary+":"+b.Canary+"@elsewhere.example/"+url.PathEscape(echo))
			w.Header().Set("X-Echo", url.PathEscape(echo))
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"errors":[%s],"__type":%s,"message":%s,"data":{%s:%s},"warnings":[%s]}`,
				text, text, text, text, text, text)
			return true
		})
		resolveAll()
	}
	mu.Lock()
	defer mu.Unlock()
	require.Greater(t, len(secrets), 8)
	require.NotEmpty(t, log.String())
	for _, secret := range secrets {
		require.NotContains(t, log.String(), secret)
	}
}

func replacesDeadConnections(t *testing.T, b Backend) {
	for name, start := range b.DeadConnections {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "HTTP/2" {
				t.Skip("takes a second in real time")
			}
			l := start(t)
			hole := newBlackhole(t, l.Address)
			r := l.Open(t, Options{Timeout: 3 * time.Second})
			for i := range 4 {
				if i == 1 {
					hole.swallow()
				}
				got, err := resolve(t, r, l.Reference(hole.Addr().String()))
				require.NoError(t, err, "connections made: %d", hole.connections.Load())
				require.Equal(t, "good", got)
			}
			require.EqualValues(t, 2, hole.connections.Load())
		})
	}
}

// blackhole forwards connections. swallow makes all existing ones silent, as a firewall
// that has forgotten them; new ones work.
type blackhole struct {
	net.Listener
	connections atomic.Int32

	mu   sync.Mutex
	dead []*atomic.Bool
}

func newBlackhole(t *testing.T, to string) *blackhole {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &blackhole{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.connections.Add(1)
			b.forward(c, strings.TrimPrefix(to, "http://"))
		}
	}()
	return b
}

func (b *blackhole) forward(c net.Conn, to string) {
	up, err := net.Dial("tcp", to)
	if err != nil {
		_ = c.Close()
		return
	}
	dead := new(atomic.Bool)
	b.mu.Lock()
	b.dead = append(b.dead, dead)
	b.mu.Unlock()
	pump := func(dst, src net.Conn) {
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			switch {
			case err != nil:
				if !dead.Load() {
					_ = dst.Close()
				}
				return
			case dead.Load():
			default:
				if _, err := dst.Write(buf[:n]); err != nil {
					return
				}
			}
		}
	}
	go pump(up, c)
	go pump(c, up)
}

func (b *blackhole) swallow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.dead {
		d.Store(true)
	}
}
