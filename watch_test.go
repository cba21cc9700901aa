package secretref_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/fault"
)

// remote is a Provider's store whose secrets change and that can fail.
type remote struct {
	mu    sync.Mutex
	texts map[string]string // by coordinates
	err   error
	takes time.Duration
	calls int
}

func (r *remote) fetch(ctx context.Context, coordinates []byte) ([]byte, error) {
	r.mu.Lock()
	r.calls++
	text, err, takes := r.texts[string(coordinates)], r.err, r.takes
	r.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return []byte(text), err
}

func (r *remote) set(coordinates, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts[coordinates] = text
}

func (r *remote) fails(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *remote) called() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

const (
	remoteA = `{"storeId":"a"}`
	remoteB = `{"storeId":"b"}`
)

// inBubble runs test with a Resolver over a remote that knows a and b.
func inBubble(t *testing.T, opts secretref.Options, test func(*testing.T, *secretref.Resolver, *remote)) {
	synctest.Test(t, func(t *testing.T) {
		store := &remote{texts: map[string]string{remoteA: "a1", remoteB: "b1"}, takes: 10 * time.Millisecond}
		opts.Providers = []secretref.Provider{{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: store.fetch}}
		r := secretref.New(&opts)
		defer r.Close()
		test(t, r, store)
	})
}

func resolved(t *testing.T, r *secretref.Resolver, value string) string {
	t.Helper()
	s, err := r.Resolve(t.Context(), value)
	require.NoError(t, err)
	return s.Reveal()
}

func TestASecretIsKeptForItsTTL(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		require.Equal(t, "a1", resolved(t, r, remoteA))
		store.set(remoteA, "a2")
		for range 4 {
			require.Equal(t, "a1", resolved(t, r, remoteA))
			require.Equal(t, "a1", resolved(t, r, " "+remoteA))
			all, err := r.ResolveAll(t.Context(), remoteA, remoteA)
			require.NoError(t, err)
			require.Equal(t, "a1", all[1].Reveal())
			time.Sleep(time.Minute)
		}
		require.Equal(t, 1, store.called())
		time.Sleep(time.Minute)
		require.Equal(t, "a2", resolved(t, r, remoteA))
		require.Equal(t, 2, store.called())
	})
	inBubble(t, secretref.Options{TTL: -1}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		for range 3 {
			require.Equal(t, "a1", resolved(t, r, remoteA))
		}
		require.Equal(t, 3, store.called())
	})
}

func TestPlaintextIsNeverKept(t *testing.T) {
	var log bytes.Buffer
	r := secretref.New(&secretref.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	defer r.Close()
	for range 3 {
		require.Equal(t, "plain", resolved(t, r, "plain"))
	}
	require.Empty(t, log.String(), "there was no fetch")
}

func TestAStoredSecretIsNeverKeptInMemory(t *testing.T) {
	k := makeKeyring(t)
	r := secretref.New(&secretref.Options{Keyring: k})
	defer r.Close()
	for _, text := range []string{"one", "two"} {
		require.NoError(t, k.Put(t.Context(), "a", secretref.NewSecret(text)))
		require.Equal(t, text, resolved(t, r, `{"keyring":"a"}`))
	}
	h, err := r.Watch(t.Context(), `{"keyring":"a"}`)
	require.NoError(t, err)
	require.NoError(t, k.Put(t.Context(), "a", secretref.NewSecret("three")))
	got, err := h.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, "three", got.Reveal())
}

func TestAnOutageIsCoveredUntilMaxStale(t *testing.T) {
	var events []secretref.FetchEvent
	opts := secretref.Options{MaxStale: time.Hour, OnFetch: func(e secretref.FetchEvent) { events = append(events, e) }}
	inBubble(t, opts, func(t *testing.T, r *secretref.Resolver, store *remote) {
		require.Equal(t, "a1", resolved(t, r, remoteA))
		store.fails(secretref.ErrUnavailable)
		for start := time.Now(); time.Since(start) < 58*time.Minute; time.Sleep(time.Minute) {
			require.Equal(t, "a1", resolved(t, r, remoteA))
		}
		time.Sleep(3 * time.Minute)
		_, err := r.Resolve(t.Context(), remoteA)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		first, second, last := events[0], events[1], events[len(events)-1]
		assert.Equal(t, [3]any{"ok", "miss", false}, [3]any{first.Outcome, first.Cache, first.Stale})
		assert.Equal(t, [3]any{"unavailable", "renew", true}, [3]any{second.Outcome, second.Cache, second.Stale})
		assert.Equal(t, [3]any{"unavailable", "miss", false}, [3]any{last.Outcome, last.Cache, last.Stale})
		assert.Equal(t, 1, second.Attempts)
		assert.Greater(t, last.Attempts, 3)
	})
}

