package backendtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/test/inproc"
)

func retriesTransientFailures(t *testing.T, b Backend) {
	failures := map[string]func(*Server){
		"connection closed": func(s *Server) {
			s.Intercept(func(http.ResponseWriter, *http.Request) bool {
				s.Intercept(nil)
				panic(http.ErrAbortHandler)
			})
		},
		"answer cut off": func(s *Server) {
			s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
				s.Intercept(nil)
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, `{"SecretString":"half`)
				return true
			})
		},
	}
	for name, fail := range b.Transient {
		failures[name] = fail
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			s := b.Start(t)
			s.Put("db", "hunter2")
			fail(s)
			attempts := 0
			r := s.Open(t, Options{OnFetch: func(n int, _ any) { attempts = n }})
			got, err := resolve(t, r, s.Reference("db"))
			require.NoError(t, err)
			require.Equal(t, "hunter2", got)
			require.Equal(t, 2, s.Calls(), "there is one retry loop")
			require.Equal(t, 2, attempts)
		})
	}
}

func honoursRetryAfter(t *testing.T, b Backend) {
	throttle := func(s *Server, seconds string) {
		s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
			if s.Calls() > 1 {
				return false
			}
			w.Header().Set("Retry-After", seconds)
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
	}
	inproc.SkipWithoutRandom(t)
	for seconds, wait := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "60": -1} {
		t.Run(seconds, func(t *testing.T) {
			s := b.StartInProcess(t)
			synctest.Test(t, func(t *testing.T) {
				s.Put("db", "hunter2")
				throttle(s, seconds)
				r := s.Open(t, Options{Timeout: 30 * time.Second})
				start := time.Now()
				_, err := resolve(t, r, s.Reference("db"))
				if wait < 0 {
					require.ErrorIs(t, err, fault.Unavailable)
					require.Equal(t, 1, s.Calls())
					require.Zero(t, time.Since(start), "a wait beyond the timeout is useless")
				} else {
					require.NoError(t, err)
					require.Equal(t, 2, s.Calls())
					require.GreaterOrEqual(t, time.Since(start), wait)
				}
				require.NoError(t, r.Close())
			})
		})
	}
}

func explainsRefusals(t *testing.T, b Backend) {
	for name, c := range b.Refusals {
		t.Run(name, func(t *testing.T) {
			s := b.Start(t)
			reference := c.Prepare(t, s)
			var log bytes.Buffer
			var attempts int
			var event any
			r := s.Open(t, Options{
				Logger:  debugLogger(&log),
				OnFetch: func(n int, e any) { attempts, event = n, e },
			})
			s.ResetCalls()
			_, err := resolve(t, r, reference)
			require.ErrorIs(t, err, c.Kind)
			for _, text := range append(c.Text, reference) {
				require.Contains(t, err.Error(), text)
			}
			b.RequireSilent(t, err)
			b.RequireSilent(t, event)
			if s.Token != "" {
				require.NotContains(t, err.Error(), s.Token)
			}
			require.NotContains(t, log.String(), b.Canary)
			require.Equal(t, 1, attempts, "a permanent failure is not retried")
			if c.Calls > 0 {
				require.Equal(t, c.Calls, s.Calls())
			}
		})
	}
}

func oddAnswersAreUnavailable(t *testing.T, b Backend) {
	for name, odd := range b.Odd {
		t.Run(name, func(t *testing.T) {
			s := b.Start(t)
			s.Intercept(func(w http.ResponseWriter,
				r *http.Request) bool {
				odd.ServeHTTP(w, r)
				return true
			})
			r := s.Open(t, Options{Timeout: 5 * time.Second})
			_, err := resolve(t, r, s.Reference("db"))
			requireOnly(t, err, fault.Unavailable)
			require.Equal(t, 1, s.Calls(), "the failure is permanent")
		})
	}
}

func keepsLastGoodValue(t *testing.T, b Backend) {
	for name, odd := range b.Odd {
		t.Run(name, func(t *testing.T) { RequireLastGood(t, b.StartInProcess(t), odd, Options{}) })
	}
	t.Run("a redirect that AllowEndpoint refuses", func(t *testing.T) {
		s := b.StartInProcess(t)
		RequireLastGood(t, s, redirect("http://10.255.255.1:8200/"),
			Options{AllowEndpoint: onlyServer(s)})
	})
}

