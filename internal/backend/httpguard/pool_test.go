package httpguard_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
)

// pingTime is the time until pings detect a dead connection.
const pingTime = 21 * time.Second

// network is a server and the connections to it, in a bubble. silence makes them drop all
// data without an error.
type network struct {
	accepted chan net.Conn
	closed   chan struct{}

	mu    sync.Mutex
	conns []*pipeConn
}

type pipeConn struct {
	net.Conn
	dead   atomic.Bool
	closed atomic.Bool
	writes atomic.Int32
}

func (c *pipeConn) Write(b []byte) (int, error) {
	if c.writes.Add(1); c.dead.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *pipeConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accepted:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	close(n.closed)
	return nil
}

func (n *network) Addr() net.Addr { return &net.TCPAddr{} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	c := &pipeConn{Conn: here}
	n.mu.Lock()
	n.conns = append(n.conns, c)
	n.mu.Unlock()
	select {
	case n.accepted <- there:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *network) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.dead.Store(true)
	}
}

func (n *network) made() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

// connect returns a client of a server that answers with the request's body.
func connect(t *testing.T, http2 bool, handler http.HandlerFunc) (*network, http.RoundTripper) {
	n := &network{accepted: make(chan net.Conn), closed: make(chan struct{})}
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	server := &http.Server{Handler: handler, Protocols: &protocols}
	served := make(chan error)
	go func() { served <- server.Serve(n) }()
	pool := httpguard.NewPool(&http.Transport{DialContext: n.dial, Protocols: &protocols,
		MaxIdleConnsPerHost: 50, IdleConnTimeout: 90 * time.Second})
	t.Cleanup(func() {
		pool.CloseIdleConnections()
		time.Sleep(pingTime) // until a dead connection is detected after its last request
		_ = server.Close()
		<-served
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, c := range n.conns {
			assert.True(t, c.closed.Load(), "a connection is left")
			_ = c.Close()
		}
	})
	return n, pool
}

func echo(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

// ask makes a request that takes some time at most and returns how long it took.
func ask(t *testing.T, client http.RoundTripper, most time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://v.example/",
		strings.NewReader("hello"))
	require.NoError(t, err)
	resp, err := client.RoundTrip(req)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil {
			require.Equal(t, "hello", string(body))
		}
	}
	return time.Since(start), err
}

func TestPool(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/2": true, "HTTP/1.1": false} {
		bubble := func(what string, f func(t *testing.T)) {
			t.Run(what+" over "+name, func(t *testing.T) { synctest.Test(t, f) })
		}
		bubble("sends again what was lost", func(t *testing.T) {
			n, client := connect(t, http2, echo)
			_, err := ask(t, client, 30*time.Second)
			require.NoError(t, err)
			n.silence()
			took, err := ask(t, client, 30*time.Second)
			require.NoError(t, err)
			require.Equal(t, 10*time.Second, took)
			took, err = ask(t, client, 30*time.Second)
			require.NoError(t, err)
			require.Zero(t, took, "only the first call waits")
			require.Equal(t, 2, n.made())
		})
		bubble("forgets all connections with one", func(t *testing.T) {
			n, client := connect(t, http2, echo)
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { _, _ = ask(t, client, 30*time.Second) })
			}
			all.Wait()
			n.silence()
			// Callers with a short deadline, each on its own connection.
			_, err := ask(t, client, 300*time.Millisecond)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			took, err := ask(t, client, 300*time.Millisecond)
			require.NoError(t, err)
			require.Zero(t, took)
		})
		bubble("replaces connections once for many requests", func(t *testing.T) {
			n, client := connect(t, http2, echo)
			_, err := ask(t, client, 30*time.Second)
			require.NoError(t, err)
			n.silence()
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					_, err := ask(t, client, 30*time.Second)
					assert.NoError(t, err)
				})
			}
			all.Wait()
			took, err := ask(t, client, 30*time.Second)
			require.NoError(t, err)
			require.Zero(t, took)
		})
		bubble("lets a slow server answer", func(t *testing.T) {
			n, client := connect(t, http2, func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(9 * time.Second)
				echo(w, r)
			})
			for range 3 {
				took, err := ask(t, client, 30*time.Second)
				require.NoError(t, err)
				require.Equal(t, 9*time.Second, took)
			}
			require.Equal(t, 1, n.made())
		})
		bubble("does not read half an answer again", func(t *testing.T) {
			var calls atomic.Int32
			n, client := connect(t, http2, func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) > 1 {
					echo(w, r)
					return
				}
				_, _ = w.Write([]byte("hel"))
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
			_, err := ask(t, client, 10*time.Second)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			took, err := ask(t, client, 10*time.Second)
			require.NoError(t, err)
			require.Zero(t, took)
			require.Equal(t, 2, n.made())
		})
		bubble("keeps a connection whose caller leaves at once", func(t *testing.T) {
			n, client := connect(t, true, func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(100 * time.Millisecond)
				echo(w, r)
			})
			_, err := ask(t, client, time.Second)
			require.NoError(t, err)
			_, err = ask(t, client, 50*time.Millisecond)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			_, err = ask(t, client, time.Second)
			require.NoError(t, err)
			require.Equal(t, 1, n.made())
		})
	}
}

func TestPool_pings(t *testing.T) {
	t.Run("an idle connection that died is found", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, client := connect(t, true, echo)
			_, err := ask(t, client, 30*time.Second)
			require.NoError(t, err)
			n.silence()
			time.Sleep(pingTime)
			took, err := ask(t, client, 30*time.Second)
			require.NoError(t, err)
			require.Zero(t, took)
		})
	})
	t.Run("idle machines are left alone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, client := connect(t, true, echo)
			_, err := ask(t, client, 30*time.Second)
			require.NoError(t, err)
			before := n.conns[0].writes.Load()
			time.Sleep(24 * time.Hour)
			require.LessOrEqual(t, n.conns[0].writes.Load()-before, int32(10))
			require.True(t, n.conns[0].closed.Load())
		})
	})
}

func TestHandshake_hangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{accepted: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: http.HandlerFunc(echo)}
		served := make(chan error)
		go func() { served <- server.Serve(n) }()
		var dials atomic.Int32
		opening := httpguard.NewHandshakePool(&http.Transport{DialTLSContext: func(ctx context.Context,
			network, address string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				time.Sleep(time.Minute)
				return nil, io.ErrUnexpectedEOF
			}
			return n.dial(ctx, network, address)
		}})
		get := func() time.Duration {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			start := time.Now()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://v.example/", nil)
			assert.NoError(t, err)
			resp, err := opening.RoundTrip(req)
			if assert.NoError(t, err) {
				_ = resp.Body.Close()
			}
			return time.Since(start)
		}
		var all sync.WaitGroup
		all.Go(func() { assert.Equal(t, time.Second, get(), "another connection answers") })
		synctest.Wait()
		for range 5 {
			all.Go(func() { assert.Equal(t, time.Second, get()) })
		}
		all.Wait()
		assert.Zero(t, get())
		opening.CloseIdleConnections()
		_ = server.Close()
		<-served
		time.Sleep(time.Minute)
	})
}
