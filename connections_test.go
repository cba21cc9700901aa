package secretref_test

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

const kvBody = `{"data":{"data":{"k":"good"},"metadata":{"deletion_time":"","destroyed":false,"version":1}}}`

// blackhole forwards connections. Those that there are can be made silent,
// while new ones work.
type blackhole struct {
	net.Listener
	mu    sync.Mutex
	dead  []*atomic.Bool
	conns atomic.Int32
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
			b.conns.Add(1)
			b.forward(c, to)
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

// pemFile is the certificate of s in a file.
func pemFile(t *testing.T, s *httptest.Server) string {
	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	return path
}

// Every call on a connection that died silently would time out on it.
func TestDeadConnectionIsReplaced(t *testing.T) {
	for name, http2 := range map[string]bool{"Vault over HTTP/2": true, "Vault over HTTP/1.1": false} {
		t.Run(name, func(t *testing.T) {
			vaultEnv(t)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, kvBody) }))
			s.EnableHTTP2 = http2
			s.StartTLS()
			t.Cleanup(s.Close)
			t.Setenv(vaultTokenVariable, "tok")
			t.Setenv("VAULT_CACERT", pemFile(t, s))
			requireReplaced(t, newBlackhole(t, s.Listener.Addr().String()), func(at string) string { return vaultValue("https://"+at, "a", "k") })
		})
	}
	t.Run("AWS", func(t *testing.T) {
		s := awsFake(t)
		s.PutSecret("eu-west-1", "db", "good")
		hole := newBlackhole(t, s.URL()[len("http://"):])
		t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://"+hole.Addr().String())
		requireReplaced(t, hole, func(string) string { return awsDB("") })
	})
}

func requireReplaced(t *testing.T, hole *blackhole, value func(at string) string) {
	r := secretref.New(&secretref.Options{Timeout: 3 * time.Second, TTL: -1})
	defer r.Close()
	for i := range 4 {
		if i == 1 {
			hole.swallow()
		}
		got, err := r.Resolve(t.Context(), value(hole.Addr().String()))
		require.NoError(t, err, "connections made: %d", hole.conns.Load())
		require.Equal(t, "good", got.Reveal())
	}
	require.EqualValues(t, 2, hole.conns.Load())
}
