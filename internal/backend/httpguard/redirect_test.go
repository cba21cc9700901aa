package httpguard_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/fault"
)

// follow sends a login to from, which answers with a redirect, and returns all requests.
func follow(t *testing.T, from, location string, approve func(*url.URL) error) ([]string, error) {
	t.Helper()
	base := &script{answers: map[string]*http.Response{from: answer(307, location, "")}}
	resp, err := (&httpguard.Transport{Base: base, AllowRedirect: approve,
		MaxBody: 100}).RoundTrip(request(t, from))
	if err == nil {
		_ = resp.Body.Close()
	}
	return base.asked, err
}

// A non-ASCII letter may be equal to a letter of the host under Unicode case folding, but
// lead to another domain.
func TestRedirect_hostSpelling(t *testing.T) {
	anywhere := func(*url.URL) error { return nil }
	for name, c := range map[string]struct{ from, location string }{
		"dotted capital I":     {"https://vip.example/a", "https://v\u0130p.example/b"},
		"Kelvin sign":          {"https://kv.example/a", "https://\u212av.example/b"},
		"long s":               {"https://secrets.example/a", "https://\u017fecrets.example/b"},
		"full width":           {"https://v.example/a", "https://\uff56.example/b"},
		"circled digits":       {"http://127.0.0.1/a", "http://\u2460\u2461\u2466.0.0.1/b"},
		"ideographic stop":     {"http://127.0.0.1/a", "http://127\u30020\u30020\u30021/b"},
		"soft hyphen":          {"https://v.example/a", "https://v\u00ad.example/b"},
		"zero width joiner":    {"https://v.example/a", "https://v\u200d.example/b"},
		"percent-encoded":      {"https://vip.example/a", "https://v%C4%B0p.example/b"},
		"not UTF-8":            {"https://v.example/a", "https://v\xff.example/b"},
		"octal":                {"http://127.0.0.1/a", "http://0177.0.0.1/b"},
		"hexadecimal":          {"http://127.0.0.1/a", "http://0x7f.1/b"},
		"one number":           {"http://127.0.0.1/a", "http://2130706433/b"},
		"two numbers":          {"http://127.0.0.1/a", "http://127.1/b"},
		"address with a dot":   {"http://127.0.0.1/a", "http://127.0.0.1./b"},
		"zone":                 {"http://[fe80::1]/a", "http://[fe80::1%25lo]/b"},
		"port 0":               {"https://v.example/a", "https://v.example:0/b"},
		"port that overflows":  {"https://v.example/a", "https://v.example:65979/b"},
		"port with zeros":      {"https://v.example/a", "https://v.example:0443/b"},
		"port that is missing": {"https://v.example/a", "https://v.example:/b"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, approve := range []func(*url.URL) error{nil, anywhere} {
				asked, err := follow(t, c.from, c.location, approve)
				require.ErrorIs(t, err, fault.Unavailable)
				require.Len(t, asked, 1)
				_, again := fault.Transient(err)
				require.False(t, again)
			}
		})
	}
}

func TestRedirect_path(t *testing.T) {
	var asked []string
	team := func(u *url.URL) error {
		asked = append(asked, u.String())
		if u.Host == "v.example" && (u.Path == "/team-a" || len(u.Path) > 7 && u.Path[:8] == "/team-a/") {
			return nil
		}
		return errors.New("of another team")
	}
	const from = "https://v.example/team-a/v1/x"
	for _, location := range []string{"/team-a/v1/y", "https://V.example/team-a/v1/y?list=true#f",
		"//v.example/team-a/v1/y", "y", "./y"} {
		asked = nil
		made, err := follow(t, from, location, team)
		require.NoError(t, err, location)
		require.Len(t, made, 2)
		require.Equal(t, []string{"https://v.example/team-a/v1/y"}, asked, location)
	}
	for _, location := range []string{"/team-evil/x", "https://v.example/team-evil/x",
		"../../team-evil/x", "/team-a/../team-evil/x", "https://v.example/", "/team-a-evil"} {
		made, err := follow(t, from, location, team)
		require.ErrorIs(t, err, fault.Unavailable, location)
		require.ErrorContains(t, err, "of another team")
		require.Len(t, made, 1)
	}
	for _, location := range []string{
		"/team-a/%2e%2e/team-evil/x", "/team-a/.%2E/team-evil/x", "/team-a//team-evil",
		"//v.example//team-a/x", "/team-a%2F..%2Fteam-evil/x", "/team-a%2fx",
		`/team-a\..\team-evil`, "/team-a/%5c../x", "/team-a/%2e/x", "/team-a/..;/team-evil",
	} {
		for _, approve := range []func(*url.URL) error{nil, func(*url.URL) error { return nil }} {
			made, err := follow(t, from, location, approve)
			require.ErrorIs(t, err, fault.Unavailable, location)
			require.Len(t, made, 1, location)
		}
	}
}

// The path is asked about at other hosts, too.
func TestRedirect_allowReceivesPath(t *testing.T) {
	var asked []string
	_, err := follow(t, "https://v.example/v1/x", "https://standby.example:8200/v1/x?a=b",
		func(u *url.URL) error {
			asked = append(asked, u.String())
			return nil
		})
	require.NoError(t, err)
	require.Equal(t, []string{"https://standby.example:8200/v1/x"}, asked)
}

func TestRedirect_scheme(t *testing.T) {
	for _, location := range []string{
		"unix:///run/vault.sock", "http+unix://%2Frun%2Fvault.sock/v1", `https:\\evil.example/b`,
		"https:evil.example", "javascript:x", "https://v.example\x00/", "https://v.example/\r\nX: y",
		`https://evil.example\@v.example/b`, "https://v.example:8200:443/b", "https://[v.example]/b",
		"https://v.example /b",
	} {
		made, err := follow(t, "https://v.example/a", location, func(*url.URL) error { return nil })
		require.ErrorIs(t, err, fault.Unavailable, location)
		require.Len(t, made, 1, location)
	}
}
