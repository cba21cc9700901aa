package secretref_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// collect runs the garbage collector until weak pointers to what is not
// reachable are nil.
func collect() {
	for range 3 {
		runtime.GC()
	}
}

// refreshers returns how many goroutines refresh Lives.
func refreshers() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "refresh.(*Refresher).run(")
}

// logText is where several goroutines log to while a test reads it.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logText) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

func TestHandleFailing(t *testing.T) {
	const warning, again = "is not renewed", "is renewed again"
	lines := func(log *logText, text string) (n int) {
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, text) {
				n++
			}
		}
		return n
	}
	for _, kind := range []error{secretref.ErrDenied, secretref.ErrNotFound, secretref.ErrUnauthenticated, secretref.ErrUnsupported} {
		t.Run(kind.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logText
				fake := secretref.NewFake()
				fake.Set(awsRef, canary)
				fake.Set(vaultRef, canary)
				r := secretref.New(&secretref.Options{Fake: fake, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				defer r.Close()
				for range 5 { // which share the secret
					h, err := r.WatchAll(t.Context(), awsRef, awsRef, vaultRef)
					require.NoError(t, err)
					defer h.Close()
				}
				log.Reset()
				fake.Fail(awsRef, kind)
				time.Sleep(6 * time.Minute)
				require.Equal(t, 1, lines(&log, warning), log.String())
				require.Equal(t, 1, lines(&log, "level=WARN"), "it is said once")
				require.Contains(t, log.String(), `secretId`)
				require.Contains(t, log.String(), kind.Error())
				time.Sleep(10 * time.Hour)
				require.InDelta(t, 11, lines(&log, warning), 1, "and once an hour")
				require.Zero(t, lines(&log, again))
				fake.Fail(awsRef, nil)
				time.Sleep(2 * time.Minute)
				warned := lines(&log, warning)
				time.Sleep(10 * time.Hour)
				require.Equal(t, warned, lines(&log, warning))
				require.Equal(t, 1, lines(&log, again))
				fake.Fail(vaultRef, kind)
				time.Sleep(6 * time.Minute)
				require.Equal(t, warned+1, lines(&log, warning), "another time is another failure")
				require.NotContains(t, log.String(), canary)
			})
		})
	}
	t.Run("a value that is not in the secret any more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log logText
			fake := secretref.NewFake()
			fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"password":"`+canary+`"}`)
			r := secretref.New(&secretref.Options{Fake: fake, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			defer r.Close()
			h, err := r.Watch(t.Context(), awsRef)
			require.NoError(t, err)
			fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"passwort":"`+canary+`"}`)
			time.Sleep(6 * time.Minute)
			require.Equal(t, canary, h.Value().Reveal())
			require.Equal(t, 1, lines(&log, warning), log.String())
			require.NotContains(t, log.String(), canary)
		})
	})
	t.Run("an outage that nothing covers", func(t *testing.T) {
		var log logText
		inBubble(t, secretref.Options{MaxStale: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			h, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			defer h.Close()
			store.fails(secretref.ErrUnavailable)
			time.Sleep(50 * time.Minute)
			require.Zero(t, lines(&log, warning), "it is covered, which the log says in other words")
			time.Sleep(10 * time.Hour)
			require.InDelta(t, 10, lines(&log, warning), 1)
			store.fails(nil)
			time.Sleep(2 * time.Minute)
			require.Equal(t, 1, lines(&log, again))
		})
	})
}

