package vaultkv_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/backend/vaultkv"
	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/fetch/retry"
	"github.com/seed74218947/secretref/internal/jsonptr"
	"github.com/seed74218947/secretref/internal/ref"
)

const (
	canary = "c4nary-hunter2"
	token  = "hvs." + canary
	good   = `{"data":{"data":{"k":"v"},"metadata":{"version":1}}}`
)

// resolver is a backend with the retries of a Fetcher.
type resolver struct {
	*vaultkv.Backend
	timeout  time.Duration
	attempts atomic.Int32 // of the last fetch
}

func newResolver(t *testing.T, settings vaultkv.Settings, timeout time.Duration,
	allow func(*url.URL) error) *resolver {
	if settings.Token == nil && settings.Auth == nil {
		settings.Token = func(context.Context) (string, error) { return token, nil }
	}
	return newBackend(t, settings, timeout, allow)
}

// newBackend is newResolver without a default token.
func newBackend(t *testing.T, settings vaultkv.Settings, timeout time.Duration,
	allow func(*url.URL) error) *resolver {
	settings.Timeout = timeout
	log := slog.New(slog.DiscardHandler)
	r := &resolver{Backend: vaultkv.New(settings, &httpguard.Policy{Allow: allow, Log: log}, log),
		timeout: timeout}
	t.Cleanup(r.Close)
	return r
}

// get resolves the key k of secret/db.
func (r *resolver) get(t *testing.T, endpoint, auth string) (string, error) {
	t.Helper()
	return r.read(t,
		ref.Target{Kind: ref.Vault, Mount: "secret", Path: "db", Endpoint: endpoint, Auth: auth})
}

// attempt makes one attempt for the key k of secret/db.
func (r *resolver) attempt(t *testing.T, endpoint, auth string) error {
	t.Helper()
	_, err := r.Fetch(t.Context(),
		ref.Target{Kind: ref.Vault, Mount: "secret", Path: "db", Endpoint: endpoint, Auth: auth})
	if err != nil {
		assert.NotContains(t, err.Error(), canary)
	}
	return err
}

func (r *resolver) read(t *testing.T, g ref.Target) (text string, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), r.timeout)
	defer cancel()
	attempts, err := retry.Do(ctx, func(ctx context.Context) error {
		got, err := r.Fetch(ctx, g)
		if err == nil {
			text, err = jsonptr.LookupScalar([]byte(got.Text), "/k")
		}
		return err
	})
	r.attempts.Store(int32(attempts))
	if err != nil {
		assert.NotContains(t, err.Error(), canary)
	}
	return text, err
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// pour writes up to limit bytes until the client closes the connection, and counts them.
func pour(w http.ResponseWriter, limit int, poured *atomic.Int64) {
	chunk := []byte(strings.Repeat(canary+" ", 4096))
	for sent := 0; sent < limit; sent += len(chunk) {
		n, err := w.Write(chunk)
		if poured.Add(int64(n)); err != nil {
			return
		}
	}
}