// RequireLastGood resolves two secrets of an in-process server, once more with an odd
// answer, and then during an outage, also after a restart: the last good values must be
// served. The pauses before retries pass in a bubble of testing/synctest.
func RequireLastGood(t *testing.T, s *Server, odd http.Handler, o Options) {
	t.Helper()
	inproc.SkipWithoutRandom(t)
	o.LastKnown = filepath.Join(t.TempDir(), "s.db")
	o.Timeout, o.TTL = time.Second, time.Nanosecond
	synctest.Test(t, func(t *testing.T) {
		s.Put("db", "hunter2")
		s.Put("other", "value")
		requireGood := func(r Resolver, when string) {
			t.Helper()
			time.Sleep(time.Millisecond) // longer than the TTL
			calls := s.Calls()
			got, err := r.ResolveAll(t.Context(), s.Reference("db"), s.Reference("other"))
			require.NoError(t, err, when)
			require.Equal(t, []string{"hunter2", "value"}, got, when)
			require.Greater(t, s.Calls(), calls, "the server is called: %s", when)
		}
		r := s.Open(t, o)
		requireGood(r, "from the server")
		s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			odd.ServeHTTP(w, r)
			return true
		})
		requireGood(r, "after an odd answer")
		time.Sleep(time.Minute) // until the next attempt
		s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
		requireGood(r, "from memory")
		require.NoError(t, r.Close())
		r = s.Open(t, o)
		requireGood(r, "after a restart")
		require.NoError(t, r.Close())
	})
}

func limitsAnswers(t *testing.T, b Backend) {
	var sent atomic.Int64
	flood := func(w http.ResponseWriter, r *http.Request, mib int) {
		chunk := bytes.Repeat([]byte("x"), 1<<20)
		_, _ = io.WriteString(w, `{"SecretString":"`)
		for i := 0; i != mib && r.Context().Err() == nil; i++ {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"100 MB": func(w http.ResponseWriter, r *http.Request) { flood(w, r, 100) },
		"100 MB, announced": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "104857617")
			flood(w, r, 100)
		},
		"without end": func(w http.ResponseWriter, r *http.Request) { flood(w, r, -1) },
		"error without end": func(w http.ResponseWriter,
			r *http.Request) {
			w.WriteHeader(400)
			flood(w, r, -1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := b.Start(t)
			sent.Store(0)
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool { answer(w, r); return true })
			_, err := resolve(t, s.Open(t, Options{}), s.Reference("db"))
			require.ErrorIs(t, err, fault.Unavailable)
			require.Contains(t, err.Error(), "8 MiB")
			b.RequireSilent(t, err)
			require.Equal(t, 1, s.Calls(), "the failure is permanent")
			s.Close() // waits for the handler
			require.Less(t, sent.Load(), int64(32<<20), "8 MiB, and the buffers of the sockets")
		})
	}
}

func endsAtTimeout(t *testing.T, b Backend) {
	s := b.Start(t)
	s.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return true
	})
	r := s.Open(t, Options{Timeout: 100 * time.Millisecond})
	_, err := resolve(t, r, s.Reference("db"))
	require.ErrorIs(t, err, fault.Unavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Contains(t, err.Error(), strings.TrimPrefix(s.URL, "http://")+" did not answer in time")

	s.Close()
	_, err = resolve(t, r, s.Reference("db"))
	require.ErrorIs(t, err, fault.Unavailable)
	require.Contains(t, err.Error(), "refuses connections")
}

func redirect(location string) Answer {
	return Answer{Status: http.StatusTemporaryRedirect,
		Header: map[string]string{"Location": location}}
}

var errNotAllowed = errors.New("not in the list")

// onlyServer is an AllowEndpoint that accepts only s.
func onlyServer(s *Server) func(*url.URL) error {
	return func(u *url.URL) error {
		if strings.HasPrefix(s.URL, u.Scheme+"://"+u.Host) {
			return nil
		}
		return errNotAllowed
	}
}

func refusesRedirects(t *testing.T, b Backend) {
	for name, allow := range map[string]bool{"without AllowEndpoint": false,
		"by AllowEndpoint": true} {
		t.Run(name, func(t *testing.T) {
			s, other := b.Start(t), serve(t, func(http.ResponseWriter, *http.Request) {
				t.Error("the request, with its token, was redirected")
			})
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				redirect(other.URL).ServeHTTP(w, r)
				return true
			})
			o := Options{}
			if allow {
				o.AllowEndpoint = onlyServer(s)
			}
			_, err := resolve(t, s.Open(t, o), s.Reference("db"))
			requireOnly(t, err, fault.Unavailable)
			require.ErrorContains(t, err, "refused a redirect from")
			if allow {
				require.ErrorIs(t, err, errNotAllowed)
			}
			require.Equal(t, 1, s.Calls())
		})
	}
}
