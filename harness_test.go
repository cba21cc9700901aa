package secretref_test

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref"
)

// TestMain makes the default logger discard its records, because most tests use it and
// provoke warnings. TestLogger tests the default.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	log.SetOutput(os.Stderr) // which SetDefault redirects
	os.Exit(m.Run())
}

const canary = "c4nary-hunter2"

const (
	awsRef   = `{ENC}{"region":"eu-west-1","secretId":"db","secretPointer":"/password"}`
	vaultRef = `{ENC}{"mount":"secret","path":"db","key":"password",` +
		`"endpoint":"https://vault.example.com"}`
)

func reveal(secrets []secretref.Secret) []string {
	texts := make([]string, len(secrets))
	for i, s := range secrets {
		texts[i] = s.Reveal()
	}
	return texts
}

// storeProviders returns one Provider with the given Fetch.
func storeProviders(fetch func(context.Context, []byte) ([]byte, error)) []secretref.Provider {
	return []secretref.Provider{
		{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: fetch},
	}
}

// writeFile writes a file with the given name in a new directory.
func writeFile(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func revealMap(secrets map[string]secretref.Secret) map[string]string {
	texts := map[string]string{}
	for key, s := range secrets {
		texts[key] = s.Reveal()
	}
	return texts
}

// unresolved returns a Secret that was unmarshaled and not resolved.
func unresolved(t *testing.T, text string) (s secretref.Secret) {
	t.Helper()
	require.NoError(t, s.UnmarshalText([]byte(text)))
	return s
}

// remote is the store of a Provider. Its secrets can change, and it can fail.
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

// inBubble runs test in a synctest bubble, with a Resolver over a remote with a and b.
func inBubble(t *testing.T, opts secretref.Options,
	test func(*testing.T, *secretref.Resolver, *remote)) {
	synctest.Test(t, func(t *testing.T) {
		store := &remote{texts: map[string]string{remoteA: "a1", remoteB: "b1"},
			takes: 10 * time.Millisecond}
		opts.Providers = []secretref.Provider{
			{ClassName: "com.example.Store", Fields: []string{"storeId"}, Fetch: store.fetch},
		}
		r := secretref.New(&opts)
		defer r.Close()
		test(t, r, store)
	})
}

func resolveText(t *testing.T, r *secretref.Resolver, value string) string {
	t.Helper()
	s, err := r.Resolve(t.Context(), value)
	require.NoError(t, err)
	return s.Reveal()
}

func newKeyring(t testing.TB) *secretref.Keyring {
	t.Helper()
	k, err := secretref.OpenKeyring(t.Context(), secretref.FileStore(filepath.Join(t.TempDir(),
		"keys.db")), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// logText is a buffer that a test can read while other goroutines write to it.
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
