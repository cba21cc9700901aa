package secretref_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// database is a server that accepts some passwords.
type database struct {
	mu     sync.Mutex
	accept map[string]bool
	tried  []string
}

type conn struct{ driver.Conn }

type refusal struct{}

func (refusal) Error() string    { return "password authentication failed" }
func (refusal) SQLState() string { return "28P01" }

func (d *database) connect(_ context.Context, s secretref.Secret) (driver.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tried = append(d.tried, s.Reveal())
	if !d.accept[s.Reveal()] {
		return nil, fmt.Errorf("connect: %w", refusal{})
	}
	return conn{}, nil
}

func (d *database) accepts(passwords ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accept = map[string]bool{}
	for _, p := range passwords {
		d.accept[p] = true
	}
	d.tried = nil
}

// inRotation runs test with a Connector to a database that accepts a1.
func inRotation(t *testing.T, test func(t *testing.T, c driver.Connector, db *database,
	store *remote)) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		live, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		db := &database{}
		db.accepts("a1")
		test(t, secretref.Connector(live, db.connect, nil), db, store)
	})
}

func TestConnector_refreshes(t *testing.T) {
	inRotation(t, func(t *testing.T, c driver.Connector, db *database, store *remote) {
		store.set(remoteA, "a2")
		db.accepts("a2")
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				got, err := c.Connect(t.Context())
				assert.NoError(t, err)
				assert.NotNil(t, got)
			})
		}
		callers.Wait()
		require.LessOrEqual(t, store.called(), 3)
		db.accepts("a2")
		_, err := c.Connect(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"a2"}, db.tried)
	})
}