func TestHandleClose(t *testing.T) {
	t.Run("ends the refreshes", func(t *testing.T) {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			h, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			var updates sync.WaitGroup
			updates.Go(func() {
				for range h.Updates(t.Context()) {
				}
			})
			synctest.Wait()
			require.Equal(t, 1, refreshers())
			h.Close()
			h.Close()
			updates.Wait()
			synctest.Wait()
			require.Zero(t, refreshers(), "nothing is left to do")
			store.set(remoteA, "a2")
			time.Sleep(time.Hour)
			require.Equal(t, 1, store.called())
			require.Equal(t, "a1", h.Value().Reveal())
			_, err = h.Status()
			require.NoError(t, err)
			n := 0
			for s := range h.Updates(t.Context()) {
				require.Equal(t, "a1", s.Reveal())
				n++
			}
			require.Equal(t, 1, n)
			got, err := h.Refresh(t.Context())
			require.ErrorIs(t, err, secretref.ErrClosed)
			require.NotErrorIs(t, err, secretref.ErrUnavailable)
			var located *secretref.Error
			require.ErrorAs(t, err, &located)
			require.Equal(t, "a1", got.Reveal())
			require.Equal(t, 1, store.called())
		})
	})
	t.Run("leaves other Handles alone", func(t *testing.T) {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			var handles []*secretref.Live[secretref.Secret]
			for range 3 {
				h, err := r.Watch(t.Context(), remoteA)
				require.NoError(t, err)
				handles = append(handles, h)
			}
			handles[0].Close()
			handles[2].Close()
			store.set(remoteA, "a2")
			time.Sleep(6 * time.Minute)
			require.Equal(t, "a2", handles[1].Value().Reveal())
			require.Equal(t, "a1", handles[2].Value().Reveal())
			handles[1].Close()
			later, err := r.Watch(t.Context(), remoteB)
			require.NoError(t, err)
			store.set(remoteB, "b2")
			time.Sleep(6 * time.Minute)
			require.Equal(t, "b2", later.Value().Reveal(), "the next one is refreshed again")
			later.Close()
		})
	})
	t.Run("of a Resolver", func(t *testing.T) {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, _ *remote) {
			h, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			_, err = r.Resolve(t.Context(), remoteA)
			requireClosed(t, err)
			_, err = r.ResolveAll(t.Context(), remoteA, remoteB)
			requireClosed(t, err)
			_, err = h.Refresh(t.Context())
			requireClosed(t, err)
			_, err = r.Watch(t.Context(), remoteA)
			requireClosed(t, err)
			h.Close()
		})
	})
	t.Run("of a Resolver with fetches under way", func(t *testing.T) {
		for _, ttl := range []time.Duration{-1, time.Minute} {
			inBubble(t, secretref.Options{TTL: ttl}, func(t *testing.T, r *secretref.Resolver, store *remote) {
				store.takes = time.Minute
				var callers sync.WaitGroup
				callers.Go(func() {
					_, err := r.Resolve(t.Context(), remoteA)
					assert.ErrorIs(t, err, secretref.ErrClosed)
				})
				synctest.Wait()
				require.NoError(t, r.Close())
				callers.Wait()
			})
		}
	})
	t.Run("of a Keyring", func(t *testing.T) {
		k := makeKeyring(t)
		require.NoError(t, k.Close())
		_, err := k.Get(t.Context(), "a")
		requireClosed(t, err)
	})
}

// requireClosed: a closed Resolver or Keyring is one that is not available, too.
func requireClosed(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, secretref.ErrClosed)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.Contains(t, err.Error(), "closed")
}

func TestHandleUnreachable(t *testing.T) {
	t.Run("is not refreshed", func(t *testing.T) {
		inBubble(t, secretref.Options{TTL: time.Minute}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			for i := range 1000 {
				_, err := r.Watch(t.Context(), fmt.Sprintf(`{"storeId":"%d"}`, i))
				require.NoError(t, err)
			}
			calls := store.called()
			require.Equal(t, 1000, calls)
			synctest.Wait() // a pass keeps what it looks at
			collect()
			time.Sleep(10 * time.Minute)
			require.Equal(t, calls, store.called())
			synctest.Wait()
			require.Zero(t, refreshers())
		})
	})
	t.Run("others go on", func(t *testing.T) {
		inBubble(t, secretref.Options{TTL: time.Minute}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			h, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			db := &database{}
			db.accepts("b1", "b2")
			connector := func() driver.Connector {
				h, err := r.Watch(t.Context(), remoteB)
				require.NoError(t, err)
				return secretref.Connector(h, db.connect, nil)
			}()
			var seen []string
			var updates sync.WaitGroup
			ctx, cancel := context.WithCancel(t.Context())
			updates.Go(func() {
				loop := func() func(func(secretref.Secret, error) bool) {
					h, err := r.Watch(t.Context(), `{"storeId":"c"}`)
					assert.NoError(t, err)
					return h.Updates(ctx)
				}()
				collect()
				for s := range loop {
					seen = append(seen, s.Reveal())
				}
			})
			for i := range 200 {
				_, err := r.Watch(t.Context(), fmt.Sprintf(`{"storeId":"%d"}`, i))
				require.NoError(t, err)
			}
			synctest.Wait()
			collect()
			calls := store.called()
			store.set(remoteA, "a2")
			store.set(remoteB, "b2")
			store.set(`{"storeId":"c"}`, "c2")
			time.Sleep(2 * time.Minute)
			require.LessOrEqual(t, store.called(), calls+3*3)
			require.Equal(t, "a2", h.Value().Reveal())
			db.tried = nil
			_, err = connector.Connect(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{"b2"}, db.tried)
			cancel()
			updates.Wait()
			require.Equal(t, []string{"", "c2"}, seen)
			runtime.KeepAlive(h)
		})
	})
	t.Run("costs no memory", func(t *testing.T) {
		inBubble(t, secretref.Options{TTL: 24 * time.Hour}, func(t *testing.T, r *secretref.Resolver, _ *remote) {
			keep, err := r.Watch(t.Context(), remoteB)
			require.NoError(t, err)
			used := func() uint64 {
				var m runtime.MemStats
				synctest.Wait()
				collect()
				runtime.ReadMemStats(&m)
				return m.HeapObjects
			}
			var before uint64
			for i := range 20000 {
				if i == 1000 {
					before = used()
				}
				_, err := r.Watch(t.Context(), remoteA)
				require.NoError(t, err)
				if i%500 == 0 {
					runtime.GC()
				}
			}
			require.Less(t, int(used())-int(before), 19000, "not one object for each")
			keep.Close()
		})
	})
}