func TestWhatIsDeniedIsNotCovered(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		require.Equal(t, "a1", resolved(t, r, remoteA))
		time.Sleep(5 * time.Minute)
		store.fails(secretref.ErrDenied)
		_, err := r.Resolve(t.Context(), remoteA)
		require.ErrorIs(t, err, secretref.ErrDenied)
		store.fails(secretref.ErrUnavailable)
		_, err = r.Resolve(t.Context(), remoteA)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
	})
}

func TestManyValuesAreKnownByTheirText(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		for i := range 20000 {
			require.Empty(t, resolved(t, r, fmt.Sprintf(`{"storeId":"%d"}`, i%3)))
			require.Equal(t, "a1", resolved(t, r, remoteA+strings.Repeat(" ", i%9000)))
		}
		require.Equal(t, 4, store.called())
	})
}

func TestAHandleIsRenewedInTheBackground(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		start := time.Now()
		h, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		require.Equal(t, "a1", h.Value().Reveal())
		fetched, err := h.Status()
		require.NoError(t, err)
		require.Equal(t, start, fetched)

		store.set(remoteA, "a2")
		time.Sleep(5 * time.Minute)
		require.Equal(t, "a2", h.Value().Reveal())
		require.Equal(t, 2, store.called())
		require.Equal(t, "a2", resolved(t, r, remoteA))
		require.Equal(t, 2, store.called(), "nobody else waits for what a Handle keeps")

		time.Sleep(24 * time.Hour)
		require.InDelta(t, 24*60/4.5, store.called(), 60)
		require.NoError(t, r.Close())
		calls := store.called()
		time.Sleep(time.Hour)
		require.Equal(t, calls, store.called())
		require.Equal(t, "a2", h.Value().Reveal(), "it outlives its Resolver")
		_, err = h.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrUnavailable)
		_, err = r.Watch(t.Context(), remoteA)
		require.ErrorIs(t, err, secretref.ErrUnavailable)
	})
}

func TestAHandleKeepsItsLastGoodValueWhateverHappens(t *testing.T) {
	for _, kind := range []error{secretref.ErrUnavailable, secretref.ErrDenied, secretref.ErrNotFound, secretref.ErrUnauthenticated, errors.New("odd")} {
		inBubble(t, secretref.Options{MaxStale: time.Hour}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			h, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			store.fails(kind)
			time.Sleep(48 * time.Hour)
			require.Equal(t, "a1", h.Value().Reveal())
			_, err = h.Status()
			require.ErrorIs(t, err, kind)
			require.Less(t, store.called(), 48*60*2, "%v", kind)
			got, err := h.Refresh(t.Context())
			require.ErrorIs(t, err, kind)
			require.Equal(t, "a1", got.Reveal())
			store.fails(nil)
			store.set(remoteA, "a2")
			time.Sleep(2 * time.Minute)
			require.Equal(t, "a2", h.Value().Reveal())
			_, err = h.Status()
			require.NoError(t, err)
		})
	}
}

func TestThereIsNoHandleWithoutAValue(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		for value, kind := range map[string]error{
			`{"region":"eu-west-1"}`: secretref.ErrSyntax,
			`{"keyring":"x"}`:        secretref.ErrUnsupported,
		} {
			h, err := r.WatchAll(t.Context(), remoteA, value)
			require.ErrorIs(t, err, kind)
			require.ErrorContains(t, err, "value 2")
			require.Nil(t, h)
		}
		store.fails(secretref.ErrNotFound)
		_, err := r.Watch(t.Context(), remoteB)
		require.ErrorIs(t, err, secretref.ErrNotFound)
	})
}

func TestAPlaintextHandleStaysWhatItIs(t *testing.T) {
	r := secretref.New(&secretref.Options{AllowEmpty: true})
	defer r.Close()
	h, err := r.WatchAll(t.Context(), "plain", "")
	require.NoError(t, err)
	got, err := h.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, "plain", got[0].Reveal())
	require.True(t, got[1].IsZero())
	require.Zero(t, refreshers())
}

func TestAllHandlesShareOneGoroutineAndOneFetch(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		var handles []*secretref.Live[secretref.Secret]
		for range 100 {
			h, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			handles = append(handles, h)
		}
		synctest.Wait()
		require.Equal(t, 1, refreshers())
		store.set(remoteA, "a2")
		time.Sleep(5 * time.Minute)
		require.Equal(t, 2, store.called())
		for _, h := range handles {
			require.Equal(t, "a2", h.Value().Reveal())
		}
		store.set(remoteA, "a3")
		_, err := handles[0].Refresh(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, "a3", handles[99].Value().Reveal(), "what one has learned all know")
		require.Equal(t, 3, store.called())
	})
}

