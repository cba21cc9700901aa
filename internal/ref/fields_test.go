package ref_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/ref"
)

// TestFieldChecks has every field of every backend missing, empty, of another type
// and misspelled.
func TestFieldChecks(t *testing.T) {
	backends := []map[string]string{
		{"region": "eu-west-1", "secretId": "db", "secretPointer": "/p", "endpointOverride": "https://x"},
		{"mount": "secret", "path": "p", "key": "k", "endpoint": "https://v",
			"authenticationType": "TOKEN"},
		{"keyring": "db"},
	}
	optional := []string{"secretPointer", "endpointOverride", "authenticationType"}
	var g ref.Grammar
	for _, fields := range backends {
		render := func(name, as, text string) string {
			var members []string
			for n, v := range fields {
				if n != name {
					members = append(members, fmt.Sprintf("%q:%q", n, v))
				} else if as != "" {
					members = append(members, fmt.Sprintf("%q:%s", as, text))
				}
			}
			return "{ENC}{" + strings.Join(members, ",") + "}"
		}
		for name, value := range fields {
			_, err := g.Parse(render(name, name, fmt.Sprintf("%q", value)))
			require.NoError(t, err)
			_, err = g.Parse(render(name, "", ""))
			require.Equal(t, slices.Contains(optional, name), err == nil, "%s missing", name)
			for _, text := range []string{`""`, "1", "-0.5e3", "true", "false", "null", "[]", `["x"]`, "{}",
				`{"a":"b"}`} {
				_, err = g.Parse(render(name, name, text))
				require.ErrorIs(t, err, fault.Syntax, "%s: %s", name, text)
				require.Contains(t, err.Error(), fmt.Sprintf("%q", name))
			}
			for _, misspelled := range []string{strings.ToUpper(name), name + "x", name[1:],
				name[:1] + "_" + name[1:], " " + name} {
				_, err = g.Parse(render(name, misspelled, fmt.Sprintf("%q", value)))
				require.ErrorIs(t, err, fault.Syntax, misspelled)
			}
		}
	}
}

func TestParseUnixSocket(t *testing.T) {
	value := func(endpoint string) string {
		return `{"mount":"secret","path":"p","key":"k","endpoint":"` + endpoint + `"}`
	}
	reference, err := new(ref.Grammar).Parse("{ENC}" + value("unix:///run/vault.sock"))
	require.NoError(t, err)
	require.Equal(t, "unix:///run/vault.sock", reference.Endpoint)
	again, err := new(ref.Grammar).Parse(reference.String())
	require.NoError(t, err)
	require.Equal(t, reference, again)
	for _, endpoint := range []string{
		"unix://run/vault.sock", "unix://", "unix:///", "unix:/run/vault.sock", "unix:run",
		"unix:///run/../x", "unix:///run//x", "unix:///run/x/",
		"unix:///run/x?q", "unix:///run/x#f", "unix:///run/%78", "unix:///run/a b", "UNIX:///run/x",
		"unix://user@/run/x", "unix:///./x",
	} {
		_, err := new(ref.Grammar).Parse("{ENC}" + value(endpoint))
		require.ErrorIs(t, err, fault.Syntax, endpoint)
	}
	_, err = new(ref.Grammar).Parse(`{ENC}{"region":"eu-west-1","secretId":"x","endpointOverride":"unix:///run/x"}`)
	require.ErrorIs(t, err, fault.Syntax)
}

func TestParseHugeCoordinates(t *testing.T) {
	var g ref.Grammar
	_, err := g.Parse(`{ENC}{"region":"` + strings.Repeat("x", 100_000) + `"}`)
	require.ErrorIs(t, err, fault.Syntax)
	_, err = g.Parse(`{ENC}{` + strings.Repeat(`"a":1,`, 1000) + `"region":"x"}`)
	require.ErrorIs(t, err, fault.Syntax)
	_, err = g.Parse(`{ENC}{"region":` + strings.Repeat("[", 60_000))
	require.ErrorIs(t, err, fault.Syntax)
}