func TestAnswers_huge(t *testing.T) {
	const endless = 1 << 30
	bomb := sync.OnceValue(func() []byte {
		var b bytes.Buffer
		z, zeros := gzip.NewWriter(&b), make([]byte, 1<<20)
		for range 64 {
			_, _ = z.Write(zeros)
		}
		_ = z.Close()
		return b.Bytes()
	})
	var poured atomic.Int64
	for name, h := range map[string]http.HandlerFunc{
		"100 MB, announced": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000000")
			pour(w, 100_000_000, &poured)
		},
		"100 MB, not announced": func(w http.ResponseWriter,
			_ *http.Request) {
			pour(w, 100_000_000, &poured)
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) { pour(w, endless, &poured) },
		"an endless 403": func(w http.ResponseWriter,
			_ *http.Request) {
			w.WriteHeader(403)
			pour(w, endless, &poured)
		},
		"an endless 404": func(w http.ResponseWriter,
			_ *http.Request) {
			w.WriteHeader(404)
			pour(w, endless, &poured)
		},
		"an endless 500": func(w http.ResponseWriter,
			_ *http.Request) {
			w.WriteHeader(500)
			pour(w, endless, &poured)
		},
		"an endless 307": func(w http.ResponseWriter,
			_ *http.Request) {
			w.WriteHeader(307)
			pour(w, endless, &poured)
		},
		"endless redirects": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/x")
			w.WriteHeader(307)
			pour(w, endless, &poured)
		},
		"a gzip bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb())
		},
	} {
		for _, auth := range []string{ref.TokenAuth, ref.KubernetesAuth} {
			if testing.Short() && auth == ref.KubernetesAuth && name != "endless" {
				continue // a login reads its response with the same code
			}
			t.Run(name+" for "+auth, func(t *testing.T) {
				poured.Store(0)
				s := serve(t, h)
				r := newResolver(t, vaultkv.Settings{Role: "app", JWTPath: jwtFile(t, "x")},
					time.Minute, nil)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := r.get(t, s.URL, auth)
				runtime.ReadMemStats(&after)
				require.ErrorIs(t, err, fault.Unavailable)
				require.EqualValues(t, 1, r.attempts.Load(), "the failure is permanent")
				s.Close() // waits for the handler
				require.Less(t, poured.Load(), int64(32<<20), "8 MiB, and the buffers of the sockets")
				require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(100<<20))
			})
		}
	}
}

func TestAnswers_hugeHeaders(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Huge", strings.Repeat(canary, 1<<16))
		_, _ = io.WriteString(w, good)
	})
	r := newResolver(t, vaultkv.Settings{}, time.Minute, nil)
	_, err := r.get(t, s.URL, ref.TokenAuth)
	require.ErrorIs(t, err, fault.Unavailable)
	require.Contains(t, err.Error(), "headers")
	require.EqualValues(t, 1, r.attempts.Load())
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	silent := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"never answers": silent,
		"stops in the body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, good[:20])
			w.(http.Flusher).Flush()
			silent(w, r)
		},
		"sends slowly": func(w http.ResponseWriter, r *http.Request) {
			for i := range len(good) {
				_, _ = io.WriteString(w, good[i:i+1])
				w.(http.Flusher).Flush()
				select {
				case <-time.After(20 * time.Millisecond):
				case <-r.Context().Done():
					return
				}
			}
		},
	} {
		for _, auth := range []string{ref.TokenAuth, ref.KubernetesAuth} {
			t.Run(name+" for "+auth, func(t *testing.T) {
				t.Parallel()
				s := serve(t, h)
				r := newResolver(t, vaultkv.Settings{Role: "app", JWTPath: jwtFile(t, "x")},
					200*time.Millisecond, nil)
				_, err := r.get(t, s.URL, auth)
				require.ErrorIs(t, err, fault.Unavailable)
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
	}
}

func TestConnections_broken(t *testing.T) {
	reset := func(w http.ResponseWriter, begun string) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, begun)
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	for name, begun := range map[string]string{
		"reset":               "",
		"reset in the header": "HTTP/1.1 200 OK\r\nContent-Le",
		"reset in the body":   "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + good[:30],
		"reset between chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" +
			good[:5] + "\r\n",
		"reset in a 403's body": "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\n{\"errors\":[\"inv",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if calls.Add(1) < 3 {
					reset(w, begun)
					return
				}
				_, _ = io.WriteString(w, good)
			})
			r := newResolver(t, vaultkv.Settings{}, time.Minute, nil)
			got, err := r.get(t, s.URL, ref.TokenAuth)
			require.NoError(t, err)
			require.Equal(t, "v", got)
			require.EqualValues(t, 3, calls.Load())
			require.EqualValues(t, 3, r.attempts.Load())
		})
	}
}

func TestConnections_noServer(t *testing.T) {
	closed := serve(t, nil)
	closed.Close()
	for endpoint, words := range map[string]string{
		closed.URL:                   "refuses connections",
		"http://nonexistent.invalid": "the name of nonexistent.invalid",
	} {
		err := newResolver(t, vaultkv.Settings{}, time.Minute, nil).attempt(t, endpoint,
			ref.TokenAuth)
		require.ErrorIs(t, err, fault.Unavailable)
		require.Contains(t, err.Error(), words)
	}
}