func TestRefreshFetchesAfterTheCallAndIsShared(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		h, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		store.takes = time.Second
		var callers sync.WaitGroup
		callers.Go(func() { _, _ = h.Refresh(t.Context()) })
		time.Sleep(time.Second / 2)
		store.set(remoteA, "a2")
		for range 100 {
			callers.Go(func() {
				got, err := h.Refresh(t.Context())
				assert.NoError(t, err)
				assert.Equal(t, "a2", got.Reveal())
			})
		}
		callers.Wait()
		require.Equal(t, 3, store.called())
	})
}

func TestUpdatesYieldsTheValueAndItsChanges(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		h, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		var seen []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for s, err := range h.Updates(t.Context()) {
				seen = append(seen, fmt.Sprintf("%s %t", s.Reveal(), errors.Is(err, secretref.ErrUnavailable)))
			}
		}()
		time.Sleep(10 * time.Minute)
		store.set(remoteA, "a2")
		time.Sleep(10 * time.Minute)
		store.fails(secretref.ErrUnavailable)
		time.Sleep(time.Hour)
		store.fails(nil)
		store.set(remoteA, "a3")
		time.Sleep(10 * time.Minute)
		require.NoError(t, r.Close())
		<-done
		require.Equal(t, []string{"a1 false", "a2 false", "a2 true", "a3 false"}, seen)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n := 0
		for range h.Updates(ctx) {
			n++
		}
		require.Equal(t, 1, n, "the present value comes in any case")
	})
}

func TestUserAndPasswordAreAlwaysOfOneVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := secretref.NewFake()
		put := func(n int) {
			fake.Set(`{"region":"eu-west-1","secretId":"db"}`, fmt.Sprintf(`{"username":"user%d","password":"pass%d"}`, n%2, n%2))
		}
		put(0)
		r := secretref.New(&secretref.Options{Fake: fake, TTL: time.Minute})
		defer r.Close()
		h, err := r.WatchAll(t.Context(), "plain", strings.Replace(awsRef, "/password", "/username", 1), awsRef)
		require.NoError(t, err)
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				for range 500 {
					s := h.Value()
					assert.Equal(t, "plain", s[0].Reveal())
					assert.Equal(t, strings.TrimPrefix(s[1].Reveal(), "user"), strings.TrimPrefix(s[2].Reveal(), "pass"))
					time.Sleep(time.Second)
				}
			})
		}
		for n := range 500 {
			put(n)
			if n%7 == 0 {
				_, err := h.Refresh(t.Context())
				require.NoError(t, err)
			}
			time.Sleep(time.Second)
		}
		callers.Wait()

		put(1)
		_, err = h.Refresh(t.Context())
		require.NoError(t, err)
		fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"username":"user7"}`)
		got, err := h.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrPointer)
		require.Equal(t, "user1", got[1].Reveal(), "a version without a password is not half taken")
		require.Equal(t, "pass1", got[2].Reveal())
	})
}

func TestOneSecretsFailureDoesNotHoldTheOthersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := secretref.NewFake()
		fake.Set(awsRef, "one")
		fake.Set(vaultRef, "one")
		r := secretref.New(&secretref.Options{Fake: fake})
		defer r.Close()
		h, err := r.WatchAll(t.Context(), awsRef, vaultRef)
		require.NoError(t, err)
		fake.Set(awsRef, "two")
		fake.Fail(vaultRef, secretref.ErrDenied)
		got, err := h.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrDenied)
		require.ErrorContains(t, err, "value 2")
		require.Equal(t, "two", got[0].Reveal())
		require.Equal(t, "one", got[1].Reveal())
	})
}

func TestAConfigurationFileIsKeptUpToDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := configFake()
		r := secretref.New(&secretref.Options{Fake: fake})
		defer r.Close()
		c, err := secretref.ReadConfig("testdata/jira/dbconfig.xml")
		require.NoError(t, err)
		for i, e := range c.Entries {
			if e.Key == "jdbc-datasource/password" {
				c.Entries[i].Value = secretref.NewSecret(strings.TrimPrefix(awsRef, "{ENC}"))
			}
		}
		h, err := r.WatchConfig(t.Context(), c)
		require.NoError(t, err)
		first := h.Value()
		require.Equal(t, secretBehind, first.Database.Password.Reveal())
		require.False(t, first.Database.URL.IsZero())
		fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"password":"next"}`)
		time.Sleep(5 * time.Minute)
		require.Equal(t, "next", h.Value().Database.Password.Reveal())
		require.Equal(t, "next", h.Value().Secrets["jdbc-datasource/password"].Reveal())
		require.Equal(t, secretBehind, first.Database.Password.Reveal(), "what was handed out stays as it is")
		require.Equal(t, first.Database.URL.Reveal(), h.Value().Database.URL.Reveal())

		c.Entries = nil
		_, err = secretref.New(&secretref.Options{Strict: true}).WatchConfig(t.Context(), &secretref.ConfigFile{Product: secretref.Bitbucket,
			Entries: []secretref.Entry{{Key: "jdbc.url", Value: secretref.NewSecret("jdbc:x")}}})
		require.ErrorIs(t, err, secretref.ErrNotReference)
	})
}

