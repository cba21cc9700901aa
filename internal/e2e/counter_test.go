package e2e

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A counter is a proxy in front of a server, which sees what it is asked.
type counter struct {
	url    string
	answer func(*http.Response) error // what is done to the answers; nil: nothing

	mu    sync.Mutex
	calls []string
	token string
}

func countCalls(t *testing.T, s *server) *counter {
	t.Helper()
	target, err := url.Parse(s.URL)
	require.NoError(t, err)
	c := &counter{}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(resp *http.Response) error {
			if c.answer == nil {
				return nil
			}
			return c.answer(resp)
		},
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.calls = append(c.calls, r.Method+" "+r.URL.Path)
		c.token = cmp.Or(r.Header.Get("X-Vault-Token"), c.token)
		c.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	c.url = web.URL
	return c
}

// take returns the calls since it was last called.
func (c *counter) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := slices.Clone(c.calls)
	c.calls = nil
	return calls
}

// lastToken returns the token that was shown last.
func (c *counter) lastToken() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}
