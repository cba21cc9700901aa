package httpguard_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/endpoint"
)

// redirecting answers its first request with a redirect, and dials for the next one as
// net/http does.
type redirecting struct {
	location string
	next     http.RoundTripper
	requests int
}

func (r *redirecting) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.requests++; r.requests > 1 || r.location == "" {
		return r.next.RoundTrip(req)
	}
	resp := answer(http.StatusTemporaryRedirect, r.location, "")
	resp.Request = req
	return resp, nil
}

var errDialled = errors.New("dialed")

// FuzzEndpoint: net/http dials the host and the port that AllowEndpoint was
// checked, letter for letter, for the endpoint of a reference and for the
// target of a redirect; without AllowEndpoint it dials those of the endpoint.
func FuzzEndpoint(f *testing.F) {
	for _, seed := range [][2]string{
		{"https://vip.example", "https://v\u0130p.example/x"}, {"http://①②⑦.0.0.1", ""},
		{"http://127。0。0。1:8200", ""}, {"http://local\u00adhost", ""},
		{"https://V.Example.", "//v.example./x"}, {"http://0x7f.1", "http://2130706433/"},
		{"http://[::ffff:127.0.0.1]", "http://127.0.0.1/x"},
		{"http://[fe80::1%25eth0]", "/x"},
		{"https://v.example:443/team-a", "https://v.example/team-evil/x"},
		{"https://u:p@v", "https://v@w/"},
		{"https://v.example", `\\w.example/x`}, {"https://v.example", "https:\\\\w.example"},
		{"https://v", "//w"}, {"https://v", "///w"}, {"https://v", "/%2e%2e//w"},
		{"https://kv.example", "https://\u212av.example"},
		{"https://xn--a.example", "https://XN--a.example"}, {"http://v:80", "https://v:80"},
		{"https://v.example", "https://v.example:0443/"}, {"https://v.example", "https://v.example:/"},
		{"https://v.example", "http://v.example%2eevil/"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, location string) {
		at, err := endpoint.Parse(text)
		if err != nil {
			return
		}
		for _, asks := range []bool{true, false} {
			var asked []string
			policy := &httpguard.Policy{Log: slog.New(slog.DiscardHandler)}
			if asks {
				policy.Allow = func(u *url.URL) error {
					asked = append(asked, hostPort(u))
					return nil
				}
			}
			if policy.Check(at) != nil {
				t.Fatal("an endpoint of Parse was refused")
			}
			var dialed []string
			dial := func(_ context.Context, _, address string) (net.Conn, error) {
				dialed = append(dialed, address)
				return nil, errDialled
			}
			base := &redirecting{location: location,
				next: &http.Transport{DialContext: dial, DialTLSContext: dial}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at.String(), nil)
			if err != nil {
				return
			}
			resp, err := (&httpguard.Transport{Base: base, AllowRedirect: policy.RedirectCheck(),
				MaxBody: 100}).RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close() // a redirect to nowhere is an answer
				continue
			}
			if !errors.Is(err, errDialled) {
				require.Empty(t, dialed)
				continue
			}
			require.Len(t, dialed, 1)
			require.False(t,
				strings.ContainsFunc(dialed[0], func(r rune) bool { return r <= ' ' || r >= 0x7f }))
			if asks {
				require.Equal(t, asked[len(asked)-1], dialed[0])
				continue
			}
			name, port, err := net.SplitHostPort(dialed[0])
			require.NoError(t, err)
			require.Equal(t, at.Hostname(), name)
			require.True(t,
				dialed[0] == hostPort(at) || at.Port() == "" && slices.Contains([]string{"80", "443"}, port),
				"%s for %s", dialed[0], at)
		}
	})
}

// hostPort returns the address of a URL without translating its host.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
