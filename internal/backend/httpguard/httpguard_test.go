package httpguard_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
)

// script answers requests by their URL and records them.
type script struct {
	answers map[string]*http.Response
	asked   []string
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	line := req.Method + " " + req.URL.String() + " " + req.Header.Get("X-Vault-Token")
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		line += " " + string(body)
	}
	s.asked = append(s.asked, line)
	resp, ok := s.answers[req.URL.String()]
	if !ok {
		resp = answer(200, "", "secret")
	}
	resp.Request = req
	return resp, nil
}

func answer(status int, location, body string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	if location != "" {
		resp.Header.Set("Location", location)
	}
	return resp
}

// request is a login with a token.
func request(t *testing.T, to string) *http.Request {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, to, strings.NewReader("jwt"))
	require.NoError(t, err)
	req.Header.Set("X-Vault-Token", "tok")
	return req
}

func TestRedirect_host(t *testing.T) {
	errNo := errors.New("no")
	approve := func(u *url.URL) error {
		if u.Host == "ok.example" || u.Host == "v.example" {
			return nil
		}
		return errNo
	}
	for _, c := range []struct {
		from, to string
		approve  func(*url.URL) error
		reached  string // empty: refused
		words    string
	}{
		{"https://v.example/a", "/b", nil, "https://v.example/b", ""},
		{"https://v.example/a", "https://V.EXAMPLE/b", nil, "https://v.example/b", ""},
		{"https://v.example/a", "https://v.example:443/b", nil, "https://v.example:443/b", ""},
		{"http://v.example:80/a", "//v.example/b", nil, "http://v.example/b", ""},
		{"http://v.example/a", "https://v.example/b", nil, "https://v.example/b", ""},
		{"http://v.example:8200/a", "https://v.example:8200/b", nil, "https://v.example:8200/b", ""},
		{"http://[::1]:8200/a", "http://[::1]:8200/b", nil, "http://[::1]:8200/b", ""},
		{"https://v.example/a", "https://user:pw@v.example/b#f", nil, "https://v.example/b", ""},
		{"https://v.example/a", "https://v.example:8443/b", nil, "",
			"to another host, https://v.example:8443"},
		{"https://v.example/a", "https://w.example/b", nil, "",
			"refused a redirect from v.example to another host, https://w.example"},
		{"https://v.example/a", "//w.example/b", nil, "", "approve it with AllowEndpoint"},
		{"https://v.example/a", "https://v.example.evil/b", nil, "", "another host"},
		{"https://v.example/a", "https://v.example@evil.example/b", nil, "", "https://evil.example"},
		{"https://v.example/a", "https://ok.example/b?c=d", approve, "https://ok.example/b?c=d", ""},
		{"https://v.example/a", "https://w.example/b", approve, "",
			"refused a redirect from v.example: no"},
		{"https://v.example/a", "http://v.example/b", approve, "", "in clear text"},
		{"https://v.example/a", "http://ok.example/b", func(*url.URL) error { return nil }, "",
			"in clear text"},
		{"https://v.example/a", "ftp://v.example/b", nil, "", "not an http or https URL"},
		{"https://v.example/a", "file:///etc/passwd", approve, "", "not an http or https URL"},
		{"https://v.example/a", "https:///b", approve, "", "not an http or https URL"},
		{"https://v.example/a", "mailto:x", approve, "", "not an http or https URL"},
	} {
		for _, status := range []int{301, 302, 307, 308} {
			base := &script{answers: map[string]*http.Response{c.from: answer(status, c.to, "")}}
			guard := &httpguard.Transport{Base: base, AllowRedirect: c.approve, MaxBody: 100}
			resp, err := guard.RoundTrip(request(t, c.from))
			if c.reached == "" {
				require.ErrorIs(t, err, fault.Unavailable, c.to)
				require.NotErrorIs(t, err, fault.Denied, c.to)
				require.Contains(t, err.Error(), c.words)
				require.NotContains(t, err.Error(), "pw")
				require.Len(t, base.asked, 1)
				_, again := fault.Transient(err)
				require.False(t, again)
				continue
			}
			require.NoError(t, err, c.to)
			require.Equal(t, 200, resp.StatusCode)
			require.Equal(t, []string{"PUT " + c.from + " tok jwt", "PUT " + c.reached + " tok jwt"},
				base.asked)
		}
	}
}

func TestRedirect_limits(t *testing.T) {
	for name, c := range map[string]struct {
		resp  *http.Response
		words string
		calls int
	}{
		"a loop":    {answer(307, "/a", ""), "redirects more than 3 times", 4},
		"a control": {answer(307, "/\x7f", ""), "invalid URL", 1},
	} {
		base := &script{answers: map[string]*http.Response{"https://v.example/a": c.resp}}
		_, err := (&httpguard.Transport{Base: base, MaxBody: 100}).RoundTrip(request(t,
			"https://v.example/a"))
		require.ErrorIs(t, err, fault.Unavailable, name)
		require.Contains(t, err.Error(), c.words)
		require.Len(t, base.asked, c.calls)
		_, again := fault.Transient(err)
		require.False(t, again)
	}
	// These are responses that the caller must refuse.
	for _, resp := range []*http.Response{answer(303, "https://w.example/", ""), answer(300, "/b", ""),
		answer(304, "", ""), answer(307, "", "")} {
		base := &script{answers: map[string]*http.Response{"https://v.example/a": resp}}
		got, err := (&httpguard.Transport{Base: base, MaxBody: 100}).RoundTrip(request(t,
			"https://v.example/a"))
		require.NoError(t, err)
		require.Equal(t, resp.StatusCode, got.StatusCode)
		require.Len(t, base.asked, 1)
	}
	once := request(t, "https://v.example/a")
	once.GetBody = nil
	base := &script{answers: map[string]*http.Response{"https://v.example/a": answer(307, "/b", "")}}
	_, err := (&httpguard.Transport{Base: base, MaxBody: 100}).RoundTrip(once)
	require.ErrorContains(t, err, "cannot be sent twice")
}