func TestHandleNil(t *testing.T) {
	var none *secretref.Live[secretref.Secret]
	var zero secretref.Live[secretref.Secret]
	r := secretref.New(nil)
	defer r.Close()
	plain, err := r.Watch(t.Context(), "plain")
	require.NoError(t, err)
	connect := func(context.Context, secretref.Secret) (driver.Conn, error) { return conn{}, nil }
	login := func(context.Context, secretref.Secret) (int, error) { return 1, nil }
	for _, h := range []*secretref.Live[secretref.Secret]{none, &zero} {
		for name, use := range map[string]func(){
			"Value":     func() { h.Value() },
			"Status":    func() { _, _ = h.Status() },
			"Refresh":   func() { _, _ = h.Refresh(t.Context()) },
			"Updates":   func() { h.Updates(t.Context()) },
			"Close":     func() { h.Close() },
			"Connector": func() { secretref.Connector(h, connect, nil) },
			"Try":       func() { _, _ = secretref.Try(t.Context(), h, login, nil) },
		} {
			require.PanicsWithValue(t, "secretref: a nil or zero Live was used; use one that Watch, WatchAll, WatchConfig returned "+
				"without an error", use, name)
		}
	}
	require.PanicsWithValue(t, "secretref: a Connector needs a connect function", func() { secretref.Connector(plain, nil, nil) })
	require.PanicsWithValue(t, "secretref: Try needs a login function", func() {
		_, _ = secretref.Try[secretref.Secret, int](t.Context(), plain, nil, nil)
	})
}

