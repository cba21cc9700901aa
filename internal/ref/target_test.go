package ref_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTarget(t *testing.T) {
	a, b := parse(t, `{"region":"x","secretId":"s","secretPointer":"/a"}`),
		parse(t, `{"region":"x","secretId":"s","secretPointer":"/b"}`)
	require.Equal(t, a.Target(), b.Target())
	require.NotEqual(t, a.Target(), parse(t, `{"region":"y","secretId":"s"}`).Target())

	v := parse(t, vaultSample)
	slash := parse(t,
		strings.Replace(strings.Replace(vaultSample, ".com", ".com/", 1), `"key":"password"`,
			`"key":"user"`, 1))
	require.Equal(t, v.Target(), slash.Target(), "one trailing slash is the same endpoint")
	kubernetes := parse(t, strings.Replace(vaultSample, "}", `,"authenticationType":"KUBERNETES"}`, 1))
	require.NotEqual(t, v.Target(), kubernetes.Target())
	require.Equal(t,
		`{ENC}{"mount":"secret","path":"sample/secret","endpoint":"https://vault.example.com"}`,
		v.Target().Reference())
}