func TestMaxBody(t *testing.T) {
	const most = 1 << 20
	for size, fits := range map[int]bool{0: true, most - 1: true, most: true, most + 1: false,
		5 * most: false} {
		for _, told := range []int64{int64(size), -1} {
			resp := answer(200, "", strings.Repeat("x", size))
			resp.ContentLength = told
			base := &script{answers: map[string]*http.Response{"https://v.example/a": resp}}
			got, err := (&httpguard.Transport{Base: base, MaxBody: most}).RoundTrip(request(t,
				"https://v.example/a"))
			if err == nil {
				var body []byte
				if body, err = io.ReadAll(got.Body); fits {
					require.Len(t, body, size)
				}
			}
			if fits {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, fault.Unavailable)
			require.Contains(t, err.Error(), "larger than 1 MiB")
		}
	}
}

func TestCheck(t *testing.T) {
	errBad := errors.New("bad")
	check := func(body []byte) error {
		if string(body) == "bad" {
			return errBad
		}
		return nil
	}
	for body, status := range map[string]int{"good": 200, "bad": 500} {
		base := &script{answers: map[string]*http.Response{"https://v.example/a": answer(status,
			"", body)}}
		resp, err := (&httpguard.Transport{Base: base, MaxBody: 100, Check: check}).RoundTrip(request(t,
			"https://v.example/a"))
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, body, string(got))
	}
	base := &script{answers: map[string]*http.Response{"https://v.example/a": answer(200, "", "bad")}}
	_, err := (&httpguard.Transport{Base: base, MaxBody: 100, Check: check}).RoundTrip(request(t,
		"https://v.example/a"))
	require.ErrorIs(t, err, errBad)
}

func TestProxy_clearText(t *testing.T) {
	// net/http reads these once in a process, and no earlier test uses them.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, "http://proxy.example:3128")
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	proxy, err := httpguard.Proxy(request(t, "http://vault.example:8200/v1/x"))
	require.NoError(t, err)
	require.Nil(t, proxy)
	proxy, err = httpguard.Proxy(request(t, "https://vault.example:8200/v1/x"))
	require.NoError(t, err)
	require.Equal(t, "http://proxy.example:3128", proxy.String())
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "localhost.": true, "vault.localhost": false,
		"127.0.0.1": true, "127.0.0.1.": false, "127.1": false, "localho\u017ft": false,
		"local\u00adhost": false, "::1%evil": false, "127.255.0.1": true, "::1": true,
		"::ffff:127.0.0.1": true, "localhost.example": false, "notlocalhost": false, "128.0.0.1": false,
		"0.0.0.0": false, "::": false,
		"127.0.0.1.example": false, "10.0.0.1": false, "": false, "::2": false,
	} {
		require.Equal(t, want, httpguard.Loopback(host), host)
	}
}

func TestPolicy_clearTextWarning(t *testing.T) {
	var log bytes.Buffer
	policy := &httpguard.Policy{Log: slog.New(slog.NewTextHandler(&log, nil))}
	check := func(endpoint string) string {
		log.Reset()
		u, err := url.Parse(endpoint)
		require.NoError(t, err)
		require.NoError(t, policy.Check(u))
		return log.String()
	}
	require.Contains(t, check("http://vault.example:8200/base"), "level=WARN")
	for _, quiet := range []string{"http://vault.example:8200/other", "https://w.example",
		"http://127.0.0.1:8200", "http://[::1]:8200", "http://localhost"} {
		require.Empty(t, check(quiet), quiet)
	}
	require.Contains(t, check("http://w.example"), "http://w.example")
}

func TestPolicy_allow(t *testing.T) {
	require.Nil(t, (&httpguard.Policy{}).RedirectCheck(), "without AllowEndpoint no other host is approved")
	errNo := errors.New("no")
	var asked string
	var log bytes.Buffer
	policy := &httpguard.Policy{Log: slog.New(slog.NewTextHandler(&log, nil)),
		Allow: func(u *url.URL) error {
			asked = u.String()
			u.Host = "mutated.example"
			if u.Scheme == "https" {
				return errNo
			}
			return nil
		}}
	u, err := url.Parse("https://user:pw@vault.example/a%2Fb?q#f")
	require.NoError(t, err)
	for _, check := range []func(*url.URL) error{policy.Check, policy.RedirectCheck()} {
		err = check(u)
		require.ErrorIs(t, err, fault.Denied)
		require.ErrorIs(t, err, errNo)
		require.ErrorContains(t, err, "AllowEndpoint refused https://vault.example/a%2Fb: no")
		require.Equal(t, "https://vault.example/a%2Fb", asked)
		require.Equal(t, "vault.example", u.Host)
	}
	u.Scheme = "http"
	require.NoError(t, policy.RedirectCheck()(u))
	require.Contains(t, log.String(), "clear text", "a redirect in clear text is warned about too")
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "1.5": 0, "soon": 0,
		"99999999999999999999": (1<<31 - 1) * time.Second,
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat): 0,
	} {
		require.Equal(t, want, httpguard.RetryAfter(http.Header{"Retry-After": {value}}), value)
	}
	got := httpguard.RetryAfter(http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}})
	require.InDelta(t, time.Hour, got, float64(5*time.Second))
	require.Zero(t, httpguard.RetryAfter(nil), "no header")
}
