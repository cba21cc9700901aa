package endpoint

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"https://vault.example.com":                "https://vault.example.com",
		"https://vault.example.com/":               "https://vault.example.com/",
		"http://vault:8200":                        "http://vault:8200",
		"HTTPS://Vault.Example.COM:8200/Team-A":    "https://vault.example.com:8200/Team-A",
		"https://vault.example.com./base":          "https://vault.example.com./base",
		"http://vault_1.team_net:8200":             "http://vault_1.team_net:8200",
		"https://xn--bcher-kva.example":            "https://xn--bcher-kva.example",
		"http://127.0.0.1:8200":                    "http://127.0.0.1:8200",
		"http://[::1]:8200":                        "http://[::1]:8200",
		"http://[0:0:0:0:0:0:0:1]":                 "http://[::1]",
		"http://[2001:DB8::A]:443":                 "http://[2001:db8::a]:443",
		"http://[::ffff:127.0.0.1]:8200":           "http://127.0.0.1:8200",
		"https://v.example/a%2Fb":                  "https://v.example/a%2Fb",
		"https://3com.example":                     "https://3com.example",
		"https://vault.0xacme":                     "https://vault.0xacme",
		"https://127.0.0.1.example.com:65535/x%20": "https://127.0.0.1.example.com:65535/x%20",
	} {
		u, err := Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, u.String())
		require.NoError(t, Check(text))
	}
	for text, words := range map[string]string{
		"":                               "is not an http:// or https:// URL",
		"vault":                          "is not an http:// or https:// URL",
		"unix:///run/vault":              "is not an http:// or https:// URL",
		"https://":                       "names no host",
		"https:///x":                     "names no host",
		"https:vault":                    "names no host",
		"https://:8200":                  "names no host",
		"https://u:p@v":                  "user info",
		"https://@v":                     "user info",
		"https://p/w@v":                  "user info",
		"https://v?":                     "query",
		"https://v?x=1":                  "query",
		"https://v#":                     "fragment",
		"https://v/a b":                  "space",
		`https://v\a`:                    "not a URL",
		`https://v/\a`:                   "backslash",
		"https://v/%5Ca":                 "backslash",
		"https://v/a/../b":               "segment",
		"https://v/%2e%2e/b":             "segment",
		"https://v/..;/b":                "segment",
		"https://v//":                    "segment",
		"https://v\x00":                  "not a URL",
		"https://v\n":                    "not a URL",
		"https://v.example:":             "port",
		"https://v.example:0":            "port",
		"https://v.example:99999":        "port",
		"https://v.example:0443":         "port",
		"https://v.example:+443":         "not a URL",
		"https://[::1]x":                 "not a URL",
		"https://[::1]:":                 "port",
		"https://[fe80::1%25eth0]":       "zone",
		"https://[127.0.0.1]":            "not a URL",
		"https://[v]":                    "not a URL",
		"https://::1":                    "not a URL",
		"https://a:1:2":                  "not a URL",
		"https://a..b":                   "neither a name nor an IP address",
		"https://.a":                     "neither a name nor an IP address",
		"https://.":                      "neither a name nor an IP address",
		"https://a*b":                    "neither a name nor an IP address",
		"https://a,b":                    "neither a name nor an IP address",
		"https://v%41":                   "not a URL",
		"http://0x7f.1":                  "four decimal numbers",
		"http://0x7f000001":              "four decimal numbers",
		"http://0x":                      "four decimal numbers",
		"http://2130706433":              "four decimal numbers",
		"http://127.1":                   "four decimal numbers",
		"http://0177.0.0.1":              "four decimal numbers",
		"http://127.0.0.01":              "four decimal numbers",
		"http://127.0.0.1.":              "four decimal numbers",
		"http://127.0.0.256":             "four decimal numbers",
		"http://1.2.3.4.5":               "four decimal numbers",
		"http://①②⑦.0.0.1":               `did you mean "127.0.0.1"?`,
		"http://127。0。0。1":               `did you mean "127.0.0.1"?`,
		"http://local\u00adhost":         `did you mean "localhost"?`,
		"http://ｌｏｃａｌｈｏｓｔ":               `did you mean "localhost"?`,
		"https://local\u200bhost":        `did you mean "localhost"?`,
		"https://v\u200d.example":        "not ASCII",
		"https://bücher.example":         `did you mean "xn--bcher-kva.example"?`,
		"https://b%C3%BCcher.example":    `did you mean "xn--bcher-kva.example"?`,
		"https://v\u0130p.example":       `did you mean "xn--vi`,
		"https://\u212av.example":        `did you mean "kv.example"?`,
		"https://v\xff.example":          "not ASCII",
		"https://evil.example\uff0fv":    "not ASCII",
		"https://evil.example\uff20v":    "not ASCII",
		"https://v.example\uff1a8200":    "not ASCII",
		"http://\u2460\u2461\u2466.1":    "not ASCII",
		"http://\uff10\uff58\uff17f.1":   "not ASCII",
		"https://v.example:8200\u0661":   "not a URL",
		"https://\U000e0041v.example":    "not ASCII",
		"https://\u202eelpmaxe.v":        "not ASCII",
		"https://xn--bcher-kva.ex\u00e4": "did you mean",
	} {
		u, err := Parse(text)
		require.ErrorContains(t, err, words, text)
		require.Nil(t, u)
		require.ErrorContains(t, Check(text), words, text)
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"https://v.example", "https://v.example:443", true},
		{"http://v.example:80", "http://v.example", true},
		{"http://v.example", "https://v.example", true},
		{"http://v.example:8200", "https://v.example:8200", true},
		{"http://v.example:443", "https://v.example", true},
		{"https://v.example", "https://v.example.", false},
		{"https://v.example", "https://v.example:8443", false},
		{"https://[::1]:443", "https://[::1]", true},
		{"https://v.example", "https://w.example", false},
	} {
		a, err := url.Parse(c.a)
		require.NoError(t, err)
		b, err := url.Parse(c.b)
		require.NoError(t, err)
		require.Equal(t, c.same, Same(a, b), "%s and %s", c.a, c.b)
	}
}

// FuzzCheck: normalizing a host twice changes nothing, and Parse does not change an endpoint
// that the fast path accepts.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		"https://vault.example.com", "http://127.0.0.1:8200/", "https://h:/a/b", "https://h:80x",
		"https://h:1:2", "https://:80", "https:///a",
		"https://h//a", "https://h/./..", "https://u@h", "https://h?q", "https://h#f", "https://h/%41",
		"https://[::1]:1", "HTTPS://h", "ftp://h", "https://ü",
		"https://0x7f.1", "https://h.1", "http://[::FFFF:1.2.3.4]:80", "https://h./", "https://_h",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := Parse(text)
		if isPlain(text) {
			require.NoError(t, err)
			require.Equal(t, text, u.String())
		}
		if err != nil {
			return
		}
		require.True(t, isASCII(u.Host))
		again, err := Parse(u.String())
		require.NoError(t, err)
		require.Equal(t, u, again)
	})
}