func TestTry(t *testing.T) {
	type session struct{ password string }
	errRefused := errors.New("who are you?")
	// service accepts passwords like a database that is no SQL one.
	type service struct {
		mu     sync.Mutex
		accept string
		tried  []string
	}
	login := func(s *service) func(context.Context, secretref.Secret) (*session, error) {
		return func(_ context.Context, password secretref.Secret) (*session, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.tried = append(s.tried, password.Reveal())
			if password.Reveal() != s.accept {
				return &session{"half open"}, fmt.Errorf("login: %w", errRefused)
			}
			return &session{password.Reveal()}, nil
		}
	}
	refused := func(err error) bool { return errors.Is(err, errRefused) }
	world := func(t *testing.T, test func(*testing.T, *secretref.Live[secretref.Secret], *service, *remote)) {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			h, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			defer h.Close()
			test(t, h, &service{accept: "a1"}, store)
		})
	}
	t.Run("the secret was rotated", func(t *testing.T) {
		world(t, func(t *testing.T, h *secretref.Live[secretref.Secret], s *service, store *remote) {
			store.set(remoteA, "a2")
			s.accept = "a2"
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() {
					got, err := secretref.Try(t.Context(), h, login(s), refused)
					assert.NoError(t, err)
					assert.Equal(t, &session{"a2"}, got)
				})
			}
			callers.Wait()
			require.LessOrEqual(t, store.called(), 3)
		})
	})
	t.Run("the service follows later", func(t *testing.T) {
		world(t, func(t *testing.T, h *secretref.Live[secretref.Secret], s *service, store *remote) {
			_, err := secretref.Try(t.Context(), h, login(s), refused)
			require.NoError(t, err)
			store.set(remoteA, "a2")
			_, err = h.Refresh(t.Context())
			require.NoError(t, err)
			s.tried = nil
			// What was accepted is remembered in the Live, whoever logged in.
			got, err := secretref.Try(t.Context(), h, login(s), refused)
			require.NoError(t, err)
			require.Equal(t, "a1", got.password)
			require.Equal(t, []string{"a2", "a1"}, s.tried)
			c := secretref.Connector(h, func(ctx context.Context, p secretref.Secret) (driver.Conn, error) {
				if _, err := login(s)(ctx, p); err != nil {
					return nil, err
				}
				return conn{}, nil
			}, refused)
			s.tried = nil
			_, err = c.Connect(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{"a2", "a1"}, s.tried)
			require.Equal(t, 2, store.called())
		})
	})
	t.Run("nothing is accepted", func(t *testing.T) {
		world(t, func(t *testing.T, h *secretref.Live[secretref.Secret], s *service, store *remote) {
			s.accept = "other"
			start := time.Now()
			for range 1000 {
				got, err := secretref.Try(t.Context(), h, login(s), refused)
				require.ErrorIs(t, err, errRefused)
				require.Nil(t, got)
				time.Sleep(10 * time.Millisecond)
			}
			require.LessOrEqual(t, store.called(), 2+int(time.Since(start)/time.Second))
		})
	})
	t.Run("another error", func(t *testing.T) {
		world(t, func(t *testing.T, h *secretref.Live[secretref.Secret], s *service, store *remote) {
			s.accept = "other"
			got, err := secretref.Try(t.Context(), h, login(s), nil)
			require.ErrorIs(t, err, errRefused)
			require.Nil(t, got)
			require.Equal(t, []string{"a1"}, s.tried, "it has no SQLSTATE")
			require.Equal(t, 1, store.called())
		})
	})
	t.Run("a closed Handle", func(t *testing.T) {
		world(t, func(t *testing.T, h *secretref.Live[secretref.Secret], s *service, store *remote) {
			h.Close()
			_, err := secretref.Try(t.Context(), h, login(s), refused)
			require.NoError(t, err)
			s.accept = "a2"
			start := time.Now()
			_, err = secretref.Try(t.Context(), h, login(s), refused)
			require.ErrorIs(t, err, errRefused)
			require.Zero(t, time.Since(start))
			require.Equal(t, 1, store.called())
		})
	})
	t.Run("a context that ends", func(t *testing.T) {
		world(t, func(t *testing.T, h *secretref.Live[secretref.Secret], s *service, store *remote) {
			store.takes = time.Second
			store.set(remoteA, "a2")
			s.accept = "a2"
			ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
			defer cancel()
			_, err := secretref.Try(ctx, h, login(s), refused)
			require.ErrorIs(t, err, errRefused)
			time.Sleep(time.Second)
			got, err := secretref.Try(t.Context(), h, login(s), refused)
			require.NoError(t, err)
			require.Equal(t, "a2", got.password)
			require.Equal(t, 2, store.called(), "the refresh went on")
		})
	})
}

// One caller's hurry says nothing about the secret that all share.
func TestHandleRefresh_whoeverLeaves(t *testing.T) {
	for name, leave := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		},
		"in a hurry": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 100*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				takes := time.Duration(0)
				r := secretref.New(&secretref.Options{Logger: slog.New(slog.DiscardHandler), Providers: store(func(context.Context, []byte) ([]byte, error) {
					time.Sleep(takes)
					return []byte(canary), nil
				})})
				defer r.Close()
				h, err := r.Watch(t.Context(), `{"storeId":"1"}`)
				require.NoError(t, err)
				takes = time.Second
				ctx, cancel := leave(t.Context())
				defer cancel()
				secret, err := h.Refresh(ctx)
				require.ErrorIs(t, err, secretref.ErrUnavailable)
				require.Equal(t, canary, secret.Reveal())
				_, err = h.Status()
				require.NoError(t, err)
				time.Sleep(10 * time.Second)
				_, err = h.Status()
				require.NoError(t, err)
			})
		})
	}
}
