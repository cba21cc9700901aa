package e2e

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A counter is a proxy in front of a server that records the requests.
type counter struct {
	url    string
	answer func(*http.Response) error // if not nil, modifies the answers

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

// take returns the calls since the last take, and forgets them.
func (c *counter) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := slices.Clone(c.calls)
	c.calls = nil
	return calls
}

// count returns the number of calls since the last take to paths with this suffix.
func (c *counter) count(suffix string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, call := range c.calls {
		if strings.HasSuffix(call, suffix) {
			n++
		}
	}
	return n
}

// takeCount is count, and forgets the calls.
func (c *counter) takeCount(suffix string) int {
	defer c.take()
	return c.count(suffix)
}

// forbidden counts the answers with status 403 from now on.
func (c *counter) forbidden() *atomic.Int32 {
	var n atomic.Int32
	c.answer = func(resp *http.Response) error {
		if resp.StatusCode == http.StatusForbidden {
			n.Add(1)
		}
		return nil
	}
	return &n
}

// lastToken returns the token of the most recent request that had one.
func (c *counter) lastToken() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}
