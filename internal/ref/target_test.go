package ref_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/ref"
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

// TestTarget_Fields changes each field of a Target: a field that is missing in Fields
// would give two secrets one stored name.
func TestTarget_Fields(t *testing.T) {
	base := ref.Target{Kind: ref.AWS}
	for i := range reflect.TypeFor[ref.Target]().NumField() {
		changed := base
		field := reflect.ValueOf(&changed).Elem().Field(i)
		if field.Kind() == reflect.String {
			field.SetString("x")
		} else {
			field.SetUint(uint64(ref.Vault))
		}
		require.False(t, slices.Equal(base.Fields(), changed.Fields()),
			reflect.TypeFor[ref.Target]().Field(i).Name)
	}
}