func TestConnector_lastAcceptedValue(t *testing.T) {
	inRotation(t, func(t *testing.T, c driver.Connector, db *database, store *remote) {
		_, err := c.Connect(t.Context())
		require.NoError(t, err)
		store.set(remoteA, "a2") // before the database
		for range 10 * 60 {
			_, err := c.Connect(t.Context())
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		require.Contains(t, db.tried, "a2")
		require.Less(t, store.called(), 10*60)
		db.accepts("a2")
		_, err = c.Connect(t.Context())
		require.NoError(t, err)
	})
}

func TestConnector_alwaysRefused(t *testing.T) {
	inRotation(t, func(t *testing.T, c driver.Connector, db *database, store *remote) {
		db.accepts()
		for range 1000 {
			got, err := c.Connect(t.Context())
			require.ErrorAs(t, err, &refusal{})
			require.Nil(t, got)
			time.Sleep(10 * time.Millisecond)
		}
		require.LessOrEqual(t, store.called(), 12)
		store.fails(secretref.ErrUnavailable)
		_, err := c.Connect(t.Context())
		require.ErrorAs(t, err, &refusal{}, "the error of the database, even if the refresh fails")
	})
}

func TestConnector_otherErrors(t *testing.T) {
	inRotation(t, func(t *testing.T, _ driver.Connector, _ *database, store *remote) {
		r := secretref.New(&secretref.Options{})
		defer r.Close()
		live, err := r.Watch(t.Context(), "plain")
		require.NoError(t, err)
		n := 0
		odd := errors.New("odd")
		c := secretref.Connector(live, func(context.Context, secretref.Secret) (driver.Conn, error) {
			n++
			return nil, odd
		}, nil)
		_, err = c.Connect(t.Context())
		require.Equal(t, odd, err)
		require.Equal(t, 1, n)
		c = secretref.Connector(live, func(context.Context, secretref.Secret) (driver.Conn, error) {
			n++
			return nil, odd
		},
			func(err error) bool { return err == odd })
		_, err = c.Connect(t.Context())
		require.Equal(t, odd, err)
		require.Equal(t, 2, n, "there is no other value to try")
		_, err = c.Driver().Open("x")
		require.ErrorIs(t, err, secretref.ErrUnsupported)
	})
}

func (d *database) connectAll(ctx context.Context, s []secretref.Secret) (driver.Conn, error) {
	return d.connect(ctx, s[0])
}

func TestTry(t *testing.T) {
	type session struct{ password string }
	errRefused := errors.New("wrong password")
	// service is a server without SQL that accepts one password.
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
	world := func(t *testing.T, test func(*testing.T, *secretref.Live[secretref.Secret], *service,
		*remote)) {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			live, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			defer live.Close()
			test(t, live, &service{accept: "a1"}, store)
		})
	}
	t.Run("the secret was rotated", func(t *testing.T) {
		world(t, func(t *testing.T, live *secretref.Live[secretref.Secret], s *service, store *remote) {
			store.set(remoteA, "a2")
			s.accept = "a2"
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() {
					got, err := secretref.Try(t.Context(), live, login(s), refused)
					assert.NoError(t, err)
					assert.Equal(t, &session{"a2"}, got)
				})
			}
			callers.Wait()
			require.LessOrEqual(t, store.called(), 3)
		})
	})
	t.Run("the service changes later", func(t *testing.T) {
		world(t, func(t *testing.T, live *secretref.Live[secretref.Secret], s *service, store *remote) {
			_, err := secretref.Try(t.Context(), live, login(s), refused)
			require.NoError(t, err)
			store.set(remoteA, "a2")
			_, err = live.Refresh(t.Context())
			require.NoError(t, err)
			s.tried = nil
			// All logins share the accepted value of the Live.
			got, err := secretref.Try(t.Context(), live, login(s), refused)
			require.NoError(t, err)
			require.Equal(t, "a1", got.password)
			require.Equal(t, []string{"a2", "a1"}, s.tried)
			c := secretref.Connector(live,
				func(ctx context.Context, p secretref.Secret) (driver.Conn, error) {
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
		world(t, func(t *testing.T, live *secretref.Live[secretref.Secret], s *service, store *remote) {
			s.accept = "other"
			start := time.Now()
			for range 1000 {
				got, err := secretref.Try(t.Context(), live, login(s), refused)
				require.ErrorIs(t, err, errRefused)
				require.Nil(t, got)
				time.Sleep(10 * time.Millisecond)
			}
			require.LessOrEqual(t, store.called(), 2+int(time.Since(start)/time.Second))
		})
	})
	t.Run("another error", func(t *testing.T) {
		world(t, func(t *testing.T, live *secretref.Live[secretref.Secret], s *service, store *remote) {
			s.accept = "other"
			got, err := secretref.Try(t.Context(), live, login(s), nil)
			require.ErrorIs(t, err, errRefused)
			require.Nil(t, got)
			require.Equal(t, []string{"a1"}, s.tried, "it has no SQLSTATE")
			require.Equal(t, 1, store.called())
		})
	})
	t.Run("a closed Live", func(t *testing.T) {
		world(t, func(t *testing.T, live *secretref.Live[secretref.Secret], s *service, store *remote) {
			live.Close()
			_, err := secretref.Try(t.Context(), live, login(s), refused)
			require.NoError(t, err)
			s.accept = "a2"
			start := time.Now()
			_, err = secretref.Try(t.Context(), live, login(s), refused)
			require.ErrorIs(t, err, errRefused)
			require.Zero(t, time.Since(start))
			require.Equal(t, 1, store.called())
		})
	})
	t.Run("a context that ends", func(t *testing.T) {
		world(t, func(t *testing.T, live *secretref.Live[secretref.Secret], s *service, store *remote) {
			store.takes = time.Second
			store.set(remoteA, "a2")
			s.accept = "a2"
			ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
			defer cancel()
			_, err := secretref.Try(ctx, live, login(s), refused)
			require.ErrorIs(t, err, errRefused)
			time.Sleep(time.Second)
			got, err := secretref.Try(t.Context(), live, login(s), refused)
			require.NoError(t, err)
			require.Equal(t, "a2", got.password)
			require.Equal(t, 2, store.called(), "the refresh continued")
		})
	})
}