func TestAnEmptySecretIsNoValueUnderStrict(t *testing.T) {
	inBubble(t, secretref.Options{Strict: true}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		h, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		store.set(remoteA, "")
		got, err := h.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrPointer)
		require.Equal(t, "a1", got.Reveal())
	})
}

// database accepts some passwords.
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
func inRotation(t *testing.T, test func(t *testing.T, c driver.Connector, db *database, store *remote)) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		h, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		db := &database{}
		db.accepts("a1")
		test(t, secretref.Connector(h, db.connect, nil), db, store)
	})
}

func TestAConnectorRefreshesWhatIsRefused(t *testing.T) {
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

func TestAConnectorTriesTheLastAcceptedValueWhileTheNewOneIsNot(t *testing.T) {
	inRotation(t, func(t *testing.T, c driver.Connector, db *database, store *remote) {
		_, err := c.Connect(t.Context())
		require.NoError(t, err)
		store.set(remoteA, "a2") // and the database will follow in some minutes
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

func TestALoginThatIsAlwaysRefusedCausesFewFetches(t *testing.T) {
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
		require.ErrorAs(t, err, &refusal{}, "the database's own word, also if nothing newer can be had")
	})
}

func TestAConnectorHandsOtherErrorsOn(t *testing.T) {
	inRotation(t, func(t *testing.T, _ driver.Connector, _ *database, store *remote) {
		r := secretref.New(&secretref.Options{})
		defer r.Close()
		h, err := r.Watch(t.Context(), "plain")
		require.NoError(t, err)
		n := 0
		odd := errors.New("odd")
		c := secretref.Connector(h, func(context.Context, secretref.Secret) (driver.Conn, error) { n++; return nil, odd }, nil)
		_, err = c.Connect(t.Context())
		require.Equal(t, odd, err)
		require.Equal(t, 1, n)
		c = secretref.Connector(h, func(context.Context, secretref.Secret) (driver.Conn, error) { n++; return nil, odd },
			func(err error) bool { return err == odd })
		_, err = c.Connect(t.Context())
		require.Equal(t, odd, err)
		require.Equal(t, 2, n, "there is nothing else to try")
		_, err = c.Driver().Open("x")
		require.ErrorIs(t, err, secretref.ErrUnsupported)
	})
}

func TestAStartDuringAnOutageUsesTheLastKnownSecret(t *testing.T) {
	k := makeKeyring(t)
	var log bytes.Buffer
	store := &remote{texts: map[string]string{remoteA: "hunter2"}}
	start := func() *secretref.Resolver {
		return secretref.New(&secretref.Options{LastKnown: k, Timeout: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Providers: []secretref.Provider{{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: store.fetch}}})
	}
	r := start()
	require.Equal(t, "hunter2", resolved(t, r, remoteA))
	require.NoError(t, r.Close())

	store.fails(secretref.ErrUnavailable)
	r = start()
	h, err := r.Watch(t.Context(), remoteA)
	require.NoError(t, err)
	require.Equal(t, "hunter2", h.Value().Reveal())
	fetched, err := h.Status()
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.WithinDuration(t, time.Now(), fetched, 10*time.Second)
	require.Contains(t, log.String(), "level=WARN")
	require.NoError(t, r.Close())

	for name, err := range k.Names(t.Context()) {
		require.Fail(t, "a name that is reserved is yielded", "%q %v", name, err)
	}
	keys, err := k.Keys(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, keys[0].Secrets)
	_, err = k.Rotate(t.Context())
	require.NoError(t, err)
	require.NoError(t, k.Verify(t.Context()))

	store.fails(secretref.ErrNotFound)
	r = start()
	_, err = r.Resolve(t.Context(), remoteA)
	require.ErrorIs(t, err, secretref.ErrNotFound)
	require.NoError(t, r.Close())
	keys, err = k.Keys(t.Context())
	require.NoError(t, err)
	require.Zero(t, keys[0].Secrets+keys[1].Secrets, "what is gone is forgotten")

	store.fails(secretref.ErrUnavailable)
	r = start()
	defer r.Close()
	_, err = r.Resolve(t.Context(), remoteA)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
	require.NotContains(t, log.String(), "hunter2")
}

func TestNamesOfLastKnownSecretsAreReserved(t *testing.T) {
	k := makeKeyring(t)
	const name = ".secretref/last-known/x"
	require.ErrorIs(t, k.Put(t.Context(), name, secretref.NewSecret("x")), secretref.ErrSyntax)
	_, err := k.Get(t.Context(), name)
	require.ErrorIs(t, err, secretref.ErrNotFound)
	require.ErrorIs(t, k.Delete(t.Context(), name), secretref.ErrNotFound)
	require.NoError(t, k.Put(t.Context(), ".secretref", secretref.NewSecret("x")), "no other name is")
}

func TestAKeyringThatFailsCostsNoSecret(t *testing.T) {
	k := makeKeyring(t)
	var log bytes.Buffer
	require.NoError(t, k.Close())
	store := &remote{texts: map[string]string{remoteA: "hunter2"}}
	r := secretref.New(&secretref.Options{LastKnown: k, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Providers: []secretref.Provider{{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: store.fetch}}})
	require.Equal(t, "hunter2", resolved(t, r, remoteA))
	require.NoError(t, r.Close())
	require.Contains(t, log.String(), "the last known secret cannot be stored")
}

func makeKeyring(t testing.TB) *secretref.Keyring {
	t.Helper()
	k, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(filepath.Join(t.TempDir(), "keys.db")), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func TestWhatIsKnownCostsNoMemory(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "hunter2")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	h, err := r.Watch(t.Context(), awsRef)
	require.NoError(t, err)
	require.Equal(t, "hunter2", resolved(t, r, awsRef))
	ctx, value := t.Context(), strings.Clone(awsRef) // as text that is read anew
	var s secretref.Secret
	require.Zero(t, testing.AllocsPerRun(100, func() { s, err = r.Resolve(ctx, value) }))
	require.NoError(t, err)
	require.Equal(t, "hunter2", s.Reveal())
	s = secretref.Secret{}
	require.Zero(t, testing.AllocsPerRun(100, func() { s = h.Value() }))
	require.Equal(t, "hunter2", s.Reveal())
	require.Equal(t, 1, fake.Calls())
}

func BenchmarkWarmResolve(b *testing.B) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "hunter2")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	_, err := r.Resolve(b.Context(), awsRef)
	require.NoError(b, err)
	b.Run("one core", func(b *testing.B) {
		ctx, value := b.Context(), strings.Clone(awsRef) // as text that is read anew
		b.ReportAllocs()
		for b.Loop() {
			_, _ = r.Resolve(ctx, value)
		}
	})
	b.Run("all cores", func(b *testing.B) {
		ctx, value := b.Context(), strings.Clone(awsRef)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, _ = r.Resolve(ctx, value)
			}
		})
	})
}

// manyRefs returns references to secrets of their own, which fake has.
func manyRefs(fake *secretref.Fake, n int) []string {
	refs := make([]string, n)
	for i := range refs {
		refs[i] = secretref.AWSReference{Region: "eu-west-1", SecretID: fmt.Sprint("db-", i)}.String()
		fake.Set(refs[i], "hunter2")
	}
	return refs
}

func TestResolveAllWarm(t *testing.T) {
	t.Run("allocates as much for a thousand as for ten", func(t *testing.T) {
		for _, n := range []int{10, 1000} {
			fake := secretref.NewFake()
			refs := manyRefs(fake, n)
			r := secretref.New(&secretref.Options{Fake: fake, AWS: secretref.AWSOptions{Batch: true}})
			_, err := r.ResolveAll(t.Context(), refs...)
			require.NoError(t, err)
			var got []secretref.Secret
			ctx := t.Context()
			require.LessOrEqual(t, testing.AllocsPerRun(10, func() { got, err = r.ResolveAll(ctx, refs...) }), 2.0)
			require.NoError(t, err)
			require.Equal(t, "hunter2", got[n-1].Reveal())
			require.Equal(t, n, fake.Calls())
			require.NoError(t, r.Close())
		}
	})
	t.Run("values of one secret are of one version", func(t *testing.T) {
		fake := secretref.NewFake()
		const both = `{"region":"eu-west-1","secretId":"db"}`
		user := strings.Replace(awsRef, "/password", "/username", 1)
		fake.Set(both, `{"username":"0","password":"0"}`)
		r := secretref.New(&secretref.Options{Fake: fake})
		defer r.Close()
		h, err := r.Watch(t.Context(), user)
		require.NoError(t, err)
		done := make(chan struct{})
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
					}
					got, err := r.ResolveAll(t.Context(), user, awsRef)
					assert.NoError(t, err)
					assert.Equal(t, got[0].Reveal(), got[1].Reveal())
					if i%3 == 0 {
						_, err = r.Resolve(t.Context(), awsRef)
						assert.NoError(t, err)
					}
				}
			})
		}
		for n := range 300 {
			fake.Set(both, fmt.Sprintf(`{"username":"%d","password":"%[1]d"}`, n))
			_, err := h.Refresh(t.Context())
			require.NoError(t, err)
		}
		close(done)
		callers.Wait()
	})
	t.Run("an old version is not handed out", func(t *testing.T) {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			ask := func(a, b string) {
				got, err := r.ResolveAll(t.Context(), remoteA, remoteB, "plain")
				require.NoError(t, err)
				require.Equal(t, []string{a, b, "plain"}, reveal(got))
				got, err = r.ResolveAll(t.Context(), remoteA, remoteB)
				require.NoError(t, err)
				require.Equal(t, []string{a, b}, reveal(got))
			}
			ask("a1", "b1")
			store.set(remoteA, "a2")
			store.set(remoteB, "b2")
			ask("a1", "b1")
			time.Sleep(6 * time.Minute)
			ask("a2", "b2")
			h, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			store.set(remoteA, "a3")
			_, err = h.Refresh(t.Context())
			require.NoError(t, err)
			ask("a3", "b2")
			require.NoError(t, r.Close())
			_, err = r.ResolveAll(t.Context(), remoteA, remoteB)
			require.ErrorIs(t, err, secretref.ErrClosed)
		})
	})
}

func BenchmarkWarmResolveAll(b *testing.B) {
	fake := secretref.NewFake()
	refs := manyRefs(fake, 1000)
	r := secretref.New(&secretref.Options{Fake: fake, AWS: secretref.AWSOptions{Batch: true}})
	defer r.Close()
	_, err := r.ResolveAll(b.Context(), refs...)
	require.NoError(b, err)
	run := func(values []string) func(*testing.B) {
		return func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				_, _ = r.ResolveAll(ctx, values...)
			}
		}
	}
	b.Run("all known", run(refs))
	b.Run("and a plaintext", run(append(refs[:999:999], "plain")))
}

func BenchmarkHandleValue(b *testing.B) {
	fake := secretref.NewFake()
	fake.Set(awsRef, "hunter2")
	r := secretref.New(&secretref.Options{Fake: fake})
	defer r.Close()
	h, err := r.Watch(b.Context(), awsRef)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Value()
	}
}

func TestNothingThatKeepsSecretsShowsThem(t *testing.T) {
	fake := secretref.NewFake()
	fake.Set(`{"region":"eu-west-1","secretId":"db"}`, `{"password":"`+canary+`"}`)
	store := &remote{texts: map[string]string{remoteA: canary}}
	for _, opts := range []*secretref.Options{
		{Fake: fake}, {Providers: []secretref.Provider{{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: store.fetch}}},
	} {
		value := awsRef
		if opts.Fake == nil {
			value = remoteA
		}
		r := secretref.New(opts)
		require.Equal(t, canary, resolved(t, r, value))
		requireSilent(t, r)
		h, err := r.WatchAll(t.Context(), value)
		require.NoError(t, err)
		require.NoError(t, r.Close()) // what runs in the background is not to be looked at by reflection
		requireSilent(t, h)
		requireSilent(t, secretref.Connector(h, (&database{}).connectAll, nil))
	}
}

func (d *database) connectAll(ctx context.Context, s []secretref.Secret) (driver.Conn, error) {
	return d.connect(ctx, s[0])
}

func TestStatusGoesOnSayingWhyAValueIsOld(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		h, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		other, err := r.Watch(t.Context(), remoteB)
		require.NoError(t, err)
		store.fails(secretref.ErrDenied)
		_, err = h.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrDenied)
		store.fails(nil)
		store.set(remoteB, "b2")
		for range 30 { // others change meanwhile, and of this one nothing is in memory
			store.set(remoteB, store.texts[remoteB]+"+")
			_, err = other.Refresh(t.Context())
			require.NoError(t, err)
			_, err = h.Status()
			if err == nil { // renewed, when the pause was over
				break
			}
			require.ErrorIs(t, err, secretref.ErrDenied)
			time.Sleep(time.Millisecond)
		}
	})
}

func TestAHandleHearsOfAChangeWhileItIsMade(t *testing.T) {
	inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		var all sync.WaitGroup
		for range 20 {
			first, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			var second *secretref.Live[[]secretref.Secret]
			all.Go(func() { second, _ = r.WatchAll(t.Context(), remoteA, `{"storeId":"slow"}`) })
			all.Go(func() {
				store.set(remoteA, first.Value().Reveal()+"+")
				_, err := first.Refresh(t.Context())
				assert.NoError(t, err)
			})
			all.Wait()
			synctest.Wait()
			require.Equal(t, first.Value().Reveal(), second.Value()[0].Reveal())
		}
	})
}

func TestAShortTTLIsNoStorm(t *testing.T) {
	inBubble(t, secretref.Options{TTL: 5}, func(t *testing.T, r *secretref.Resolver, store *remote) {
		_, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.LessOrEqual(t, store.called(), 110)
		store.fails(secretref.ErrDenied)
		time.Sleep(10 * time.Second)
		require.LessOrEqual(t, store.called(), 220)
	})
}

func TestAStoreThatHangsDoesNotHoldTheOthersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, deaf := &remote{texts: map[string]string{remoteA: "a1"}}, make(chan struct{})
		var hangs atomic.Bool
		r := secretref.New(&secretref.Options{Providers: []secretref.Provider{
			{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: good.fetch},
			{ClassName: "com.example.Deaf", Fields: []string{"deafId"}, Fetch: func(context.Context, []byte) ([]byte, error) {
				if hangs.Load() {
					<-deaf // and does not heed its context
				}
				return []byte("x"), nil
			}},
		}})
		defer r.Close()
		defer close(deaf)
		h, err := r.Watch(t.Context(), remoteA)
		require.NoError(t, err)
		_, err = r.Watch(t.Context(), `{"deafId":"1"}`)
		require.NoError(t, err)
		hangs.Store(true)
		for i := range 10 {
			good.set(remoteA, fmt.Sprint("a", i))
			time.Sleep(6 * time.Minute)
			require.Equal(t, fmt.Sprint("a", i), h.Value().Reveal())
		}
	})
}

func TestWhoOnlyLooksOnCostsNoSecret(t *testing.T) {
	var log bytes.Buffer
	inBubble(t, secretref.Options{OnFetch: func(secretref.FetchEvent) { panic(canary) }, Logger: slog.New(slog.NewTextHandler(&log, nil))},
		func(t *testing.T, r *secretref.Resolver, store *remote) {
			require.Equal(t, "a1", resolved(t, r, remoteA))
			require.Equal(t, "a1", resolved(t, r, remoteA))
			require.Equal(t, 1, store.called())
		})
	require.Contains(t, log.String(), "OnFetch panicked")
	require.NotContains(t, log.String(), canary)
}

func TestAStoreThatPanicsIsCovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		r := secretref.New(&secretref.Options{Providers: store(func(context.Context, []byte) ([]byte, error) {
			if broken.Load() {
				panic(canary)
			}
			return []byte("x"), nil
		})})
		defer r.Close()
		require.Equal(t, "x", resolved(t, r, remoteA))
		broken.Store(true)
		time.Sleep(5 * time.Minute)
		require.Equal(t, "x", resolved(t, r, remoteA))
	})
}

func TestCloseFromManyGoroutinesWhileAllIsInUse(t *testing.T) {
	for range 20 {
		inBubble(t, secretref.Options{}, func(t *testing.T, r *secretref.Resolver, store *remote) {
			h, err := r.Watch(t.Context(), remoteA)
			require.NoError(t, err)
			db := &database{}
			db.accepts("a2")
			c := secretref.Connector(h, db.connect, nil)
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() { _, _ = h.Refresh(t.Context()) })
				all.Go(func() { _, _ = r.Resolve(t.Context(), remoteB) })
				all.Go(func() { _, _ = c.Connect(t.Context()) })
				all.Go(func() {
					for range h.Updates(t.Context()) {
					}
				})
			}
			time.Sleep(15 * time.Millisecond)
			for range 10 {
				all.Go(func() { assert.NoError(t, r.Close()) })
			}
			all.Wait()
			require.Equal(t, "a1", h.Value().Reveal())
		})
	}
}

func TestLastKnownSecretsOfOneNamespaceAreNotAnothers(t *testing.T) {
	k := makeKeyring(t)
	s := vaultFake(t)
	s.Put("secret", "db", map[string]any{"k": "of team a"})
	start := func(namespace string) *secretref.Resolver {
		return secretref.New(&secretref.Options{LastKnown: k, Timeout: time.Second, Vault: secretref.VaultOptions{Namespace: namespace,
			Token: func(context.Context) (string, error) { return s.RootToken(), nil }}})
	}
	value := vaultValue(s.URL(), "db", "k")
	r := start("team-a")
	require.Equal(t, "of team a", resolved(t, r, value))
	require.NoError(t, r.Close())

	s.Fail(100, http.StatusServiceUnavailable, nil)
	r = start("team-a")
	require.Equal(t, "of team a", resolved(t, r, value))
	require.NoError(t, r.Close())
	r = start("team-b")
	defer r.Close()
	_, err := r.Resolve(t.Context(), value)
	require.ErrorIs(t, err, secretref.ErrUnavailable)
}

func TestLastKnown(t *testing.T) {
	t.Run("coordinates are told apart by their bytes", func(t *testing.T) {
		k := makeKeyring(t)
		store := &remote{texts: map[string]string{"db-\xff": "first"}}
		start := func() *secretref.Resolver {
			return secretref.New(&secretref.Options{LastKnown: k, Timeout: time.Second,
				Providers: []secretref.Provider{{ClassName: "com.example.Store", Fetch: store.fetch}}})
		}
		ask := func(r *secretref.Resolver, coordinates string) (string, error) {
			s, err := r.ResolveReference(t.Context(), secretref.CustomReference{Class: "com.example.Store", Coordinates: coordinates})
			return s.Reveal(), err
		}
		r := start()
		got, err := ask(r, "db-\xff")
		require.NoError(t, err)
		require.Equal(t, "first", got)
		require.NoError(t, r.Close())

		store.fails(fault.New(fault.Unavailable, "down").Permanently())
		r = start()
		defer r.Close()
		got, err = ask(r, "db-\xff")
		require.NoError(t, err)
		require.Equal(t, "first", got)
		_, err = ask(r, "db-\xfe")
		require.ErrorIs(t, err, secretref.ErrUnavailable, "it was never fetched")
	})
	t.Run("a refusal of AllowEndpoint deletes nothing", func(t *testing.T) {
		k := makeKeyring(t)
		s := vaultFake(t)
		s.Put("secret", "db", map[string]any{"k": "good"})
		var refuses atomic.Bool
		start := func() *secretref.Resolver {
			return secretref.New(&secretref.Options{LastKnown: k, Timeout: time.Second,
				Vault: secretref.VaultOptions{Token: func(context.Context) (string, error) { return s.RootToken(), nil }},
				AllowEndpoint: func(*url.URL) error {
					if refuses.Load() {
						return secretref.ErrUnavailable // what the policy itself depends on is down
					}
					return nil
				}})
		}
		value := vaultValue(s.URL(), "db", "k")
		r := start()
		h, err := r.Watch(t.Context(), value)
		require.NoError(t, err)
		refuses.Store(true)
		_, err = h.Refresh(t.Context())
		require.ErrorIs(t, err, secretref.ErrDenied)
		require.NoError(t, r.Close())

		r = start()
		_, err = r.Resolve(t.Context(), value)
		require.ErrorIs(t, err, secretref.ErrDenied, "it is not handed out either")
		require.NoError(t, r.Close())

		refuses.Store(false)
		s.Fail(100, http.StatusServiceUnavailable, nil)
		r = start()
		defer r.Close()
		require.Equal(t, "good", resolved(t, r, value))
	})
	t.Run("what another Resolver refuses deletes nothing", func(t *testing.T) {
		k := makeKeyring(t)
		store := &remote{texts: map[string]string{remoteA: "good"}}
		start := func() *secretref.Resolver {
			return secretref.New(&secretref.Options{LastKnown: k, Timeout: time.Second,
				Providers: []secretref.Provider{{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: store.fetch}}})
		}
		refusing := secretref.New(&secretref.Options{AllowEndpoint: func(*url.URL) error { return errors.New("no") }})
		defer refusing.Close()
		_, inner := refusing.Resolve(t.Context(), vaultValue("https://vault.example.com", "db", "k"))
		require.ErrorIs(t, inner, secretref.ErrDenied)
		r := start()
		require.Equal(t, "good", resolved(t, r, remoteA))
		require.NoError(t, r.Close())
		for _, err := range []error{inner, fmt.Errorf("inner: %w", inner), secretref.ErrUnauthenticated, errors.New("odd")} {
			store.fails(err)
			r = start()
			_, err := r.Resolve(t.Context(), remoteA)
			require.Error(t, err)
			require.NoError(t, r.Close())
		}
		store.fails(fault.New(fault.Unavailable, "down").Permanently())
		r = start()
		defer r.Close()
		require.Equal(t, "good", resolved(t, r, remoteA))
	})
}
